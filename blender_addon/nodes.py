"""Node groups that make a surface or points of camera rays and their depth. They work without this extension.

The group takes a mesh with one vertex for each pixel, row by row from the top. Its positions are the pixels' rays: where
they cross the plane at distance 1 before a camera at the origin that looks along +Y, with Z up. Attributes: ``depth``
(float, in the feed's own values, NaN where there is none) and ``Color`` (float colour).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import bpy

from .material import COLOR_ATTRIBUTE

DEPTH_ATTRIBUTE = "depth"
"""Float of each pixel."""
GROUP_NAME = "Depth Stream display"
KINDS = ("metric", "relative", "relative_inverse")
"""What the values mean; the input ``Kind`` is the index."""
_MARK = "dptstream_display"
_VERSION = 1
_ENORMOUS = 1e30


@dataclass(frozen=True, slots=True)
class Setting:
    """An input of the group."""

    name: str
    """Its name, which the interface shows."""
    kind: str
    """Type of the socket, after ``NodeSocket``."""
    default: Any
    """Value at first; None for none."""
    description: str
    """The tooltip."""
    low: float | None = None
    """Least value."""
    high: float | None = None
    """Greatest value."""
    subtype: str = "NONE"
    """How Blender shows a number."""
    of_user: bool = True
    """Whether the user sets it; else the depth's own description does."""


SETTINGS = (
    Setting("As Points", "Bool", False, "Show points instead of a closed surface"),
    Setting("Point Size", "Float", 1.0, "1 lets neighbours touch, seen from the camera", 0, 20, "FACTOR"),
    Setting("Near", "Float", 1.0, "Where relative depth puts what is nearest", 0.001, None, "DISTANCE"),
    Setting("Far", "Float", 4.0, "Where relative depth puts what is farthest", 0.001, None, "DISTANCE"),
    Setting("Scale", "Float", 1.0, "Factor on all distances", 0.0, None),
    Setting("Shift", "Float", 0.0, "Added to all distances, after the factor", None, None, "DISTANCE"),
    Setting("Edge Cut", "Float", 0.1, "Cut where neighbours differ by this share of distance; 0 never", 0, 1, "FACTOR"),
    Setting("Stride", "Int", 1, "Use each so-many-th pixel along rows and columns", 1, 64),
    Setting("Video Colors", "Bool", True, "Show the video's colours"),
    Setting("Plain Color", "Color", (0.5, 0.5, 0.5, 1.0), "Colour without the video's"),
    Setting("Material", "Material", None, "Reads the colours from the attribute Color"),
    Setting("Kind", "Int", 0, "What values mean: 0 metric, 1 relative, 2 relative inverse", 0, 2, of_user=False),
    Setting("Low", "Float", 0.0, "Least value of the shot", of_user=False),
    Setting("High", "Float", 1.0, "Greatest value of the shot", of_user=False),
    Setting("Columns", "Int", 2, "Pixels in a row", 2, 16384, of_user=False),
    Setting("Rows", "Int", 2, "Rows of pixels", 2, 16384, of_user=False),
    Setting("Pixel Angle", "Float", 0.001, "Distance between neighbouring rays at distance 1", 0, of_user=False),
)
"""Every input but the geometry, in the order shown."""


