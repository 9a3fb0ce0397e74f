"""What the keys of the window do to how depth is shown. Opens no window; see ``window.py``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .settings import ColorScheme, Filters, ViewSettings

Change = Callable[[ViewSettings, int], ViewSettings]
"""Makes new settings of old ones; the number is 1, or -1 with Shift."""

_SCHEMES: tuple[ColorScheme, ...] = ("jet", "white_to_black", "black_to_white")
FilterName = Literal["decimation", "threshold", "spatial", "temporal", "hole_filling"]
FILTERS: tuple[FilterName, ...] = ("decimation", "threshold", "spatial", "temporal", "hole_filling")
"""In the order of their keys, 1 to 5."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and what it does to the settings."""

    name: str
    """The key as its cap says, one character."""
    does: str
    """What it does, for people."""
    change: Change
    """How."""


def _mode(settings: ViewSettings, _: int) -> ViewSettings:
    return replace(settings, mode="surface" if settings.mode == "points" else "points")


def _color(settings: ViewSettings, _: int) -> ViewSettings:
    if settings.color == "picture":
        return replace(settings, color="depth", color_range="equalized")
    if settings.color_range == "equalized":
        return replace(settings, color_range="fixed")
    return replace(settings, color="picture")


def _scheme(settings: ViewSettings, way: int) -> ViewSettings:
    place = _SCHEMES.index(settings.color_scheme)
    return replace(settings, color_scheme=_SCHEMES[(place + way) % len(_SCHEMES)])


def _edge(settings: ViewSettings, _: int) -> ViewSettings:
    return replace(settings, edge_cut=not settings.edge_cut)


def _edge_threshold(settings: ViewSettings, way: int) -> ViewSettings:
    return replace(settings, edge_cut=True, edge_threshold=min(max(settings.edge_threshold * 1.25**way, 0.002), 1.0))


def _near(settings: ViewSettings, way: int) -> ViewSettings:
    return replace(settings, near=min(max(settings.near * 1.2**way, 0.05), settings.far / 1.05))


def _far(settings: ViewSettings, way: int) -> ViewSettings:
    return replace(settings, far=min(max(settings.far * 1.2**way, settings.near * 1.05), 1000.0))


def _backdrop(settings: ViewSettings, _: int) -> ViewSettings:
    return replace(settings, cut_far=not settings.cut_far)


def _point_size(settings: ViewSettings, way: int) -> ViewSettings:
    return replace(settings, point_size=min(max(settings.point_size + way, 1.0), 16.0))


def _stride(settings: ViewSettings, way: int) -> ViewSettings:
    return replace(settings, stride=(settings.stride - 1 + way) % 8 + 1)


def _filter(name: FilterName) -> Change:
    def switch(settings: ViewSettings, _: int) -> ViewSettings:
        old = getattr(settings.filters, name)
        filters: Filters = replace(settings.filters, **{name: replace(old, enabled=not old.enabled)})
        return replace(settings, filters=filters)

    return switch


KEYS: tuple[Key, ...] = (
    Key("M", "points or surface", _mode),
    Key("C", "colours: picture, depth (equalised), depth (fixed range)", _color),
    Key("J", "colour scheme", _scheme),
    Key("E", "edge cut on or off", _edge),
    Key("T", "edge threshold up (Shift: down)", _edge_threshold),
    Key("K", "sharpen edges", lambda settings, _: replace(settings, sharpen_edges=not settings.sharpen_edges)),
    Key("N", "near end farther (Shift: nearer)", _near),
    Key("F", "far end farther (Shift: nearer)", _far),
    Key("B", "backdrop (sky) shown or cut", _backdrop),
    Key("P", "points larger (Shift: smaller)", _point_size),
    Key("D", "fewer points (Shift: more)", _stride),
    *(
        Key(str(number), f"filter: {name.replace('_', ' ')}", _filter(name))
        for number, name in enumerate(FILTERS, start=1)
    ),
)
"""Keys that change settings; what moves the eye or the film is in ``HANDLED``."""

HANDLED: tuple[tuple[str, str], ...] = (
    ("V", "field of view wider (Shift: narrower)"),
    ("Space", "pause or go on; a camera's picture freezes"),
    ("Z", "freeze what is shown"),
    ("Left Right", "a frame back, ahead (Shift: a second)"),
    ("Home End", "first, last frame"),
    ("L", "loop on or off"),
    ("[ ]", "slower, faster"),
    ("R", "reset the view"),
    ("0", "the camera's own view"),
    ("S", "save a picture (PNG)"),
    ("Y", "save the points or surface (PLY; Shift: GLB)"),
    ("X", "record the feed (Shift: what the window shows)"),
    ("H", "these keys"),
    ("F11 Esc", "full screen, leave"),
)
"""Keys and what they do, of those that are not about settings alone."""


_MOUSE: tuple[tuple[str, str], ...] = (("Drag", "turn"), ("Ctrl or middle drag", "move"), ("Wheel", "zoom"))


def key_lines() -> list[str]:
    """Return one line for each key, for the screen, whose letters differ in width."""
    rows = [(key.name, key.does) for key in KEYS] + list(HANDLED)
    return ["   ".join(f"{name}: {does}" for name, does in _MOUSE), *(f"{name}   {does}" for name, does in rows)]


def key_table() -> list[str]:
    """Return the same in columns, for the terminal and --help."""
    rows = [*_MOUSE, *((key.name, key.does) for key in KEYS), *HANDLED]
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {does}" for name, does in rows]


def words(settings: ViewSettings) -> str:
    """Return the settings that can be seen, in a few words."""
    if settings.color == "picture":
        color = "picture"
    else:
        color = f"depth ({settings.color_range}, {settings.color_scheme.replace('_', ' ')})"
    parts = [
        settings.mode,
        f"colour {color}",
        f"edge cut {settings.edge_threshold:.3f}" if settings.edge_cut else "edges whole",
    ]
    parts.append(f"near {settings.near:.3g} far {settings.far:.3g}")
    if settings.sharpen_edges:
        parts.append("sharpened")
    if settings.cut_far:
        parts.append("backdrop cut")
    if settings.fov_x_deg is not None:
        parts.append(f"fov {settings.fov_x_deg:.0f} deg")
    if settings.stride > 1:
        parts.append(f"stride {settings.stride}")
    on = [name.replace("_", " ") for name in FILTERS if getattr(settings.filters, name).enabled]
    if on:
        parts.append(f"filters: {', '.join(on)}")
    return " | ".join(parts)
