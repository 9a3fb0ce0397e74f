"""File > Import > Depth Sequence: a folder of ``dptstream convert`` becomes an animated surface or points."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy_extras.io_utils import ImportHelper

from .camera import add_camera, match_render
from .compat import RELATIVE_PATH, has_input, register_classes, set_input, unregister_classes
from .manifest_reader import DepthSequence, SequenceError, read_sequence, shown_frames
from .material import ensure_material
from .nodes import KINDS
from .sequence_nodes import TABLE, ensure_sequence_group
from .source_colors import Colors, find_colors

MODIFIER_NAME = "Depth Stream"
COMFORTABLE_POINTS = 1_000_000
"""Pixels beyond which an import begins with a coarser grid."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a sequence is brought into a scene."""

    as_points: bool = False
    """Points instead of a surface."""
    start_frame: int = 1
    """Scene frame that shows the clip's first frame."""
    set_rate: bool = True
    """Give the scene the clip's frame rate; else the clip is shown at its own speed within the scene's rate."""
    set_range: bool = True
    """Give the scene the clip's frame range."""
    make_camera: bool = True
    """Add a camera that sees what the clip's camera saw, and give the scene its resolution."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made."""

    object: Any
    """The object that shows the sequence."""
    camera: Any | None
    """Its camera."""
    notes: tuple[str, ...]
    """What the user should know, a line each."""


def import_sequence(
    context: Any, sequence: DepthSequence, colors: Colors | None, options: ImportOptions | None = None
) -> Imported:
    """Add an object that shows ``sequence`` to the scene, and select it."""
    options = options or ImportOptions()
    scene = context.scene
    notes = list(sequence.notes)
    turns = shown_frames(sequence)
    picture, numbers, window = _load_colors(sequence, colors, notes)
    mesh = _table(sequence, turns, numbers)
    shown = bpy.data.objects.new(sequence.name, mesh)
    collection = _collection(context, sequence.name)
    collection.objects.link(shown)
    if options.set_rate:
        set_scene_rate(scene, sequence.rate)
    speed = float(sequence.rate) / scene_rate(scene)
    modifier = shown.modifiers.new(MODIFIER_NAME, "NODES")
    modifier.node_group = ensure_sequence_group()
    inputs = _inputs(sequence, window, options, speed)
    inputs |= {
        "Depth Images": _load_depth(sequence),
        "Video Colors": picture is not None,
        "Material": ensure_material(),
    }
    if picture is not None:
        inputs["Color Images"] = picture
    for name, value in inputs.items():
        set_input(modifier, name, value)
    if options.set_range:
        scene.frame_start = options.start_frame
        scene.frame_end = options.start_frame + max(0, math.ceil(len(turns) / speed) - 1)
    seen_by = _add_camera(scene, collection, shown, sequence) if options.make_camera else None
    select_only(context, shown)
    return Imported(shown, seen_by, tuple(notes))


def set_scene_rate(scene: Any, rate: Fraction) -> None:
    """Give ``scene`` a frame rate; 30000/1001 becomes 30 over 1.001."""
    whole = max(1, round(rate))
    scene.render.fps = whole
    scene.render.fps_base = float(whole / rate)


def scene_rate(scene: Any) -> float:
    """Return the frames per second of ``scene``."""
    return float(scene.render.fps / scene.render.fps_base)


def is_sequence(shown: Any) -> bool:
    """Return whether an object shows a depth sequence."""
    return sequence_modifier(shown) is not None


def sequence_modifier(shown: Any) -> Any | None:
    """Return the modifier of an object that shows a depth sequence, or None."""
    if shown is None:
        return None
    found = (item for item in shown.modifiers if item.type == "NODES" and has_input(item, "Depth Images"))
    return next(found, None)


def _inputs(
    sequence: DepthSequence, window: tuple[float, float, float, float], options: ImportOptions, speed: float
) -> dict[str, Any]:
    seen = sequence.camera
    kind = (
        "relative_inverse" if sequence.meaning == "relative_inverse" else "metric" if sequence.is_metric else "relative"
    )
    return {
        "As Points": options.as_points,
        "Start Frame": float(options.start_frame),
        "Speed": speed,
        "Stride": max(1, math.ceil(math.sqrt(seen.width * seen.height / COMFORTABLE_POINTS))),
        "Kind": KINDS.index(kind),
        "Columns": seen.width,
        "Rows": seen.height,
        "Focal Length": (seen.fx, seen.fy, 0.0),
        "Center": (seen.cx, seen.cy, 0.0),
        "Color Origin": (window[0], window[1], 0.0),
        "Color Size": (window[2], window[3], 0.0),
        "Inverse": sequence.meaning == "inverse_depth",
        "Code Zero Is None": sequence.format == "png16",
    }


