"""Videos, addresses and cameras through PyAV (FFmpeg). Pictures in folders are read by pictures.py."""

from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import NamedTuple, Self

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import SourceAwayError, SourceError
from ..frames import VideoFrame, YuvPicture
from .base import SourceInfo, SourceStats
from .camera_tags import intrinsics_of_video
from .conversion import RgbConverter, orientation_of
from .framing import crop_image, crop_intrinsics, require_fit
from .locations import short_name, without_secrets
from .native import native_picture
from .options import SourceOptions, parse_time
from .orientation import Orientation
from .reader import StreamReader
from .selection import FrameSelector, Verdict, expected_count
from .timeline import Timeline

_FALLBACK_RATE = Fraction(25)
_HIGHEST_RATE = 1000  # above this a stated rate is a container's clock, not its frames'
_SEEK_FROM_SECONDS = 2  # decoding less than this is quicker than seeking, and always exact


class PyAvSource:
    """One video stream of anything FFmpeg opens.

    The first frame is decoded on opening, so a source that opens has a picture. Frames are read in the thread
    that iterates; ``close`` may come from any thread and ends the iteration at the next packet or, where a
    network is silent, after ``read_timeout_s``.
    """

    def __init__(self, location: str, options: SourceOptions) -> None:
        self._location = location
        self._options = options
        self._stats = SourceStats()
        self._converter = RgbConverter(self._stats)
        self._closed = False
        self._form = _Form(0, 0, 0)
        self._orientation = Orientation()
        self._reader = StreamReader(location, options, self._stats)
        try:
            self._decoded = self._reader.frames()
            first = next(self._decoded, None)
            self._info = self._describe(first[0] if first else None)
            self._first: tuple[av.VideoFrame, int] | None = first
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> SourceInfo:
        """What is known about the video."""
        return self._info

    @property
    def stats(self) -> SourceStats:
        """Counts so far."""
        return self._stats

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the frames wanted, in presentation order. Can be done once."""
        selector = FrameSelector(self._options)
        timeline = Timeline(self._info.time_base, self._frame_ticks)
        time_base, origin = self._info.time_base, self._stream_start
        sequence, jumped = 0, False
        last_seconds = Fraction(0)
        for number, (decoded, captured_ns) in enumerate(self._all_decoded()):
            stamp = timeline.stamp(_stated_ticks(decoded), decoded.duration)
            origin = stamp.pts if origin is None else origin
            if stamp.repaired:
                self._stats.warn("some frames state no usable time; theirs follows from the frame before")
            jumped |= stamp.discontinuity
            last_seconds = (stamp.pts - origin) * time_base
            verdict = selector.judge(number, last_seconds)
            if verdict is Verdict.STOP:
                break
            if verdict is Verdict.KEEP:
                image = crop_image(self._upright(decoded), self._options.crop, self._info.location)
                native = self._native(decoded)
                yield VideoFrame(image, sequence, stamp.pts, time_base, captured_ns, jumped, native)
                sequence, jumped = sequence + 1, False
        else:
            self._note_early_end(last_seconds)
        if sequence == 0 and not self._closed:
            raise SourceError(
                f"{self._info.location}: no frame lies within start and end; the video has {float(last_seconds):.2f} s"
            )

    def close(self) -> None:
        """Close the file or device; may be called twice, from any thread."""
        self._closed = True
        self._reader.close()

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""
        self.close()

    @property
    def _frame_ticks(self) -> int:
        rate = self._info.average_rate or _FALLBACK_RATE
        return round(1 / (rate * self._info.time_base))

    def _all_decoded(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Yield the frames from the beginning, or from shortly before the start where a seek can take us there."""
        first, self._first = self._first, None
        if first is None:
            raise ValueError("a source can be read once; open it anew")
        target = self._seek_target()
        if target is None or not self._reader.seek(target):
            yield first
            yield from self._decoded
            return
        self._decoded = self._reader.frames()
        landed = next(self._decoded, None)
        ticks = _stated_ticks(landed[0]) if landed else None
        if landed is not None and ticks is not None and ticks <= target:
            yield landed
        else:
            self._reopen()  # the index is missing or wrong: go through the file from its beginning instead
        yield from self._decoded

    def _reopen(self) -> None:
        self._reader.close()
        self._reader = StreamReader(self._location, self._options, self._stats)
        self._decoded = self._reader.frames()
        if self._closed:
            self._reader.close()

    def _seek_target(self) -> int | None:
        start, end = self._options.start, self._options.end
        if start is None or start.unit == "frames" or (end is not None and end.unit == "frames"):
            return None
        if self._reader.live or self._stream_start is None or start.value < _SEEK_FROM_SECONDS:
            return None
        return self._stream_start + int(start.value / self._info.time_base)

    def _upright(self, decoded: av.VideoFrame) -> NDArray[np.uint8]:
        form = _Form(decoded.width, decoded.height, decoded.rotation)
        if form != self._form:
            if (form.width, form.height) != (self._form.width, self._form.height):
                self._stats.warn(
                    f"the picture's size changes on the way, from {self._form.width}x{self._form.height} "
                    f"to {form.width}x{form.height}"
                )
            # Not asked of each frame: the answer ties a frame into a reference cycle, and memory would pile up.
            self._form, self._orientation = form, orientation_of(decoded)
        return self._converter.convert(decoded, self._orientation)

    def _native(self, decoded: av.VideoFrame) -> YuvPicture | None:
        """Return what a card can convert by itself, where that is wanted and the picture is upright and whole."""
        options = self._options
        wanted = options.native or options.card is not None
        return (
            native_picture(decoded) if wanted and options.crop is None and self._orientation == Orientation() else None
        )

    def _describe(self, first: av.VideoFrame | None) -> SourceInfo:
        stream, crop = self._reader.stream, self._options.crop
        location = without_secrets(self._location)
        if first is None or stream.time_base is None:
            kind = SourceAwayError if self._reader.live else SourceError
            raise kind(f"{location}: not one frame of it can be decoded")
        self._form, self._orientation = _Form(first.width, first.height, first.rotation), orientation_of(first)
        width, height = first.width, first.height
        if self._orientation.transposed:
            width, height = height, width
        if crop is not None:
            require_fit(crop, width, height, location)
        rate = _usable_rate(stream.average_rate) or _usable_rate(stream.guessed_rate)
        # A stream must not be asked anything once its container is closed: what is needed later is kept.
        self._stream_start = stream.start_time
        self._announced = None if self._reader.live else _announced_seconds(self._reader, rate)
        total = stream.frames or (round(self._announced * rate) if self._announced and rate else None)
        tags = {**self._reader.container.metadata, **stream.metadata}
        self._note_pixel_aspect(stream.sample_aspect_ratio)
        return SourceInfo(
            name=short_name(self._location),
            location=location,
            width=crop.width if crop else width,
            height=crop.height if crop else height,
            time_base=stream.time_base,
            average_rate=rate,
            frame_count=None if self._reader.live else expected_count(total, rate, self._options),
            live=self._reader.live,
            has_audio=bool(self._reader.container.streams.audio),
            intrinsics=crop_intrinsics(intrinsics_of_video(tags, width, height), crop),
            codec=stream.codec_context.name,
        )

    def _note_pixel_aspect(self, aspect: Fraction | None) -> None:
        if aspect and aspect != 1:
            shown = f"{aspect.numerator}:{aspect.denominator}"
            self._stats.warn(f"the pixels are not square ({shown}) and are kept as they are")

    def _note_early_end(self, last_seconds: Fraction) -> None:
        announced = self._announced
        slack = max(Fraction(1, 10), 3 / (self._info.average_rate or _FALLBACK_RATE))
        if announced is not None and not self._closed and last_seconds + slack < announced:
            self._stats.damaged = True
            self._stats.warn(
                f"the video ends at {float(last_seconds):.2f} s although it announces {float(announced):.2f} s; "
                "the file may be cut off"
            )


class _Form(NamedTuple):
    """How a frame is stored; while it stays, so does the way to turn it."""

    width: int
    height: int
    rotation_deg: int


def _stated_ticks(frame: av.VideoFrame) -> int | None:
    return frame.pts if frame.pts is not None else frame.dts


def _usable_rate(rate: Fraction | None) -> Fraction | None:
    return Fraction(rate) if rate and 0 < rate <= _HIGHEST_RATE else None


def _announced_seconds(reader: StreamReader, rate: Fraction | None) -> Fraction | None:
    stream, container = reader.stream, reader.container
    if container.format.name == "avi" and stream.frames and rate:
        # FFmpeg shortens an AVI's duration to what the file holds; its count of frames stays as announced.
        return stream.frames / rate
    if stream.duration:
        return stream.duration * Fraction(stream.time_base or 0)
    if clock := stream.metadata.get("DURATION"):  # Matroska's statistics tag, e.g. 00:00:04.400000000
        try:
            return parse_time(clock).value
        except ValueError:
            return None
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None
