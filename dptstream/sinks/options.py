"""What may be chosen about an output folder. Frozen; decides every byte that is written."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["exr", "png16", "ffv1", "npz", "npy", "ply", "preview"]
ColorMap = Literal["turbo", "inferno", "magma", "viridis", "plasma", "cividis", "gray"]
Compression = Literal["zip", "zips", "piz", "none"]
Encoding = Literal["native", "inverse"]
Numbering = Literal["vfx", "blender"]
RangeOver = Literal["shot", "clip", "frame"]
RangePolicy = RangeOver | tuple[float, float]

FORMATS: tuple[Format, ...] = ("exr", "png16", "ffv1", "npz", "npy", "ply", "preview")
FIRST_NUMBER: dict[Numbering, int] = {"vfx": 1001, "blender": 1}
FRAME_SUFFIX: dict[Format, str] = {"exr": "exr", "png16": "png", "npz": "npz", "npy": "npy", "ply": "ply"}
VIDEO_NAME: dict[Format, str] = {"ffv1": "depth.mkv", "preview": "preview.mp4"}
_POLICIES: tuple[RangeOver, ...] = ("shot", "clip", "frame")
IMMEDIATE: frozenset[Format] = frozenset({"exr", "npz", "npy"})
"""Formats whose files need nothing but their own frame; the others wait for their shot's range."""


def parse_range(text: str) -> RangePolicy:
    """Read ``shot``, ``clip``, ``frame`` or ``LO,HI`` as typed on a command line; raises ValueError."""
    for policy in _POLICIES:
        if text == policy:
            return policy
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"range must be shot, clip, frame or LO,HI; got {text!r}") from None
    return _checked_range(low, high)


def _checked_range(low: float, high: float) -> tuple[float, float]:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a range needs two finite numbers, the smaller first; got {low:g},{high:g}")
    return low, high


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """How a clip's depth is laid down in a folder."""

    directory: Path
    """The clip's own folder; made where it is missing."""
    formats: tuple[Format, ...] = ("exr", "preview")
    """What to write; each format at most once."""
    half: bool = False
    """Write EXR as 16-bit floats (11 significant bits) instead of 32-bit."""
    exr_channel: str | None = None
    """Name of the EXR channel; None: ``Z`` for metric depth, else a name of its own."""
    compression: Compression = "zip"
    """How EXR files are compressed; all choices are lossless."""
    numbering: Numbering = "vfx"
    """Number of the first frame: ``vfx`` 1001, ``blender`` 1."""
    start_frame: int | None = None
    """Number of the first frame, instead of the preset's; at least 0."""
    encode: Encoding = "native"
    """``native``: the model's own values; ``inverse``: depth is written as its inverse (1/m for metric)."""
    range: RangePolicy = "shot"
    """Over what the range of integer formats and the preview is taken, or the range itself in the model's values."""
    color_map: ColorMap = "inferno"
    """Colours of the preview; all but turbo grow brighter towards the near end."""
    invert: bool = False
    """Near dark instead of near bright, in the preview and in integer formats that map a range."""
    side_by_side: bool = False
    """Put the picture to the left of the depth in the preview."""
    audio: bool = True
    """Keep the source's sound in the preview."""
    overwrite: bool = False
    """Remove the files of an earlier run first. Files of others are never touched."""
    resume: bool = False
    """Go on with an earlier run that did not finish."""
    workers: int = 2
    """Threads that write files, at least 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory))
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats must be some of {', '.join(FORMATS)}, each once; got {list(self.formats)}")
        if self.overwrite and self.resume:
            raise ValueError("overwrite and resume exclude each other: choose one")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")
        if self.start_frame is not None and self.start_frame < 0:
            raise ValueError(f"start_frame must be at least 0; got {self.start_frame}")
        if self.exr_channel is not None and not self.exr_channel.strip("."):
            raise ValueError(f"exr_channel must name a channel such as Z or depth.Z; got {self.exr_channel!r}")
        if isinstance(self.range, tuple):
            _checked_range(*self.range)

    @property
    def first_number(self) -> int:
        """Number in the name of the first frame's files."""
        return FIRST_NUMBER[self.numbering] if self.start_frame is None else self.start_frame

    @property
    def deferred(self) -> tuple[Format, ...]:
        """The formats that wait for their shot's range, in the order of ``FORMATS``."""
        return tuple(name for name in FORMATS if name in self.formats and name not in IMMEDIATE)

    def record(self) -> dict[str, object]:
        """Return everything that decides the bytes written, as JSON values."""
        return {
            "formats": [name for name in FORMATS if name in self.formats],
            "first_number": self.first_number,
            "half": self.half,
            "exr_channel": self.exr_channel,
            "compression": self.compression,
            "encode": self.encode,
            "range": list(self.range) if isinstance(self.range, tuple) else self.range,
            "color_map": self.color_map,
            "invert": self.invert,
            "side_by_side": self.side_by_side,
            "audio": self.audio,
        }