def _table(sequence: DepthSequence, turns: Any, color_numbers: list[int]) -> Any:
    """Return a mesh whose vertices say which files each turn of the clip shows, and what their pixels mean."""
    frames = [sequence.frames[place] for place in turns]
    flipped = sequence.meaning == "inverse_depth"
    ranges = [_distances(frame.low, frame.high) if flipped else (frame.low, frame.high) for frame in frames]
    columns = {
        "depth_number": [frame.number for frame in frames],
        "color_number": [color_numbers[place] for place in turns],
        "pixel_scale": [frame.scale for frame in frames],
        "pixel_offset": [frame.offset for frame in frames],
        "low": [low for low, _ in ranges],
        "high": [high for _, high in ranges],
    }
    mesh = bpy.data.meshes.new(sequence.name)
    mesh.vertices.add(len(frames))
    for name, kind in TABLE.items():
        values = np.array(columns[name], np.int32 if kind == "INT" else np.float32)
        mesh.attributes.new(name, kind, "POINT").data.foreach_set("value", values)
    mesh.update()
    return mesh


def _distances(low: float, high: float) -> tuple[float, float]:
    """Return the range of distances whose inverses range from ``low`` to ``high``."""
    return 1 / high if high > 0 else 0.0, 1 / low if low > 0 else 1.0


def _load_depth(sequence: DepthSequence) -> Any:
    # Any file that is there tells Blender the names of all.
    present = next(frame.file for frame in sequence.frames if frame.file.is_file())
    image = _load(present, f"{sequence.name} depth")
    image.source = "SEQUENCE"
    # Values are data: any colour transform would bend them.
    image.colorspace_settings.name = "Non-Color"
    return image


def _load(path: Path, name: str) -> Any:
    image = bpy.data.images.load(str(path))
    image.name = name
    if bpy.data.is_saved:
        try:
            image.filepath = bpy.path.relpath(str(path))
        except ValueError:  # another drive of a Windows machine
            image.filepath = str(path)
    return image


def _load_colors(
    sequence: DepthSequence, colors: Colors | None, notes: list[str]
) -> tuple[Any | None, list[int], tuple[float, float, float, float]]:
    """Return the pictures, the number in them of each frame, and the part in use: x, y, width, height, 0 to 1 from below."""
    count = len(sequence.frames)
    nothing = None, [0] * count, (0.0, 0.0, 1.0, 1.0)
    if colors is None:
        place = sequence.source.get("location") or sequence.source.get("name")
        notes.append(f"no colours: {place} is not on this disk; choose a film or pictures as Colors when you import")
        return nothing
    numbers = list(colors.numbers) or [1] * count
    try:
        if colors.kind == "movie":
            numbers = _film_numbers(colors)
        image = _load(colors.path, f"{sequence.name} colours")
    except RuntimeError as error:
        notes.append(f"no colours: Blender cannot read {colors.path.name} ({str(error).strip()})")
        return nothing
    if colors.kind == "pictures":
        image.source = "SEQUENCE"
    wide, tall = image.size
    if colors.kind == "movie" and colors.window is None and not colors.left_half and _is_turned(sequence, wide, tall):
        bpy.data.images.remove(image)
        notes.append(
            f"no colours: {colors.path.name} is turned by a tag that this Blender ignores; choose upright pictures"
        )
        return nothing
    notes.append(f"colours: {colors.told}")
    return image, numbers, _window(colors, wide, tall)


def _film_numbers(colors: Colors) -> list[int]:
    """Return the numbers that Blender gives to the film's frames at ``colors.seconds``."""
    film = bpy.data.movieclips.load(str(colors.path))
    rate, count = film.fps, film.frame_duration
    bpy.data.movieclips.remove(film)
    return [min(max(round(seconds * rate) + 1, 1), max(count, 1)) for seconds in colors.seconds]


def _is_turned(sequence: DepthSequence, wide: int, tall: int) -> bool:
    seen = sequence.camera
    return wide != tall and (seen.width > seen.height) != (wide > tall) and seen.width != seen.height


def _window(colors: Colors, wide: int, tall: int) -> tuple[float, float, float, float]:
    if colors.left_half:
        return 0.0, 0.0, 0.5, 1.0
    if colors.window is None or not wide or not tall:
        return 0.0, 0.0, 1.0, 1.0
    x, y, width, height = colors.window
    return x / wide, 1 - (y + height) / tall, width / wide, height / tall


def _collection(context: Any, name: str) -> Any:
    collection = bpy.data.collections.new(name)
    own_collection(context).children.link(collection)
    return collection


def _add_camera(scene: Any, collection: Any, shown: Any, sequence: DepthSequence) -> Any:
    seen_by = add_camera(collection, f"{sequence.name} camera", shown, sequence.camera)
    match_render(scene, sequence.camera)
    scene.camera = seen_by
    return seen_by


