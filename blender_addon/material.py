"""The material that shows the video's colours as they are, unlit."""

from typing import Any

import bpy

from .compat import use_nodes

COLOR_ATTRIBUTE = "Color"
"""Float colour of each vertex or point, linear."""
MATERIAL_NAME = "Depth Stream colours"
_MARK = "dptstream_material"


def ensure_material() -> Any:
    """Return this file's material of unlit colours, made at the first call; it may be changed or replaced by the user."""
    for material in bpy.data.materials:
        if _MARK in material and material.library is None:
            return material
    material = bpy.data.materials.new(MATERIAL_NAME)
    material[_MARK] = True
    use_nodes(material)
    tree = material.node_tree
    tree.nodes.clear()
    attribute = tree.nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = COLOR_ATTRIBUTE
    # A picture has its light in it already: lit once more by lamps it would come out dark or doubly shaded.
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(attribute.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    for node, x in ((attribute, -400), (emission, -150), (output, 100)):
        node.location = (x, 0)
    return material
