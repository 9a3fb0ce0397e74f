"""What travels on the wire, as frozen dataclasses. Knows no bytes (see packing.py) and no socket."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..geometry import DepthKind, Intrinsics

FeedState = Literal["playing", "paused", "waiting", "ended"]
EndReason = Literal["finished", "stopped", "failed"]
RangeScope = Literal["slow", "shot", "fixed", "frame"]
DepthCodes = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.uint16]

MAX_TEXT = 256
"""Longest free text, characters."""
MAX_SEQUENCE = 2**53 - 1
"""Largest count: beyond it JavaScript's numbers lose units."""
MAX_TERM = 2**31 - 1
"""Largest numerator and denominator of a time base."""

_FEED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SESSION = re.compile(r"[0-9a-f]{32}\Z")
_DEPTH_TYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.uint16))


@dataclass(frozen=True, slots=True, eq=False)
class DepthPlane:
    """A depth map as it is sent: codes, and what makes values of them."""

    codes: DepthCodes
    """(H, W) float16, float32 or uint16. Received ones are read-only views of the message."""
    kind: DepthKind
    """What the values mean."""
    low: float
    """Smallest value to tell apart on a display, in values; steady as ``scope`` says."""
    high: float
    """Largest value to tell apart on a display, in values; > ``low``."""
    scale: float = 1.0
    """``value = code * scale + offset``; not 0."""
    offset: float = 0.0
    """Value of code 0."""
    scope: RangeScope = "shot"
    """How ``low`` and ``high`` change: slowly, but for scene cuts and discontinuities; at these alone; never within the
    session; or from frame to frame."""

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype not in _DEPTH_TYPES or not self.codes.size:
            raise ValueError(
                f"depth must be (H, W) float16, float32 or uint16, not empty; got {self.codes.shape} {self.codes.dtype}"
            )
        numbers = (self.low, self.high, self.scale, self.offset)
        if not all(map(math.isfinite, numbers)) or self.low >= self.high or self.scale == 0:
            raise ValueError(
                f"depth needs finite low < high and a scale other than 0; got low={self.low}, high={self.high}, "
                f"scale={self.scale}, offset={self.offset}"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.codes.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.codes.shape[1])

    def values(self) -> NDArray[np.float32]:
        """Return (H, W) float32 values in the unit of ``kind``; NaN where there is none (code 0 of uint16, NaN, inf)."""
        if self.codes.dtype == np.uint16:
            values = np.multiply(self.codes, np.float32(self.scale), dtype=np.float32)
            values += np.float32(self.offset)
            values[self.codes == 0] = np.nan
            return values
        values = self.codes.astype(np.float32)
        if (self.scale, self.offset) != (1.0, 0.0):
            values *= np.float32(self.scale)
            values += np.float32(self.offset)
        values[~np.isfinite(values)] = np.nan
        return values

    def __repr__(self) -> str:
        return (
            f"DepthPlane({self.width}x{self.height} {self.codes.dtype} {self.kind.value}, {self.low:g}..{self.high:g})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class RawColor:
    """A picture as it is."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, sRGB; its size may differ from the depth's. Received ones are read-only."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8 or not self.pixels.size:
            raise ValueError(f"colour must be (H, W, 3) uint8, not empty; got {self.pixels.shape} {self.pixels.dtype}")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    def __repr__(self) -> str:
        return f"RawColor({self.width}x{self.height})"


@dataclass(frozen=True, slots=True, eq=False)
class JpegColor:
    """A picture as a JPEG file; whoever needs its pixels brings a decoder."""

    data: bytes | memoryview
    """The file, not empty."""
    width: int
    """Columns after decoding."""
    height: int
    """Rows after decoding."""

    def __post_init__(self) -> None:
        if not len(self.data) or self.width < 1 or self.height < 1:
            raise ValueError(f"a JPEG needs bytes and a size; got {len(self.data)} bytes, {self.width}x{self.height}")

    def decoded(self, decode: Callable[[bytes | memoryview], NDArray[np.uint8]]) -> RawColor:
        """Return the picture that ``decode`` makes of the file; raises ValueError where its size is not as announced."""
        color = RawColor(decode(self.data))
        if (color.width, color.height) != (self.width, self.height):
            raise ValueError(
                f"the JPEG holds {color.width}x{color.height} pixels where {self.width}x{self.height} were announced"
            )
        return color

    def __repr__(self) -> str:
        return f"JpegColor({self.width}x{self.height}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class SourceNote:
    """The picture's origin."""

    name: str
    """Short name of the source; printable, at most 256 characters."""
    width: int
    """Width of the source's picture, pixels."""
    height: int
    """Height of the source's picture, pixels."""

    def __post_init__(self) -> None:
        _check_text("source name", self.name)
        _check_count("source width", self.width, least=1)
        _check_count("source height", self.height, least=1)


@dataclass(frozen=True, slots=True, eq=False)
class FrameMessage:
    """One frame of a feed: depth, its picture, and all that is needed to understand them without any other message."""

    feed: str
    """Name of the feed: up to 64 letters, digits, ``.``, ``_``, ``-``."""
    session: str
    """32 hexadecimal digits, drawn anew whenever the feed starts; where it changes, nothing carries over."""
    sequence: int
    """Count of the frames sent in this session, from 0; a gap is what got lost on the way."""
    frame_number: int
    """Count of the source's frames; a gap beyond that of ``sequence`` is what the sender left out."""
    pts: int
    """Presentation time, ticks of ``time_base``."""
    time_base: Fraction
    """Seconds per tick, > 0."""
    captured_unix_ns: int | None
    """When the picture reached the sender, ns since 1970 by the sender's clock; None where that means nothing."""
    published_unix_ns: int
    """When the frame was handed to the network, ns since 1970 by the sender's clock."""
    source: SourceNote
    """The picture's origin."""
    intrinsics: Intrinsics
    """The camera, with the size its numbers refer to and where they come from."""
    depth: DepthPlane
    """The depth map."""
    color: RawColor | JpegColor | None
    """The picture, or None where the feed sends none."""
    model: str
    """Name of the model."""
    model_license: str
    """Licence of its weights; empty where unknown."""
    smoothing: str | None = None
    """Name of the filter that steadied the depth over time; None for raw depth."""
    scene_cut: bool = False
    """Whether a new shot begins with this frame."""
    discontinuity: bool = False
    """Whether the source jumped or was re-opened just before this frame."""

    def __post_init__(self) -> None:
        _check_identity(self.feed, self.session)
        _check_count("sequence", self.sequence)
        _check_count("frame_number", self.frame_number)
        if abs(self.pts) > MAX_SEQUENCE:
            raise ValueError(f"pts must lie within +-(2**53 - 1); got {self.pts}")
        if self.time_base <= 0 or max(self.time_base.as_integer_ratio()) > MAX_TERM:
            raise ValueError(f"time_base must be positive with terms below 2**31; got {self.time_base}")
        _check_time("captured_unix_ns", self.captured_unix_ns or 0)
        _check_time("published_unix_ns", self.published_unix_ns)
        _check_text("model", self.model)
        _check_text("model_license", self.model_license)
        _check_text("smoothing", self.smoothing or "")

    @property
    def pts_seconds(self) -> float:
        """Presentation time, seconds."""
        return float(self.pts * self.time_base)

    def __repr__(self) -> str:
        return (
            f"FrameMessage({self.feed} {self.session[:8]} #{self.sequence}, pts={self.pts}, {self.depth}, {self.color})"
        )


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """Sign of life of a feed, once a second."""

    feed: str
    """Name of the feed."""
    session: str
    """Its session."""
    published_unix_ns: int
    """When it was sent, ns since 1970 by the sender's clock."""
    state: FeedState
    """``playing``, ``paused`` by somebody, ``waiting`` for the source, or ``ended``."""
    next_sequence: int
    """Number that the next frame will have."""
    frames_per_second: float
    """Frames sent per second, over the last second."""
    subscribers: int | None = None
    """How many are connected; None where unknown."""
    note: str = ""
    """One line for people; may be empty."""

    def __post_init__(self) -> None:
        _check_identity(self.feed, self.session)
        _check_time("published_unix_ns", self.published_unix_ns)
        _check_count("next_sequence", self.next_sequence)
        _check_count("subscribers", self.subscribers or 0)
        if not (math.isfinite(self.frames_per_second) and self.frames_per_second >= 0):
            raise ValueError(f"frames_per_second must be finite and at least 0; got {self.frames_per_second}")
        _check_text("note", self.note)


@dataclass(frozen=True, slots=True)
class EndMessage:
    """The last message of a session."""

    feed: str
    """Name of the feed."""
    session: str
    """The session that ends."""
    published_unix_ns: int
    """When it was sent, ns since 1970 by the sender's clock."""
    next_sequence: int
    """How many frames the session had."""
    reason: EndReason
    """``finished``: the source ended; ``stopped``: somebody ended it; ``failed``."""
    note: str = ""
    """One line for people, such as what failed; may be empty."""

    def __post_init__(self) -> None:
        _check_identity(self.feed, self.session)
        _check_time("published_unix_ns", self.published_unix_ns)
        _check_count("next_sequence", self.next_sequence)
        _check_text("note", self.note)


Message = FrameMessage | StatusMessage | EndMessage


def printable(text: str) -> str:
    """Return ``text`` cut and cleaned so that a message may carry it: no control characters, at most 256 characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:MAX_TEXT]


def feed_name(text: str) -> str:
    """Return ``text`` as a legal name of a feed."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-")[:64]
    return name or "feed"


def check_feed(feed: str) -> None:
    """Refuse what cannot be the name of a feed; raises ValueError."""
    if not _FEED.match(feed):
        raise ValueError(
            f"a feed's name holds up to 64 letters, digits, '.', '_', '-' and begins with one of the first two; "
            f"got {feed[:80]!r}"
        )


def _check_identity(feed: str, session: str) -> None:
    check_feed(feed)
    if not _SESSION.match(session):
        raise ValueError(f"a session is 32 hexadecimal digits; got {session[:80]!r}")


def _check_count(name: str, count: int, *, least: int = 0) -> None:
    if not least <= count <= MAX_SEQUENCE:
        raise ValueError(f"{name} must lie between {least} and 2**53 - 1; got {count}")


def _check_time(name: str, unix_ns: int) -> None:
    if not 0 <= unix_ns < 2**63:
        raise ValueError(f"{name} must lie between 0 and 2**63 ns; got {unix_ns}")


def _check_text(name: str, text: str) -> None:
    # Control characters could steer the terminal of whoever prints what a stranger sent.
    if len(text) > MAX_TEXT or not text.isprintable():
        raise ValueError(f"{name} must be printable, of at most {MAX_TEXT} characters; got {text[:80]!r}")