def own_collection(context: Any, shown: Any | None = None) -> Any:
    """Return a collection that is not linked from another file: one of ``shown``, else the active one, else the scene's."""
    candidates = [*(() if shown is None else shown.users_collection), context.collection]
    return next((item for item in candidates if item.library is None), context.scene.collection)


def select_only(context: Any, shown: Any) -> None:
    """Make ``shown`` the one object that is selected, and the active one; not while another is edited."""
    if context.mode != "OBJECT":
        return
    for other in context.selected_objects:
        other.select_set(False)
    shown.select_set(True)
    context.view_layer.objects.active = shown


class DPTSTREAM_OT_import_sequence(bpy.types.Operator, ImportHelper):
    """Show a folder of `dptstream convert` as an animated surface or points, with its camera and colours"""

    bl_idname = "dptstream.import_sequence"
    bl_label = "Import Depth Sequence"
    bl_options = {"REGISTER", "UNDO", "PRESET"}

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json;*.exr;*.png", options={"HIDDEN"})
    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE", "HIDDEN"})
    # Blender fills these in when files are dropped, and asks for them in its dialog.
    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})
    files: bpy.props.CollectionProperty(type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"})
    display: bpy.props.EnumProperty(
        name="Show as",
        items=(
            ("SURFACE", "Surface", "A closed surface, cut where depth jumps"),
            ("POINTS", "Points", "A point for each pixel"),
        ),
    )
    colors: bpy.props.StringProperty(
        name="Colors",
        description="Film or first picture that the depth was made from; empty looks where the manifest says it was",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"} | RELATIVE_PATH,
    )
    start_frame: bpy.props.IntProperty(name="Start Frame", description="Scene frame of the first frame", default=1)
    set_rate: bpy.props.BoolProperty(
        name="Set Frame Rate",
        description="Give the scene the clip's frame rate; else the clip keeps its speed within the scene's rate",
        default=True,
    )
    set_range: bpy.props.BoolProperty(
        name="Set Frame Range", description="Give the scene the clip's length", default=True
    )
    make_camera: bpy.props.BoolProperty(
        name="Camera and Size",
        description="Add the clip's camera, look through it when rendering, and render at the clip's size",
        default=True,
    )

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether something can be added to the scene."""
        if context.scene.library is not None:
            cls.poll_message_set("This scene is linked from another file: import in one of this file's own")
        return context.scene.library is None

    def invoke(self, context: Any, _event: Any) -> set[str]:
        """Ask for a file, or where one was dropped, for the options."""
        return self.invoke_popup(context)

    def execute(self, context: Any) -> set[str]:
        """Import."""
        try:
            sequence = read_sequence(Path(bpy.path.abspath(self.filepath)))
            chosen = Path(bpy.path.abspath(self.colors)) if self.colors else None
            colors = find_colors(sequence, chosen)
        except SequenceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        options = ImportOptions(
            self.display == "POINTS", self.start_frame, self.set_rate, self.set_range, self.make_camera
        )
        imported = import_sequence(context, sequence, colors, options)
        for note in imported.notes:
            self.report({"INFO" if note.startswith("colours:") else "WARNING"}, note)
        self.report({"INFO"}, describe(sequence))
        return {"FINISHED"}


def describe(sequence: DepthSequence) -> str:
    """Return one line about a sequence."""
    seen, rate = sequence.camera, f"{float(sequence.rate):.5g}"
    what = "metres" if sequence.is_metric else "relative depth, between Near and Far"
    return f"{len(sequence.frames)} frames at {rate} fps, {seen.width}x{seen.height}, {what}; {sequence.model}"


class DPTSTREAM_FH_sequence(bpy.types.FileHandler):
    """Takes manifests and EXR files dropped into the 3D view."""

    bl_idname = "DPTSTREAM_FH_sequence"
    bl_label = "Depth Sequence"
    bl_import_operator = "dptstream.import_sequence"
    bl_file_extensions = ".json;.exr"

    @classmethod
    def poll_drop(cls, context: Any) -> bool:
        """Return whether something may be dropped here."""
        return context.area is not None and context.area.type == "VIEW_3D"


_CLASSES = (DPTSTREAM_OT_import_sequence, DPTSTREAM_FH_sequence)


def register() -> None:
    """Add the operator, what takes dropped files, and the entry in File > Import."""
    register_classes(_CLASSES)
    bpy.types.TOPBAR_MT_file_import.remove(_draw_import)
    bpy.types.TOPBAR_MT_file_import.append(_draw_import)


def unregister() -> None:
    """Take them back."""
    bpy.types.TOPBAR_MT_file_import.remove(_draw_import)
    unregister_classes(_CLASSES)


def _draw_import(menu: Any, _context: Any) -> None:
    menu.layout.operator(DPTSTREAM_OT_import_sequence.bl_idname, text="Depth Sequence (dptstream)")
