"""How frames come into the engine: every one or the newest, as fast as they can or at the clip's own speed."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..frames import VideoFrame
from ..sources.base import Source
from .config import EngineConfig

_POLL_SECONDS = 0.05
"""How soon a wait notices that the run was stopped, or is to go on."""
_JOIN_SECONDS = 0.5
"""How long ``close`` waits for a source that sits in a read."""
_LONGEST_STEP_SECONDS = 1.0
"""The wait between two frames across a jump is at most this."""
_KEPT_PTS = 64


@dataclass(frozen=True, slots=True)
class Drops:
    """Frames that came but were not inferred."""

    replaced: int = 0
    """A newer one came before there was room for them."""
    late: int = 0
    """They were older than the deadline when there was room for them."""
    recent_pts: tuple[int, ...] = ()
    """Presentation times of the last ones, in ticks of the source's time base, oldest first."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.replaced + self.late


class Pacer:
    """Lets frames go when their time has come, on the monotonic clock.

    Args:
        stopped: Ends a wait early when it returns True.
    """

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._never = threading.Event()
        self._origin: float | None = None
        self._last: float | None = None
        self._step = 0.0

    def restart(self) -> None:
        """Let the next frame go at once, and count from there."""
        self._origin = self._last = None

    def wait(self, pts_seconds: float, *, jumped: bool = False) -> None:
        """Wait until the frame of that time is due; after a jump it follows the frame before at that one's distance."""
        now = time.monotonic()
        if self._origin is None:
            self._origin = now - pts_seconds
        elif jumped or (self._last is not None and pts_seconds < self._last):
            self._origin = max(now, self._origin + (self._last or 0.0) + self._step) - pts_seconds
        elif self._last is not None:
            self._step = min(pts_seconds - self._last, _LONGEST_STEP_SECONDS)
        self._last = pts_seconds
        while (left := self._origin + pts_seconds - time.monotonic()) > 0 and not self._stopped():
            self._never.wait(min(left, _POLL_SECONDS))


class Intake:
    """Takes frames from a source as ``EngineConfig`` says. Iterate once, in one thread.

    With ``live`` a thread of its own reads on, whatever the engine does: packets are always read, so that a camera or
    network never backs up, and of decoded frames the newest waits until there is room for it.

    Args:
        source: Read by this object alone.
        config: The policy.
        stopped: Whether the run has ended; asked often.

    Attributes:
        paused: While True no frame is given. A file stands still; what comes live goes by.
        received: Frames that the source gave.
    """

    def __init__(self, source: Source, config: EngineConfig, stopped: Callable[[], bool]) -> None:
        self.paused = False
        self.received = 0
        self._source = source
        self._latest_wins = config.policy == "live"
        self._deadline_ns = None if config.deadline_ms is None else int(config.deadline_ms * 1e6)
        self._run_stopped = stopped
        self._closed = threading.Event()
        # Of a file read as fast as it goes, nearly all would be dropped.
        paced = not source.info.live and (config.pace or self._latest_wins)
        self._pacer = Pacer(self._stopped) if paced else None
        self._changed = threading.Condition()
        self._newest: VideoFrame | None = None
        self._ended = False
        self._failure: Exception | None = None
        self._replaced = self._late = 0
        self._dropped_pts: deque[int] = deque(maxlen=_KEPT_PTS)
        self._reader: threading.Thread | None = None

    @property
    def drops(self) -> Drops:
        """What was dropped so far."""
        with self._changed:
            return Drops(self._replaced, self._late, tuple(self._dropped_pts))

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield frames until the source ends; raises what the source raises."""
        return self._newest_frames() if self._latest_wins else self._all_frames()

    def close(self) -> None:
        """Stop reading; a source that sits in a read is left to its thread, which ends after it."""
        self._closed.set()
        if self._reader is not None:
            self._reader.join(_JOIN_SECONDS)

    def _stopped(self) -> bool:
        return self._closed.is_set() or self._run_stopped()

    def _all_frames(self) -> Iterator[VideoFrame]:
        frames = iter(self._source)
        while self._may_read():
            frame = next(frames, None)
            if frame is None:
                return
            self.received += 1
            if self.paused and self._source.info.live:
                continue
            if self._pacer is not None:
                self._pacer.wait(frame.pts_seconds, jumped=frame.discontinuity)
                frame = replace(frame, captured_ns=time.monotonic_ns())
            yield frame

    def _may_read(self) -> bool:
        """Wait while a file is paused; return False when the run ends."""
        waited = False
        while self.paused and not self._source.info.live and not self._stopped():
            waited = True
            self._closed.wait(_POLL_SECONDS)
        if waited and self._pacer is not None:
            self._pacer.restart()
        return not self._stopped()

    def _newest_frames(self) -> Iterator[VideoFrame]:
        self._reader = threading.Thread(target=self._read_on, name="dptstream-reader", daemon=True)
        self._reader.start()
        jumped = False
        while (frame := self._take()) is not None:
            jumped |= frame.discontinuity
            if self._is_late(frame):
                with self._changed:
                    self._late += 1
                    self._dropped_pts.append(frame.pts)
                continue
            yield frame if frame.discontinuity == jumped else replace(frame, discontinuity=jumped)
            jumped = False
        if self._failure is not None:
            raise self._failure

    def _take(self) -> VideoFrame | None:
        """Return the newest frame, waiting for one; None at the end."""
        with self._changed:
            while self._newest is None and not self._ended and not self._stopped():
                self._changed.wait(_POLL_SECONDS)
            frame, self._newest = self._newest, None
        return None if self._stopped() else frame

    def _is_late(self, frame: VideoFrame) -> bool:
        if self._deadline_ns is None or not frame.captured_ns:
            return False
        return time.monotonic_ns() - frame.captured_ns > self._deadline_ns

    def _read_on(self) -> None:
        try:
            for frame in self._all_frames():
                self._offer(frame)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that takes the frames
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _offer(self, frame: VideoFrame) -> None:
        with self._changed:
            before, self._newest = self._newest, frame
            if before is not None:
                self._replaced += 1
                self._dropped_pts.append(before.pts)
                if before.discontinuity:
                    self._newest = replace(frame, discontinuity=True)
            self._changed.notify_all()
