"""A source that jumps, begins again at its end, and goes on where an earlier iteration stopped. Opens nothing itself."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Self

from ..errors import SourceError
from ..frames import VideoFrame
from .base import Source, SourceInfo, SourceStats
from .options import SourceOptions, Time


class Playback:
    """Plays what ``open_at`` opens, again and again if need be.

    Frames are numbered on through jumps, loops and iterations; the first one after a jump or loop is a discontinuity.
    Iterating anew goes on with the next frame. ``seek``, ``loop`` and ``close`` may be used from any thread.

    Args:
        open_at: Opens the source; called again for each jump and loop, in the thread that iterates.
        options: What it is opened with; ``start`` is replaced for a jump.
        loop: Begin again at the end.
    """

    def __init__(
        self, open_at: Callable[[SourceOptions], Source], options: SourceOptions | None = None, *, loop: bool = False
    ) -> None:
        self._open_at = open_at
        self._options = options or SourceOptions()
        self._source = open_at(self._options)
        self._info = self._source.info
        self._frames: Iterator[VideoFrame] | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._closed = False
        self._target: Time | None = None
        self._loop = False
        self._sequence = 0
        self._given = 0  # since the source was opened last
        self._sought = False
        if loop:
            try:
                self.set_loop(enabled=True)
            except ValueError:
                self.close()
                raise

    @property
    def info(self) -> SourceInfo:
        """What was known when it was opened first."""
        return self._info

    @property
    def stats(self) -> SourceStats:
        """Counts since it was opened last."""
        return self._source.stats

    @property
    def loop(self) -> bool:
        """Whether it begins again at its end."""
        return self._loop

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not; raises ValueError for what comes live."""
        if enabled:
            self._require_file("played in a loop")
        self._loop = enabled

    def seek(self, seconds: float) -> None:
        """Go on with the frame at ``seconds`` after the clip's first.

        Raises:
            ValueError: It comes live, or has no such moment.
        """
        self._require_file("sought in")
        duration = self._duration
        if duration is not None and seconds >= duration:
            raise ValueError(f"{self._info.location} ends at {float(duration):.2f} s; cannot go to {seconds:g} s")
        target = Time(Fraction(seconds).limit_denominator(1_000_000))
        replace(self._options, start=target)  # refuses what lies behind the end that was asked for
        self._target = target

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield frames from where the last iteration stopped; raises SourceError."""
        while (frame := self._next()) is not None:
            yield frame

    def close(self) -> None:
        """Close the source; may be called twice, from any thread."""
        with self._lock:
            self._closed = True
            self._source.close()

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""
        self.close()

    def _next(self) -> VideoFrame | None:
        if not self._reading.acquire(blocking=False):
            raise SourceError(f"{self._info.location} has gone silent in the midst of a frame")
        try:
            while not self._closed:
                if self._target is not None:
                    self._begin_at(self._target)
                frame = self._step()
                if self._target is not None:
                    continue
                if frame is not None:
                    return self._numbered(frame)
                if not self._loop or (self._given == 0 and not self._sought):
                    return None
                self._begin_at(None)
            return None
        finally:
            self._reading.release()

    def _step(self) -> VideoFrame | None:
        if self._frames is None:
            self._frames = iter(self._source)
        try:
            return next(self._frames, None)
        except SourceError:
            if self._sought and self._given == 0:
                return None  # nothing lies behind that moment: it is the end
            raise

    def _numbered(self, frame: VideoFrame) -> VideoFrame:
        jumped = self._given == 0 and self._sequence > 0
        frame = replace(frame, sequence=self._sequence, discontinuity=frame.discontinuity or jumped)
        self._given += 1
        self._sequence += 1
        return frame

    def _begin_at(self, target: Time | None) -> None:
        self._target = None
        self._source.close()
        opened = self._open_at(self._options if target is None else replace(self._options, start=target))
        with self._lock:
            self._source = opened
            if self._closed:
                opened.close()
        self._frames, self._given, self._sought = None, 0, target is not None

    def _require_file(self, what: str) -> None:
        if self._info.live:
            raise ValueError(f"{self._info.location} is live: it cannot be {what}")

    @property
    def _duration(self) -> Fraction | None:
        """Seconds from the clip's first frame to the end of the part that was asked for; None where unknown."""
        info, options = self._info, self._options
        if info.frame_count is None or not info.average_rate:
            return None
        rate = min(info.average_rate, options.fps or info.average_rate) / options.every
        start = options.start
        begin = Fraction(0)
        if start is not None:
            begin = start.value if start.unit == "seconds" else start.value / info.average_rate
        return begin + info.frame_count / rate
