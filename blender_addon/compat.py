"""What differs between Blender 4.2 and 5.2, in one place."""

from collections.abc import Sequence
from typing import Any

import bpy

RELATIVE_PATH: set[Any] = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5) else set()
"""Options of a property for a path that may begin with ``//``: without them newer Blenders show such a path in red."""


def register_classes(classes: Sequence[type]) -> None:
    """Register ``classes`` in order, leaving out those that are registered."""
    for cls in classes:
        if not _is_registered(cls):
            bpy.utils.register_class(cls)


def unregister_classes(classes: Sequence[type]) -> None:
    """Take ``classes`` back in reverse order, leaving out those that are not registered."""
    for cls in reversed(classes):
        if _is_registered(cls):
            bpy.utils.unregister_class(cls)


def eevee() -> str:
    """Return EEVEE's identifier in this Blender, for ``scene.render.engine``."""
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"


def has_input(modifier: Any, name: str) -> bool:
    """Return whether the node group of ``modifier`` has an input of this name."""
    return modifier.node_group is not None and _identifier(modifier, name) is not None


def set_input(modifier: Any, name: str, value: object) -> None:
    """Set an input of a Geometry Nodes modifier by the name of its socket; nothing happens where it has this value."""
    owner, key = _input(modifier, name)
    current = _get(owner, key)
    if current == value or (isinstance(value, tuple) and tuple(current) == value):
        return
    if isinstance(key, str):
        owner[key] = value
    else:
        owner.value = value
    modifier.id_data.update_tag()


def get_input(modifier: Any, name: str) -> Any:
    """Return the value of an input of a Geometry Nodes modifier by the name of its socket."""
    return _get(*_input(modifier, name))


def draw_input(layout: Any, modifier: Any, name: str, **options: object) -> None:
    """Draw an input of a Geometry Nodes modifier by the name of its socket."""
    owner, key = _input(modifier, name)
    options.setdefault("text", name)
    if key is None:
        layout.prop(owner, "value", **options)
    elif _socket_type(modifier, name) == "NodeSocketMaterial":
        # A custom property does not know which kind of data-block it may point to.
        layout.prop_search(owner, f'["{key}"]', bpy.data, "materials", **options)
    else:
        layout.prop(owner, f'["{key}"]', **options)


def input_path(modifier: Any, name: str) -> str:
    """Return the path of an input's value from its object, for keyframes and drivers."""
    identifier = _identifier(modifier, name)
    base = f'modifiers["{bpy.utils.escape_identifier(modifier.name)}"]'
    return f"{base}.properties.inputs.{identifier}.value" if _typed(modifier) else f'{base}["{identifier}"]'


def use_nodes(material: Any) -> None:
    """Give ``material`` a node tree; from 5.0 on every material has one."""
    if material.node_tree is None:
        material.use_nodes = True


def _typed(modifier: Any) -> bool:
    # Since 5.2 inputs are typed properties; before, they are custom properties of the modifier.
    return hasattr(modifier, "properties")


def _input(modifier: Any, name: str) -> tuple[Any, str | None]:
    """Return the owner of an input's value, and its key there; None where the value is the attribute ``value``."""
    identifier = _identifier(modifier, name)
    if identifier is None:
        raise KeyError(f"the modifier {modifier.name} has no input {name!r}")
    if _typed(modifier):
        return getattr(modifier.properties.inputs, identifier), None
    return modifier, identifier


def _get(owner: Any, key: str | None) -> Any:
    return owner.value if key is None else owner[key]


def _identifier(modifier: Any, name: str) -> str | None:
    socket = _socket(modifier, name)
    return None if socket is None else str(socket.identifier)


def _socket_type(modifier: Any, name: str) -> str:
    return str(_socket(modifier, name).socket_type)


def _socket(modifier: Any, name: str) -> Any:
    for item in modifier.node_group.interface.items_tree:
        if item.item_type == "SOCKET" and item.in_out == "INPUT" and item.name == name:
            return item
    return None


def _is_registered(cls: type) -> bool:
    return "bl_rna" in cls.__dict__
