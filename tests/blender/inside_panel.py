"""Runs within Blender: draws the panel into a layout that writes down what it is asked to draw."""

import time
from types import SimpleNamespace
from typing import Any

import bpy
from inside import part


class Layout:
    """Takes what a layout of Blender takes, checks that it exists, and writes it down."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.alert = self.enabled = self.use_property_split = self.use_property_decorate = True

    def column(self, **_: Any) -> "Layout":
        return self

    box = row = column

    def label(self, *, text: str = "", icon: str = "NONE") -> None:
        _check_icon(icon)
        self.lines.append(text)

    def prop(self, owner: Any, name: str, *, text: str | None = None, icon: str = "NONE", **_: Any) -> None:
        _check_icon(icon)
        # Raises where the property does not exist, as Blender's layout would complain.
        value = owner.path_resolve(name) if name.startswith("[") else getattr(owner, name)
        self.lines.append(
            f"{text or name} = {value if isinstance(value, str | int | float | bool) else getattr(value, 'name', '')}"
        )

    def prop_search(self, owner: Any, name: str, source: Any, collection: str, *, text: str) -> None:
        value = owner.path_resolve(name)
        assert value is None or value.name in getattr(source, collection)
        self.lines.append(f"{text} = {'' if value is None else value.name}")

    def operator(self, name: str, *, text: str | None = None, icon: str = "NONE") -> Any:
        _check_icon(icon)
        module, _, function = name.partition(".")
        label = getattr(getattr(bpy.ops, module), function).get_rna_type().name
        self.lines.append(f"[{text or label}]")
        return SimpleNamespace()


def drawn(panel: str) -> list[str]:
    """Return what a panel draws, or nothing where it does not show."""
    cls = getattr(bpy.types, panel)
    if not getattr(cls, "poll", lambda _: True)(bpy.context):
        return []
    layout = Layout([])
    cls.draw(SimpleNamespace(layout=layout), bpy.context)
    return layout.lines


def names() -> list[str]:
    """Return the names of the panels in the tab Depth."""
    return sorted(name for name in dir(bpy.types) if name.startswith("DPTSTREAM_PT_"))


def tab(panel: str) -> str:
    """Return the tab that a panel is in."""
    return str(getattr(bpy.types, panel).bl_category)


def set_scene(**settings: Any) -> None:
    """Set settings of the scene."""
    for name, value in settings.items():
        setattr(bpy.context.scene.dptstream, name, value)


def set_python(path: str) -> None:
    """Name the Python with dptstream in the preferences."""
    bpy.context.preferences.addons[part("live").__package__].preferences.python = path


def draw_preferences() -> list[str]:
    """Return what the extension's preferences draw."""
    layout = Layout([])
    preferences = bpy.context.preferences.addons[part("live").__package__].preferences
    part("preferences").DPTSTREAM_AP_preferences.draw(SimpleNamespace(layout=layout, python=preferences.python), None)
    return layout.lines


def view_transform(name: str = "") -> str:
    """Set the view transform, if one is named; return it."""
    settings = bpy.context.scene.view_settings
    if name:
        settings.view_transform = name
    return str(settings.view_transform)


def replace_modifier() -> None:
    """Have a node group of one's own instead of the one that makes the surface."""
    modifiers = bpy.context.scene.dptstream.shown.modifiers
    modifiers.clear()
    modifiers.new("Mine", "NODES").node_group = bpy.data.node_groups.new("Mine", "GeometryNodeTree")


def load_clip(path: str) -> str:
    """Make a clip the scene's active one; return where the server would find it."""
    bpy.context.scene.active_clip = bpy.data.movieclips.load(path)
    return str(part("operators").order(bpy.context).location)


def server_log() -> list[str]:
    """Return the log of the server that was started here."""
    return list(part("steering").log())


def wait_for_log(text: str, seconds: float = 240.0) -> list[str]:
    """Wait until the server's log holds ``text`` or it ended; return the log."""
    deadline = time.monotonic() + seconds
    while not any(text in line for line in server_log()) and part("steering").server_runs():
        assert time.monotonic() < deadline, server_log()
        time.sleep(0.1)
    return server_log()


def wait_for_the_servers_end(seconds: float = 240.0) -> None:
    """Wait until the server that was started here ended by itself."""
    deadline = time.monotonic() + seconds
    while part("steering").server_runs():
        assert time.monotonic() < deadline, server_log()
        time.sleep(0.1)


def wait_for_answer(seconds: float = 240.0) -> str:
    """Wait until the server answered the last order; return what it refused."""
    part("steering")._state.asking.wait(seconds)
    return str(part("steering").problem())


def _check_icon(icon: str) -> None:
    icons = bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items
    assert icon in icons, f"Blender has no icon {icon}"
