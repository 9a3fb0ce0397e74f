"""Node group that plays a depth sequence from image files. It works without this extension, and without Python.

The group takes a mesh with one vertex for each turn of the clip: a table whose columns are the attributes of ``TABLE``.
From the scene's frame it finds the row, from the row the files, and makes of their pixels what ``nodes`` shows.
"""

from typing import Any

from .material import COLOR_ATTRIBUTE
from .nodes import DEPTH_ATTRIBUTE, SETTINGS, Builder, Setting, ensure_display_group, ensure_group

GROUP_NAME = "Depth Stream sequence"
TABLE = {
    "depth_number": "INT",
    "color_number": "INT",
    "pixel_scale": "FLOAT",
    "pixel_offset": "FLOAT",
    "low": "FLOAT",
    "high": "FLOAT",
}
"""Columns: numbers of the two files; ``value = pixel * scale + offset``; range of the shot's values."""
_MARK = "dptstream_sequence"
_VERSION = 1
_EARLY = 0.001

PLAYBACK = (
    Setting("Depth Images", "Image", None, "Image sequence of depth"),
    Setting("Color Images", "Image", None, "Film or image sequence of the same frames"),
    Setting("Start Frame", "Float", 1.0, "Scene frame that shows the first frame of the clip"),
    Setting("Speed", "Float", 1.0, "Frames of the clip for each frame of the scene", 0.0, 100.0),
    Setting("Focal Length", "Vector", (1.0, 1.0, 0.0), "Pixels, along x and y", of_user=False),
    Setting("Center", "Vector", (0.5, 0.5, 0.0), "Principal point, pixels from the top left", of_user=False),
    Setting("Color Origin", "Vector", (0.0, 0.0, 0.0), "Lower left of the part in use, of 1", of_user=False),
    Setting("Color Size", "Vector", (1.0, 1.0, 0.0), "Size of the part in use, of 1", of_user=False),
    Setting("Inverse", "Bool", False, "Values are one over a distance", of_user=False),
    Setting("Code Zero Is None", "Bool", False, "Pixels of 0 have no depth", of_user=False),
)
"""Inputs beside those of ``nodes.SETTINGS``."""
_FROM_TABLE = ("Low", "High", "Pixel Angle")
"""Inputs of the display that the table and the camera tell here."""


def ensure_sequence_group() -> Any:
    """Return the group that plays a sequence."""
    settings = [setting for setting in SETTINGS if setting.name not in _FROM_TABLE]
    return ensure_group(GROUP_NAME, _MARK, _VERSION, [*settings, *PLAYBACK], _build)


def _build(build: Builder) -> None:
    given = build.node("NodeGroupInput").outputs
    row = _row(build, given)
    cell = {name: build.sampled(kind, given["Geometry"], build.named(kind, name), row) for name, kind in TABLE.items()}
    grid, column, line = _grid(build, given)
    grid = _with_rays(build, grid, column, line, given)
    grid = build.stored(grid, "FLOAT", DEPTH_ATTRIBUTE, _depth(build, column, line, cell, given))
    grid = build.stored(grid, "FLOAT_COLOR", COLOR_ATTRIBUTE, _color(build, column, line, cell, given))
    display = build.node("GeometryNodeGroup", node_tree=ensure_display_group())
    for setting in SETTINGS:
        if setting.name not in _FROM_TABLE and setting.name != "Stride":
            build.tree.links.new(given[setting.name], display.inputs[setting.name])
    # Here the grid is made coarse before files are read, so the display finds neighbours that are farther apart.
    angle = build.math(
        "DIVIDE", given["Stride"], build.node("ShaderNodeSeparateXYZ", given["Focal Length"]).outputs["X"]
    )
    wired = {"Geometry": grid, "Low": cell["low"], "High": cell["high"], "Pixel Angle": angle}
    for name, socket in wired.items():
        build.tree.links.new(socket, display.inputs[name])
    display.inputs["Stride"].default_value = 1
    build.node("NodeGroupOutput", display.outputs[0])


