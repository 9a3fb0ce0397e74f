"""Depth frames as messages of the wire: codes, a calm range for displays, the picture at the depth's size."""

import time
import uuid
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import SinkError
from ..frames import DepthFrame, VideoFrame
from ..geometry import DepthKind, RangeState, step_range
from ..wire import DepthPlane, EndMessage, FrameMessage, JpegColor, RawColor, SourceNote
from ..wire.messages import EndReason, RangeScope, feed_name, printable
from .base import FeedInfo
from .mapping import Codes, sample
from .quantity import Quantity

DepthType = Literal["float16", "float32", "uint16"]
ColorType = Literal["rgb", "jpeg", "none"]

_MARGIN = 0.5
"""Room on either side of a shot's first range, as a share of it: values move, and a range that follows costs precision."""
_LARGEST_HALF = 60_000.0
"""Values up to here fit float16, with some room."""


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """How frames are put into messages."""

    depth: DepthType = "float16"
    """float16: 11 significant bits; uint16: millimetres, or 15 bits over the range of a shot; float32: as computed."""
    color: ColorType = "rgb"
    """The picture at the depth's size, lossless or as JPEG, or no picture."""
    jpeg_quality: int = 85
    """1 to 100."""
    range: Literal["slow", "shot", "frame"] | tuple[float, float] = "slow"
    """Where the range for displays comes from: it follows the values slowly, or is that of each shot's first frame, or of
    each frame, or the range itself in the model's values. Depth itself is the same with all of them."""

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must lie between 1 and 100; got {self.jpeg_quality}")
        if isinstance(self.range, tuple) and not self.range[0] < self.range[1]:
            raise ValueError(f"a range needs two numbers, the smaller first; got {self.range}")


@dataclass(slots=True)
class _Shot:
    """What stays the same until the next cut, unless values leave it."""

    shown: RangeState | None = None
    """Range for displays; None before the first value."""
    reach: tuple[float, float] | None = None
    """Values that ``codes`` reach."""
    codes: Codes = Codes.millimetres()  # noqa: RUF009 - frozen
    """For uint16."""
    half_scale: float = 1.0
    """For float16."""


class MessageMaker:
    """Makes the messages of one session of a feed.

    Args:
        feed: What the frames have in common.
        options: How they are put into messages.
        name: Name of the feed; None takes the source's.
        smoothing: Name of the filter that steadied the depth, if any.

    Attributes:
        feed: Name of the feed.
        session: Drawn anew for each maker.
        next_sequence: Number of the next frame.
    """

    def __init__(
        self, feed: FeedInfo, options: MessageOptions, *, name: str | None = None, smoothing: str | None = None
    ) -> None:
        self.feed = feed_name(name or feed.name)
        self.session = uuid.uuid4().hex
        self.next_sequence = 0
        self._info = feed
        self._options = options
        self._smoothing = None if smoothing is None else printable(smoothing)
        self._model = printable(str(feed.model.get("name", "")))
        self._license = printable(str(feed.model.get("license") or ""))
        self._shot = _Shot()

    def frame(self, frame: DepthFrame) -> FrameMessage:
        """Return the message of ``frame``; must be called in order."""
        video = frame.video
        if frame.scene_cut or video.discontinuity or self._options.range == "frame":
            self._shot = _Shot()
        depth = self._depth(frame)
        color = self._color(video, depth.width, depth.height)
        sequence, self.next_sequence = self.next_sequence, self.next_sequence + 1
        now = time.time_ns()
        return FrameMessage(
            feed=self.feed,
            session=self.session,
            sequence=sequence,
            frame_number=video.sequence,
            pts=video.pts,
            time_base=video.time_base,
            captured_unix_ns=now - (time.monotonic_ns() - video.captured_ns) if video.captured_ns else None,
            published_unix_ns=now,
            source=SourceNote(printable(self._info.name), video.width, video.height),
            intrinsics=self._info.intrinsics.scaled_to(depth.width, depth.height),
            depth=depth,
            color=color,
            model=self._model,
            model_license=self._license,
            smoothing=self._smoothing,
            scene_cut=frame.scene_cut,
            discontinuity=video.discontinuity,
        )

    def end(self, reason: EndReason, note: str = "") -> EndMessage:
        """Return the last message of the session."""
        return EndMessage(self.feed, self.session, time.time_ns(), self.next_sequence, reason, printable(note))

    def _depth(self, frame: DepthFrame) -> DepthPlane:
        values, kind = frame.depth, frame.kind
        low, high = self._display_range(frame)
        scope: RangeScope = "fixed" if isinstance(self._options.range, tuple) else self._options.range
        if self._options.depth == "float32":
            return DepthPlane(values, kind, low, high, scope=scope)
        self._follow(values, kind)
        if self._options.depth == "float16":
            scale = self._shot.half_scale
            return DepthPlane(_as_half(values, scale), kind, low, high, scale, scope=scope)
        codes = self._shot.codes
        return DepthPlane(codes.encode(values), kind, low, high, codes.scale, codes.offset, scope)

    def _display_range(self, frame: DepthFrame) -> tuple[float, float]:
        if isinstance(self._options.range, tuple):
            return self._options.range
        shown = self._shot.shown
        if shown is None or self._options.range == "slow":
            values = sample(frame.depth, Quantity.of(frame.kind, "native"))
            shown = self._shot.shown = step_range(values, frame.video.pts_seconds, shown)
        return (shown.low, shown.high) if shown is not None else (0.0, 1.0)

    def _follow(self, values: NDArray[np.float32], kind: DepthKind) -> None:
        """Widen the reach of the codes where ``values`` need it; as long as they fit, a shot keeps its steps."""
        # fmin and fmax pass over NaN; infinities are no values either.
        finite = np.isfinite(values)
        low = float(np.fmin.reduce(values, axis=None, where=finite, initial=np.inf))
        high = float(np.fmax.reduce(values, axis=None, where=finite, initial=-np.inf))
        if low > high or (self._options.depth == "uint16" and kind is DepthKind.METRIC):
            return
        # A power of two, so that nothing but the exponent of a value changes; 1 for usual values.
        while max(abs(low), abs(high)) / self._shot.half_scale > _LARGEST_HALF:
            self._shot.half_scale *= 2.0
        if self._shot.reach is not None and self._shot.reach[0] <= low and high <= self._shot.reach[1]:
            return
        if self._shot.reach is not None:
            low, high = min(low, self._shot.reach[0]), max(high, self._shot.reach[1])
        room = _MARGIN * ((high - low) or 1.0)
        self._shot.reach = low - room, high + room
        self._shot.codes = Codes.spanning(*self._shot.reach, invert=False)

    def _color(self, video: VideoFrame, width: int, height: int) -> RawColor | JpegColor | None:
        if self._options.color == "none":
            return None
        image = _resized(np.ascontiguousarray(video.image), width, height)
        if self._options.color == "rgb":
            return RawColor(image)
        settings = [cv2.IMWRITE_JPEG_QUALITY, self._options.jpeg_quality]
        done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
        if not done:
            raise SinkError(f"a picture of {width}x{height} cannot be put into a JPEG; send it as rgb")
        return JpegColor(data.reshape(-1).data, width, height)


def _resized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    # Averaging over areas of uneven size takes 10 to 30 ms; halving, then interpolating, takes 1 and looks the same.
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _as_half(values: NDArray[np.float32], scale: float) -> NDArray[np.float16]:
    codes = (values if scale == 1.0 else values / np.float32(scale)).astype(np.float16)
    if not np.isfinite(values).all():
        codes[~np.isfinite(codes)] = np.nan
    return codes
