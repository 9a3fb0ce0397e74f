"""Runs in a Blender without the extension: writes what a saved file's sequence shows in some frames as JSON."""

import importlib
import json
import sys
from pathlib import Path

import bpy
import numpy as np

_, blend, found, *frames = sys.argv
assert not any("dptstream" in module.__name__ for module in importlib.import_module("addon_utils").modules())
bpy.ops.wm.open_mainfile(filepath=blend, use_scripts=False)
positions, greys = {}, []
for frame in frames:
    bpy.context.scene.frame_set(int(frame))
    shown = bpy.data.objects["toy"].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    values = np.empty(len(shown.vertices) * 3, np.float32)
    shown.attributes["position"].data.foreach_get("vector", values)
    colors = np.empty(len(shown.vertices) * 4, np.float32)
    shown.attributes["Color"].data.foreach_get("color", colors)
    positions[frame] = values.reshape(-1, 3).tolist()
    greys.append(float(1.055 * colors[0] ** (1 / 2.4) - 0.055))
Path(found).write_text(json.dumps({"positions": positions, "greys": greys}))