def _row(build: Builder, given: Any) -> Any:
    """Return which row of the table the scene's frame shows; before and after the clip its ends stay."""
    now = build.node("GeometryNodeInputSceneTime").outputs["Frame"]
    turns = build.math("MULTIPLY", build.math("SUBTRACT", now, given["Start Frame"]), given["Speed"])
    turn = build.math("FLOOR", build.math("ADD", turns, _EARLY))
    count = build.node("GeometryNodeAttributeDomainSize", given["Geometry"]).outputs["Point Count"]
    last = build.math("SUBTRACT", count, 1.0)
    return build.math("MAXIMUM", build.math("MINIMUM", turn, last), 0.0)


def _grid(build: Builder, given: Any) -> tuple[Any, Any, Any]:
    """Return a grid with a vertex for each pixel that ``Stride`` leaves, and each one's column and row, from the top left."""
    stride = given["Stride"]
    wide, tall = (build.math("CEIL", build.math("DIVIDE", given[name], stride)) for name in ("Columns", "Rows"))
    # Blender's grid runs along its Y first: with rows along X its vertices come row by row.
    grid = build.node("GeometryNodeMeshGrid", 1.0, 1.0, tall, wide).outputs[0]
    index = build.node("GeometryNodeInputIndex").outputs[0]
    line = build.math("FLOOR", build.math("DIVIDE", build.math("ADD", index, 0.5), wide))
    column = build.math("SUBTRACT", index, build.math("MULTIPLY", line, wide))
    return grid, build.math("MULTIPLY", column, stride), build.math("MULTIPLY", line, stride)


def _with_rays(build: Builder, grid: Any, column: Any, line: Any, given: Any) -> Any:
    center = build.node("ShaderNodeSeparateXYZ", given["Center"]).outputs
    focal = build.node("ShaderNodeSeparateXYZ", given["Focal Length"]).outputs
    right = build.math("DIVIDE", build.math("SUBTRACT", build.math("ADD", column, 0.5), center["X"]), focal["X"])
    up = build.math("DIVIDE", build.math("SUBTRACT", center["Y"], build.math("ADD", line, 0.5)), focal["Y"])
    ray = build.node("ShaderNodeCombineXYZ", right, 1.0, up).outputs[0]
    return build.node("GeometryNodeSetPosition", grid, None, ray).outputs[0]


def _place(build: Builder, column: Any, line: Any, given: Any) -> Any:
    """Return the centre of a pixel in an image of the same shape, 0 to 1 from the lower left."""
    across = build.math("DIVIDE", build.math("ADD", column, 0.5), given["Columns"])
    down = build.math("DIVIDE", build.math("ADD", line, 0.5), given["Rows"])
    return build.node("ShaderNodeCombineXYZ", across, build.math("SUBTRACT", 1.0, down), 0.0).outputs[0]


def _depth(build: Builder, column: Any, line: Any, cell: dict[str, Any], given: Any) -> Any:
    """Return values; where there is none, one that is no number between two others."""
    place = _place(build, column, line, given)
    image = _image(build, given["Depth Images"], place, cell["depth_number"], "Closest")
    pixel = build.node("FunctionNodeSeparateColor", image.outputs["Color"]).outputs["Red"]
    value = build.math("MULTIPLY_ADD", pixel, cell["pixel_scale"], cell["pixel_offset"])
    value = build.switch("FLOAT", given["Inverse"], value, build.math("DIVIDE", 1.0, value))
    # Blender gives an alpha of 0 where a file is missing.
    there = build.compare("GREATER_THAN", image.outputs["Alpha"], 0.5)
    some_code = build.compare("GREATER_THAN", pixel, 0.0)
    coded = build.both(there, some_code)
    there = build.switch("BOOLEAN", given["Code Zero Is None"], there, coded)
    return build.switch("FLOAT", there, -2e30, value)


def _color(build: Builder, column: Any, line: Any, cell: dict[str, Any], given: Any) -> Any:
    place = _place(build, column, line, given)
    window = build.node(
        "ShaderNodeVectorMath", place, given["Color Size"], given["Color Origin"], operation="MULTIPLY_ADD"
    )
    image = _image(build, given["Color Images"], window.outputs[0], cell["color_number"], "Linear")
    there = build.compare("GREATER_THAN", image.outputs["Alpha"], 0.0)
    return build.switch("RGBA", there, given["Plain Color"], image.outputs["Color"])


def _image(build: Builder, image: Any, place: Any, number: Any, interpolation: str) -> Any:
    return build.node("GeometryNodeImageTexture", image, place, number, interpolation=interpolation, extension="EXTEND")
