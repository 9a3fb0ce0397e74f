"""What a user may ask of a source, and how the words of the command line are read. Opens nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

DEFAULT_PICTURE_RATE = Fraction(24)
"""Frames per second of numbered pictures, which carry no time: what readers of EXR sequences assume too."""

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", re.ASCII)
_FRAMES = re.compile(r"(\d+)f", re.ASCII)
_INTEGER = re.compile(r"\s*\d+\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Time:
    """A moment of a clip, counted from its first frame."""

    value: Fraction
    """Seconds, or a whole number of frames; >= 0."""
    unit: Literal["seconds", "frames"] = "seconds"
    """What ``value`` counts."""

    def __post_init__(self) -> None:
        if self.value < 0 or (self.unit == "frames" and self.value.denominator != 1):
            raise ValueError(f"a time must be >= 0, and whole where it counts frames; got {self.value} {self.unit}")

    def __str__(self) -> str:
        return f"{self.value}f" if self.unit == "frames" else f"{float(self.value):g}s"


def parse_time(text: str) -> Time:
    """Read a moment as users write it: ``90``, ``30s``, ``1:02.5``, ``1:00:00`` or ``120f`` (frames)."""
    words = text.strip()
    if frames := _FRAMES.fullmatch(words):
        return Time(Fraction(int(frames[1])), "frames")
    clock = _CLOCK.fullmatch(words)
    if clock is None:
        raise ValueError(f"cannot read the time {text!r}; write 90, 30s, 1:02.5, 1:00:00 or 120f (frames)")
    hours, minutes, seconds = clock.groups(default="0")
    return Time(int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds))


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of the upright picture, in its pixels."""

    x: int
    """First column kept."""
    y: int
    """First row kept."""
    width: int
    """Columns kept, > 0."""
    height: int
    """Rows kept, > 0."""

    def __post_init__(self) -> None:
        if self.x < 0 or self.y < 0 or self.width < 1 or self.height < 1:
            raise ValueError(f"a crop needs x, y >= 0 and width, height > 0; got {self}")

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    def fits(self, width: int, height: int) -> bool:
        """Tell whether the window lies within a picture of ``width`` x ``height``."""
        return self.x + self.width <= width and self.y + self.height <= height


def parse_crop(text: str) -> Crop:
    """Read ``x,y,width,height`` in pixels."""
    numbers = text.split(",")
    if len(numbers) != 4 or not all(_INTEGER.fullmatch(number) for number in numbers):
        raise ValueError(f"cannot read the crop {text!r}; write x,y,width,height in pixels, e.g. 0,60,1920,960")
    return Crop(*map(int, numbers))


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Which part of a source is wanted, and how patient to be."""

    start: Time | None = None
    """First moment wanted."""
    end: Time | None = None
    """First moment no longer wanted."""
    every: int = 1
    """Take each N-th frame, beginning with the first one wanted; >= 1."""
    fps: Fraction | None = None
    """Thin to at most so many frames per second by their times; never repeats a frame, never moves one. > 0."""
    crop: Crop | None = None
    """Window of the upright picture to keep."""
    picture_rate: Fraction = DEFAULT_PICTURE_RATE
    """Frames per second that pictures of a folder, glob or pattern are taken for; > 0."""
    live: bool | None = None
    """Whether frames come at their own pace; None decides by the kind of location."""
    open_timeout_s: float = 10.0
    """How long a network address may take to answer, seconds; > 0."""
    read_timeout_s: float = 10.0
    """How long a network stream may pause before it counts as lost, seconds; > 0."""
    native: bool = False
    """Also give pictures as the decoder stores them, where they are upright and whole: half the bytes of RGB."""
    card: int | None = None
    """Number of the CUDA device that is asked to decode, and whose memory pictures then stay in; None is the processor. What
    it cannot decode the processor does. Implies ``native``."""
    format_options: Mapping[str, str] = field(default_factory=dict)
    """Options handed to FFmpeg's reader, such as ``video_size`` or ``framerate`` of a camera."""

    def __post_init__(self) -> None:
        for name in ("every", "picture_rate", "open_timeout_s", "read_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"fps must be positive; got {self.fps}")
        if self.start and self.end and self.start.unit == self.end.unit and self.start.value >= self.end.value:
            raise ValueError(f"start must lie before end; got {self.start} and {self.end}")
