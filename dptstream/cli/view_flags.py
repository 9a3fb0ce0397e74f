"""Flags of `dptstream view`. Imports nothing heavy, so that --help is quick."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..viewer.settings import EDGE_THRESHOLD, FAR_UNITS, NEAR_UNITS

if TYPE_CHECKING:
    from ..viewer.settings import ViewSettings
    from ..wire.keys import ClientKeys

_FilterWord = Literal["decimation", "threshold", "spatial", "temporal", "hole-filling"]


@dataclass(frozen=True)
class LookFlags:
    """How depth is shown at first; keys change all of it."""

    mode: Literal["points", "surface"] = "points"
    """Points, or a surface of triangles."""
    color: Literal["picture", "depth"] = "picture"
    """Colours of the picture, or by depth."""
    color_range: Annotated[str, tyro.conf.arg(metavar="equalized|fixed|NEAR,FAR")] = "equalized"
    """Colours by depth: over the frame's histogram, over the feed's range, or between two distances."""
    near: float = NEAR_UNITS
    """Distance given to the near end of relative inverse depth, which has no unit."""
    far: float = FAR_UNITS
    """Distance given to its far end; metric depth is taken as it is."""
    cut_far: bool = False
    """Leave out the backdrop at the far end, such as the sky."""
    edge_threshold: float = EDGE_THRESHOLD
    """Largest step that is no edge, as a share of the distance, in a map 640 pixels wide; 0 cuts nothing."""
    sharpen_edges: bool = False
    """Move what hangs in mid-air within an edge to its nearer or farther side: narrower gaps, for some time a frame."""
    stride: int = 1
    """Show one pixel of so many, along rows and along columns."""
    voxel: float = 0.0
    """Show one point of each cube of this side; metres, or scene units."""
    point_size: Annotated[float | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side of a point, 1 to 16 pixels of the screen; the default is what leaves no gaps."""
    yaw: float = 0.0
    """Degrees that the eye has gone to the right around the scene, in pictures and when a window opens."""
    pitch: float = 0.0
    """Degrees that it has gone up."""
    axes: Literal["opencv", "opengl", "blender", "unity"] = "opencv"
    """Axes of saved PLY files: opencv is x right, y down, z forward; blender has z up. GLB has its own."""
    filters: tuple[_FilterWord, ...] = ()
    """RealSense's filters to begin with, at their defaults."""

    def settings(self, fov_x_deg: float | None) -> "ViewSettings":
        """Return the settings; raises ValueError for what cannot be shown."""
        from ..viewer.settings import Filters, ViewSettings

        if not (math.isfinite(self.yaw) and math.isfinite(self.pitch)):
            raise ValueError(f"--yaw and --pitch are degrees; got {self.yaw:g} and {self.pitch:g}")
        names = {word.replace("-", "_") for word in self.filters}
        everything = Filters()
        on = {name: replace(getattr(everything, name), enabled=True) for name in names}
        fixed = self.color_range != "equalized"
        return ViewSettings(
            mode=self.mode,
            color=self.color,
            color_range="fixed" if fixed else "equalized",
            color_limits=_limits(self.color_range),
            near=self.near,
            far=self.far,
            cut_far=self.cut_far,
            edge_cut=self.edge_threshold > 0,
            edge_threshold=self.edge_threshold or ViewSettings().edge_threshold,
            sharpen_edges=self.sharpen_edges,
            stride=self.stride,
            voxel=self.voxel,
            point_size=ViewSettings().point_size if self.point_size is None else self.point_size,
            fov_x_deg=fov_x_deg,
            axes=self.axes,
            filters=replace(everything, **on),
        )


def _limits(text: str) -> tuple[float, float] | None:
    if text in ("equalized", "fixed"):
        return None
    try:
        near, far = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"cannot read the range of colours {text!r}; write equalized, fixed or NEAR,FAR") from None
    return near, far


@dataclass(frozen=True)
class SaveFlags:
    """Pictures, films and files instead of a window."""

    snapshot: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """Save one picture; with --frames, of the last of them."""
    orbit: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mp4")] = None
    """Save a film of the feed while the eye swings around it."""
    orbit_seconds: float = 6.0
    """Its length."""
    export_ply: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Save each frame as PLY."""
    export_glb: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Save each frame as GLB (binary glTF)."""

    def check(self) -> None:
        """Raise ValueError for what cannot be saved."""
        for path, suffix, what in ((self.snapshot, ".png", "a picture"), (self.orbit, ".mp4", "a film")):
            if path is not None and path.suffix.lower() != suffix:
                raise ValueError(f"{what} is saved as {suffix}; got {path.name}")
        if not (math.isfinite(self.orbit_seconds) and self.orbit_seconds > 0):
            raise ValueError(f"--orbit-seconds must be positive; got {self.orbit_seconds:g}")

    @property
    def any(self) -> bool:
        """Whether anything is to be saved."""
        return any((self.snapshot, self.orbit, self.export_ply, self.export_glb))


@dataclass(frozen=True)
class PageFlags:
    """The viewer as a web page."""

    web: bool = False
    """Serve a web page instead of opening a window."""
    host: str = "127.0.0.1"
    """Address of the page; other machines reach 0.0.0.0, and then need a token."""
    port: int = 8577
    """Its port; 0 takes a free one."""
    token: str | None = None
    """Secret that visitors need, at least 12 letters; where one is needed and none is given, one is drawn."""


@dataclass(frozen=True)
class SenderFlags:
    """For addresses of feeds."""

    feed: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Show this feed of the address; the default is the first that sends."""
    control: Annotated[str | None, tyro.conf.arg(metavar="tcp://HOST:PORT|off")] = None
    """Where its sender takes requests; the default is the next port."""
    curve: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with this client's keys, as `dptstream keys` makes it; for senders with keys."""
    timeout: float = 20.0
    """When saving: give up after so many seconds without a frame; 0 waits for ever."""

    def keys(self) -> "ClientKeys | None":
        """Read the keys."""
        from ..wire.keys import load_client_keys

        return None if self.curve is None else load_client_keys(self.curve)


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT in pixels; raises ValueError."""
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise ValueError(f"cannot read the size {text!r}; write WIDTHxHEIGHT, as 1280x800") from None
    if not (64 <= width <= 8192 and 64 <= height <= 8192):
        raise ValueError(f"a window has 64 to 8192 pixels a side; got {text}")
    return width, height