class Builder:
    """Adds nodes to a tree, each linked to what it needs, from left to right."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self._count = 0

    def node(self, kind: str, *inputs: Any, **settings: Any) -> Any:
        """Add a node; ``inputs`` are sockets, values, or None for those that keep theirs."""
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        # Sockets for other types than the node's own stay hidden in it.
        sockets = [socket for socket in node.inputs if socket.enabled]
        for socket, value in zip(sockets, inputs, strict=False):
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            elif value is not None:
                socket.default_value = value
        node.location = (self._count % 12 * 200, -(self._count // 12) * 300)
        self._count += 1
        return node

    def math(self, operation: str, *inputs: Any) -> Any:
        """Return the result of a math node."""
        return self.node("ShaderNodeMath", *inputs, operation=operation).outputs[0]

    def compare(self, operation: str, a: Any, b: Any) -> Any:
        """Return whether two floats compare so."""
        return self.node("FunctionNodeCompare", a, b, data_type="FLOAT", operation=operation).outputs[0]

    def both(self, a: Any, b: Any) -> Any:
        """Return whether both are true."""
        return self.node("FunctionNodeBooleanMath", a, b, operation="AND").outputs[0]

    def negated(self, a: Any) -> Any:
        """Return whether it is false."""
        return self.node("FunctionNodeBooleanMath", a, operation="NOT").outputs[0]

    def switch(self, kind: str, condition: Any, if_false: Any, if_true: Any) -> Any:
        """Return one of two; of geometries, only the one that is wanted gets computed."""
        return _output(self.node("GeometryNodeSwitch", condition, if_false, if_true, input_type=kind))

    def named(self, kind: str, name: str) -> Any:
        """Return an attribute."""
        return _output(self.node("GeometryNodeInputNamedAttribute", name, data_type=kind))

    def stored(self, geometry: Any, kind: str, name: str, value: Any) -> Any:
        """Return the geometry with an attribute of its points."""
        node = self.node("GeometryNodeStoreNamedAttribute", geometry, None, name, value, data_type=kind, domain="POINT")
        return node.outputs[0]

    def at_index(self, value: Any, index: Any) -> Any:
        """Return the float that a point of this geometry has."""
        node = self.node("GeometryNodeFieldAtIndex", data_type="FLOAT", domain="POINT")
        # 4.2 has these two in the other order.
        for name, socket in (("Value", value), ("Index", index)):
            wanted = next(found for found in node.inputs if found.enabled and found.name == name)
            self.tree.links.new(socket, wanted)
        return _output(node)

    def sampled(self, kind: str, geometry: Any, value: Any, index: Any) -> Any:
        """Return the value that another geometry has at a point."""
        return _output(self.node("GeometryNodeSampleIndex", geometry, value, index, data_type=kind, domain="POINT"))


def ensure_group(
    name: str, mark: str, version: int, settings: Iterable[Setting], build: Callable[[Builder], None]
) -> Any:
    """Return this file's node group that has ``version`` under the property ``mark``, made and built at the first call."""
    for group in bpy.data.node_groups:
        if group.get(mark) == version and group.library is None:
            return group
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    group[mark] = version
    group.is_modifier = True
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    for setting in settings:
        _add_input(group, setting)
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    build(Builder(group))
    return group


def ensure_display_group() -> Any:
    """Return the group that shows depth."""
    return ensure_group(GROUP_NAME, _MARK, _VERSION, SETTINGS, _build_display)


def _add_input(group: Any, setting: Setting) -> None:
    socket = group.interface.new_socket(setting.name, in_out="INPUT", socket_type=f"NodeSocket{setting.kind}")
    socket.description = setting.description
    if setting.subtype != "NONE":
        socket.subtype = setting.subtype
    if setting.low is not None:
        socket.min_value = setting.low
    if setting.high is not None:
        socket.max_value = setting.high
    if setting.default is not None:
        socket.default_value = setting.default
    socket.hide_in_modifier = not setting.of_user


def _build_display(build: Builder) -> None:
    given = build.node("NodeGroupInput").outputs
    pixels = _with_stride(build, given)
    pixels = build.switch("GEOMETRY", given["Video Colors"], _painted(build, pixels, given), pixels)
    depth = build.named("FLOAT", DEPTH_ATTRIBUTE)
    distance = _distance(build, depth, given)
    # Neither NaN nor an infinity lies between two numbers.
    valid = build.both(build.compare("GREATER_THAN", depth, -_ENORMOUS), build.compare("LESS_THAN", depth, _ENORMOUS))
    valid = build.both(valid, build.compare("GREATER_THAN", distance, 0.0))
    ray = build.node("GeometryNodeInputPosition").outputs[0]
    point = build.node("ShaderNodeVectorMath", ray, None, None, distance, operation="SCALE")
    if not point.inputs["Scale"].is_linked:
        build.tree.links.new(distance, point.inputs["Scale"])
    placed = build.node("GeometryNodeSetPosition", pixels, valid, point.outputs["Vector"]).outputs[0]
    placed = build.node("GeometryNodeDeleteGeometry", placed, build.negated(valid), domain="POINT", mode="ALL").outputs[
        0
    ]
    # Conditions that are one value for all pixels: what is not wanted is not computed.
    cutting = build.compare("GREATER_THAN", given["Edge Cut"], 0.0)
    jump = _jump(build, given)
    cut = build.node("GeometryNodeDeleteGeometry", placed, jump, domain="EDGE", mode="EDGE_FACE").outputs[0]
    surface = build.switch("GEOMETRY", cutting, placed, cut)
    kept = build.switch("BOOLEAN", cutting, True, build.negated(_on_edges(build, jump)))
    shown = build.switch("GEOMETRY", given["As Points"], surface, _points(build, placed, kept, given))
    shown = build.node("GeometryNodeSetMaterial", shown, None, given["Material"]).outputs[0]
    build.node("NodeGroupOutput", shown)


