"""A recording being served: its frames as they were, at their own speed. Infers nothing."""

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import SourceError, describe
from ..models.base import DepthModel
from ..sources.recording import Recording, TakeClock
from ..wire import EndMessage, FrameMessage
from ..wire.messages import EndReason, FeedState, printable
from ..wire.publisher import Publisher
from .feeds import FeedReport
from .intake import Pacer
from .rate import Rate

_POLL_SECONDS = 0.05


class RecordingPlayer:
    """Publishes a recording anew: depth, pictures and presentation times as recorded, in a session of its own.

    Args:
        name: The feed's name.
        path: The recording.
        publisher: Started; closed by whoever started it.
        loop: Begin again at the end.

    Raises:
        SourceError: It is no recording, or holds no frame.
    """

    def __init__(self, name: str, path: Path, publisher: Publisher, *, loop: bool = False) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._path, self._publisher = path, publisher
        with Recording(path) as recording:
            self._seconds = recording.seconds
            self._first = next(iter(recording), None)
        if self._first is None:
            raise SourceError(f"{path} holds no frame")
        self._session = uuid.uuid4().hex
        self._sequence = 0
        self._loop = loop
        self._paused = False
        self._target: float | None = None
        self._state: FeedState = "waiting"
        self._rate = Rate()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._play, name=f"dptstream-{name}", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._publisher.announce(self.name, self._session)
        self._thread.start()

    def stop(self) -> None:
        """End after the frame in hand."""
        self._stopping.set()

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def pause(self, *, paused: bool) -> None:
        """Pause or go on."""
        self._paused = paused

    def seek(self, seconds: float) -> None:
        """Go on with the frame at ``seconds`` after the first one; raises ValueError where there is none."""
        if self._seconds is not None and seconds >= self._seconds:
            raise ValueError(f"{self._path} ends at {self._seconds:.2f} s; cannot go to {seconds:g} s")
        self._target = seconds

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not."""
        self._loop = enabled

    def change(self, *, model: DepthModel | None = None, **settings: object) -> None:
        """Refuse: a recording has its depth."""
        raise ValueError(f"{self.name} is a recording: its depth is what it was, and no network runs")

    def report(self) -> FeedReport:
        """Return how it goes."""
        first = self._first
        assert first is not None
        fps_in, fps_out = self._rate.per_second()
        return FeedReport(
            feed=self.name,
            location=str(self._path),
            state=self._state,
            width=first.depth.width,
            height=first.depth.height,
            live=False,
            paused=self._paused,
            loop=self._loop,
            model=first.model,
            size=None,
            temporal=first.smoothing or "off",
            frames=self._sequence,
            dropped=0,
            late=0,
            fps_in=fps_in,
            fps_out=fps_out,
            latency_ms_p50=None,
            latency_ms_p95=None,
            sessions=1,
            note="" if self.failure is None else describe(self.failure),
        )

    def _play(self) -> None:
        reason: EndReason = "finished"
        try:
            self._play_on()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the feed's end
            self.failure, reason = error, "failed"
        if self._stopping.is_set():
            reason = "stopped"
        note = "" if self.failure is None else printable(describe(self.failure))
        self._publisher.send(EndMessage(self.name, self._session, time.time_ns(), self._sequence, reason, note))
        self._state = "ended"

    def _play_on(self) -> None:
        pacer = Pacer(self._stopping.is_set)
        while not self._stopping.is_set():
            target, self._target = self._target, None
            jumped = self._sequence > 0
            with Recording(self._path) as recording:
                for message in _from(target, recording):
                    if not self._wait_while_paused(pacer) or self._target is not None:
                        break
                    pacer.wait(message.pts_seconds, jumped=jumped or message.discontinuity)
                    if self._stopping.is_set() or self._target is not None:
                        break
                    self._publish(message, jumped=jumped)
                    jumped = False
            if self._target is None and not self._loop:
                return

    def _publish(self, message: FrameMessage, *, jumped: bool) -> None:
        now = time.time_ns()
        self._publisher.send(
            replace(
                message,
                feed=self.name,
                session=self._session,
                sequence=self._sequence,
                captured_unix_ns=now,
                published_unix_ns=now,
                discontinuity=message.discontinuity or jumped,
            )
        )
        self._sequence += 1
        self._state = "playing"
        self._rate.take(self._sequence, self._sequence)

    def _wait_while_paused(self, pacer: Pacer) -> bool:
        """Return False when the feed is to end."""
        if self._paused and not self._stopping.is_set():
            self._state = "paused"
            self._publisher.announce(self.name, self._session, "paused")
            while self._paused and self._target is None and not self._stopping.wait(_POLL_SECONDS):
                pass
            pacer.restart()
        return not self._stopping.is_set()


def _from(seconds: float | None, messages: Recording) -> Iterator[FrameMessage]:
    """Yield messages from ``seconds`` after the first one on; a change of session is a jump."""
    clock, session = TakeClock(), ""
    for message in messages:
        changed = session not in ("", message.session)
        session = message.session
        elapsed = clock.tick(message.pts * message.time_base, jumps=changed or message.discontinuity)
        if seconds is None or elapsed >= seconds:
            yield replace(message, discontinuity=True) if changed else message
