"""A folder of depth played like a film: pause, scrub, step, loop, speed. Draws nothing."""

import bisect
import threading
import time
from collections.abc import Callable, Sequence

from ..errors import DptStreamError, describe
from ..wire import FrameMessage
from .feeds import FeedStatus, TransportStatus
from .folder import DepthSequence

SLOWEST, FASTEST = 1 / 16, 16.0
"""Factors of the source's own speed."""


class Clock:
    """Says which frame of a clip is due. All of it from any thread; a ``Transport``.

    Args:
        times: Seconds of each frame since the first, rising.
        length: Seconds from the first frame to the end of the last.
        now: The clock it goes by, seconds.
    """

    def __init__(self, times: Sequence[float], length: float, now: Callable[[], float] = time.monotonic) -> None:
        self._times = times
        self._length = length
        self._now = now
        self._changed = threading.Condition()
        self._paused = False
        self._loop = True
        self._speed = 1.0
        self._anchor = 0.0  # position at the moment ``_since``
        self._since = now()

    @property
    def can_change_speed(self) -> bool:
        """It can."""
        return True

    def status(self) -> TransportStatus:
        """Return where playback stands."""
        with self._changed:
            position, _ = self._place()
            return TransportStatus(
                self._times[self._index(position)], self._length, self._standing(position), self._loop, self._speed
            )

    def due(self) -> int:
        """Return the number of the frame to show now."""
        with self._changed:
            return self._index(self._place()[0])

    def await_other(self, index: int, timeout: float) -> int:
        """Wait until another frame than ``index`` is due, up to ``timeout`` seconds; return the one that is due."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                position, until_next = self._place()
                due, left = self._index(position), deadline - time.monotonic()
                if due != index or left <= 0:
                    return due
                self._changed.wait(min(left, until_next))

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def pause(self, *, paused: bool) -> None:
        """Pause or go on; from the end, begin again."""
        with self._changed:
            position, _ = self._place()
            ended = not self._loop and position >= self._length
            self._move(0.0 if ended and not paused else position, paused=paused)

    def seek(self, seconds: float) -> None:
        """Go to the frame at so many seconds after the first; before the first or behind the last, to that one."""
        with self._changed:
            self._move(min(max(seconds, 0.0), self._times[-1]), paused=self._paused)

    def step(self, frames: int) -> None:
        """Go so many frames ahead, or back, and pause; in a loop the first follows the last."""
        with self._changed:
            index = self._index(self._place()[0]) + frames
            count = len(self._times)
            self._move(self._times[index % count if self._loop else min(max(index, 0), count - 1)], paused=True)

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not."""
        with self._changed:
            self._move(self._place()[0], paused=self._paused)
            self._loop = enabled

    def set_speed(self, factor: float) -> None:
        """Play so many times as fast; raises ValueError beyond 1/16 and 16."""
        if not SLOWEST <= factor <= FASTEST:
            raise ValueError(f"speed must lie between 1/16 and 16; got {factor:g}")
        with self._changed:
            self._move(self._place()[0], paused=self._paused)
            self._speed = factor

    def _move(self, position: float, *, paused: bool) -> None:
        self._anchor, self._since, self._paused = position, self._now(), paused
        self._changed.notify_all()

    def _place(self) -> tuple[float, float]:
        """Return the position, and how many seconds from now on another frame may be due."""
        if self._paused:
            return self._anchor, float("inf")
        position = self._anchor + (self._now() - self._since) * self._speed
        if position >= self._length:
            if not self._loop:
                return self._length, float("inf")
            position %= self._length
        index = self._index(position)
        following = self._times[index + 1] if index + 1 < len(self._times) else self._length
        return position, max(0.001, (following - position) / self._speed)

    def _index(self, position: float) -> int:
        # A frame's time is a sum of floats: half a microsecond less is still that frame.
        return max(0, bisect.bisect_right(self._times, position + 5e-7) - 1)

    def _standing(self, position: float) -> bool:
        return self._paused or (not self._loop and position >= self._length)


class SequenceFeed:
    """Plays a ``DepthSequence``: at each moment its newest frame is the one that is due, however long reading takes.

    Args:
        sequence: What to play; closed with the feed.
        note: One line for people that stays, such as why there are no colours.
    """

    def __init__(self, sequence: DepthSequence, *, note: str = "") -> None:
        self.sequence = sequence
        self.transport = Clock([sequence.seconds(index) for index in range(len(sequence))], sequence.length)
        self._note = note
        self._failure: DptStreamError | None = None
        self._given = -1
        self._closed = False
        self._reading = threading.Lock()

    @property
    def title(self) -> str:
        """The clip's name."""
        return self.sequence.name

    def newest(self, timeout: float) -> FrameMessage | None:
        """Return the frame that is due, if it was not returned just before; waits up to ``timeout`` seconds for it."""
        index = self.transport.await_other(self._given, timeout)
        if index == self._given or self._closed:
            return None
        self._given = index
        with self._reading:
            if self._closed:
                return None
            try:
                message = self.sequence.frame(index)
            except DptStreamError as error:
                self._failure = error
                return None
        self._failure = None
        return message

    def status(self) -> FeedStatus:
        """Return how it goes."""
        failure, playback = self._failure, self.transport.status()
        if failure is not None:
            return FeedStatus("failed", describe(failure))
        rate = playback.speed / self.sequence.interval
        return FeedStatus("paused" if playback.paused else "playing", self._note, rate)

    def close(self) -> None:
        """Let go of the files; may be called twice."""
        self._closed = True
        self.transport.wake()
        with self._reading:
            self.sequence.close()