def _distance(build: Builder, depth: Any, given: Any) -> Any:
    """Return the distance along the optical axis.

    Of inverse depth, which is known up to scale and shift, the shot's range is laid out from far to near; of relative
    depth, known up to a factor, the farthest value is put at far; metric depth is taken as it is.
    """
    span = build.math("SUBTRACT", given["High"], given["Low"])
    nearness = build.math("MAXIMUM", build.math("DIVIDE", build.math("SUBTRACT", depth, given["Low"]), span), 0.0)
    # The range leaves out the extremes, and one pixel far beyond it would be a spike into the camera: 1 + x becomes
    # 1 + x / (1 + x), which begins as steep and never reaches 2.
    beyond = build.math("SUBTRACT", 1.0, build.math("DIVIDE", 1.0, build.math("MAXIMUM", nearness, 1.0)))
    nearness = build.math("ADD", build.math("MINIMUM", nearness, 1.0), beyond)
    farness = build.math("SUBTRACT", 1.0, nearness)
    inverse = build.math(
        "ADD", build.math("DIVIDE", nearness, given["Near"]), build.math("DIVIDE", farness, given["Far"])
    )
    of_inverse = build.math("DIVIDE", 1.0, inverse)
    of_relative = build.math("MULTIPLY", depth, build.math("DIVIDE", given["Far"], given["High"]))
    distance = build.switch("FLOAT", build.compare("GREATER_THAN", given["Kind"], 0.5), depth, of_relative)
    distance = build.switch("FLOAT", build.compare("GREATER_THAN", given["Kind"], 1.5), distance, of_inverse)
    return build.math("ADD", build.math("MULTIPLY", distance, given["Scale"]), given["Shift"])


def _jump(build: Builder, given: Any) -> Any:
    """Return, for each edge, whether its ends' distances differ by more than the allowed share of the nearer."""
    distance = build.node("ShaderNodeSeparateXYZ", build.node("GeometryNodeInputPosition").outputs[0]).outputs["Y"]
    ends = build.node("GeometryNodeInputMeshEdgeVertices").outputs
    a, b = (build.at_index(distance, ends[f"Vertex Index {n}"]) for n in (1, 2))
    step = build.math("ABSOLUTE", build.math("SUBTRACT", a, b))
    allowed = build.math("MULTIPLY", build.math("MINIMUM", a, b), given["Edge Cut"])
    return build.compare("GREATER_THAN", step, allowed)


def _on_edges(build: Builder, jump: Any) -> Any:
    return _output(build.node("GeometryNodeFieldOnDomain", jump, data_type="BOOLEAN", domain="EDGE"))


def _points(build: Builder, placed: Any, kept: Any, given: Any) -> Any:
    # Half the distance between neighbours at that depth.
    position = build.node("ShaderNodeSeparateXYZ", build.node("GeometryNodeInputPosition").outputs[0]).outputs["Y"]
    pitch = build.math("MULTIPLY", given["Pixel Angle"], given["Stride"])
    radius = build.math(
        "MULTIPLY", build.math("MULTIPLY", position, pitch), build.math("MULTIPLY", given["Point Size"], 0.5)
    )
    return build.node("GeometryNodeMeshToPoints", placed, kept, None, radius, mode="VERTICES").outputs[0]


def _painted(build: Builder, pixels: Any, given: Any) -> Any:
    return build.stored(pixels, "FLOAT_COLOR", COLOR_ATTRIBUTE, given["Plain Color"])


def _with_stride(build: Builder, given: Any) -> Any:
    """Return the pixels, or a coarser grid that takes each so-many-th of them."""
    stride, columns, rows = given["Stride"], given["Columns"], given["Rows"]

    def count(pixels: Any) -> Any:
        return build.math("CEIL", build.math("DIVIDE", pixels, stride))

    # Blender's grid runs along its Y first: with rows along X its vertices come row by row.
    wide = count(columns)
    grid = build.node("GeometryNodeMeshGrid", 1.0, 1.0, count(rows), wide).outputs[0]
    index = build.node("GeometryNodeInputIndex").outputs[0]
    row = build.math("FLOOR", build.math("DIVIDE", build.math("ADD", index, 0.5), wide))
    column = build.math("SUBTRACT", index, build.math("MULTIPLY", row, wide))
    source = build.math("MULTIPLY", build.math("ADD", build.math("MULTIPLY", row, columns), column), stride)
    pixels = given["Geometry"]
    ray = build.sampled("FLOAT_VECTOR", pixels, build.node("GeometryNodeInputPosition").outputs[0], source)
    depth = build.sampled("FLOAT", pixels, build.named("FLOAT", DEPTH_ATTRIBUTE), source)
    color = build.sampled("FLOAT_COLOR", pixels, build.named("FLOAT_COLOR", COLOR_ATTRIBUTE), source)
    grid = build.stored(grid, "FLOAT", DEPTH_ATTRIBUTE, depth)
    grid = build.stored(grid, "FLOAT_COLOR", COLOR_ATTRIBUTE, color)
    grid = build.node("GeometryNodeSetPosition", grid, None, ray).outputs[0]
    return build.switch("GEOMETRY", build.compare("GREATER_THAN", stride, 1.5), pixels, grid)


def _output(node: Any) -> Any:
    """Return the output that a node with several types has for the one it is set to."""
    return next(socket for socket in node.outputs if socket.enabled)
