"""Depth sequences as PC2 point caches, for the Mesh Cache modifier."""

import math
import struct
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from .compat import get_input
from .material import COLOR_ATTRIBUTE, ensure_material
from .nodes import DEPTH_ATTRIBUTE
from .scene import build_grid

HEADER = struct.Struct("<12siiffi")
"""Magic, version, points, first frame, frames for each sample, samples."""
_MAGIC, _VERSION = b"POINTCACHE2\0", 1


def write_pc2(context: Any, shown: Any, modifier: Any, path: Path, first: int, last: int) -> Any:
    """Write where each pixel of a depth sequence is in the scene's frames ``first`` to ``last``; return a mesh for it.

    A pixel that has no depth for a while stays where it was last, or will be first; one that never has any gets no face.
    ``modifier`` is that of ``shown``, which shows a surface without cut edges.
    """
    grid = _Grid(modifier)
    samples = last - first + 1
    path.write_bytes(HEADER.pack(_MAGIC, _VERSION, grid.count, float(first), 1.0, samples))
    with path.open("r+b") as file:
        file.truncate(HEADER.size + samples * grid.count * 12)
    points = np.memmap(path, "<f4", "r+", offset=HEADER.size, shape=(samples, grid.count, 3))
    appears = np.full(grid.count, samples)
    colors = np.zeros((grid.count, 4), np.float32)
    for sample in range(samples):
        context.scene.frame_set(first + sample)
        mesh = shown.evaluated_get(context.evaluated_depsgraph_get()).data
        positions = _read(mesh, "position", "vector", 3)
        pixels = grid.pixels(positions)
        points[sample] = points[max(sample - 1, 0)]
        points[sample, pixels] = positions
        new = pixels[appears[pixels] > sample]
        if new.size:
            colors[new] = _read(mesh, COLOR_ATTRIBUTE, "color", 4)[appears[pixels] > sample]
            appears[new] = sample
    for sample in range(samples):
        late = np.flatnonzero((appears > sample) & (appears < samples))
        points[sample, late] = points[appears[late], late]
    points.flush()
    return grid.mesh(f"{shown.name} cache", np.array(points[0]), colors, appears < samples)


class _Grid:
    """The pixels that a sequence's ``Stride`` leaves, row by row from the top."""

    def __init__(self, modifier: Any) -> None:
        self._stride = int(get_input(modifier, "Stride"))
        self._wide = math.ceil(get_input(modifier, "Columns") / self._stride)
        self._tall = math.ceil(get_input(modifier, "Rows") / self._stride)
        self._focal = tuple(get_input(modifier, "Focal Length"))
        self._center = tuple(get_input(modifier, "Center"))
        self.count = self._wide * self._tall

    def pixels(self, positions: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the pixel of each of (N, 3) positions: whatever is done to distances, a point stays on its ray."""
        right, up = positions[:, 0] / positions[:, 1], positions[:, 2] / positions[:, 1]
        column = np.rint((right * self._focal[0] + self._center[0] - 0.5) / self._stride)
        row = np.rint((self._center[1] - 0.5 - up * self._focal[1]) / self._stride)
        return (row * self._wide + column).astype(np.int64)

    def mesh(
        self, name: str, points: NDArray[np.float32], colors: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> Any:
        """Return a mesh of (N, 3) ``points`` with linear (N, 4) ``colors``, and faces where all corners are ``present``."""
        mesh = bpy.data.meshes.new(name)
        build_grid(mesh, self._wide, self._tall)
        mesh.attributes.remove(mesh.attributes[DEPTH_ATTRIBUTE])
        mesh.attributes["position"].data.foreach_set("vector", points.reshape(-1))
        mesh.attributes[COLOR_ATTRIBUTE].data.foreach_set("color", colors.reshape(-1))
        mesh.materials.append(ensure_material())
        if not present.all():
            edited = bmesh.new()
            edited.from_mesh(mesh)
            faces = [face for face in edited.faces if not all(present[corner.index] for corner in face.verts)]
            bmesh.ops.delete(edited, geom=faces, context="FACES_ONLY")
            edited.to_mesh(mesh)
            edited.free()
        mesh.update()
        return mesh


def _read(mesh: Any, name: str, key: str, width: int) -> NDArray[np.float32]:
    values = np.empty(len(mesh.vertices) * width, np.float32)
    mesh.attributes[name].data.foreach_get(key, values)
    return values.reshape(-1, width)
