"""A feed on the wire, with the sender's controls where it answers. Needs pyzmq; needs no torch."""

import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import WireError, describe
from ..wire import EndMessage, FrameMessage, Message
from ..wire.control import ControlClient
from ..wire.endpoints import DEFAULT_ENDPOINT
from ..wire.fields import Fields
from ..wire.keys import ClientKeys
from ..wire.messages import EndReason
from ..wire.subscriber import Subscriber
from .feeds import FeedStatus, State, TransportStatus

_ASK_SECONDS = 2.0
"""A sender that does not answer for so long cannot be steered."""
_STATUS_SECONDS = 1.0
_FRAME_SECONDS = 20.0
"""How long a slow network may take for the one frame that a pause is lifted for."""
_END_WORDS: dict[EndReason, str] = {"finished": "ended", "stopped": "been stopped", "failed": "failed"}
_NAP_SECONDS = 0.05
_SILENT_SECONDS = 3.0
"""A feed that nobody asked for by name is given up for another of its address after so long without a frame."""
_PORT = re.compile(r"(tcp://.*:)(\d+)")


def control_of(endpoint: str) -> str | None:
    """Return where a sender at ``endpoint`` usually takes requests: the next port; None where there is no port."""
    port = _PORT.fullmatch(endpoint)
    return None if port is None or int(port[2]) >= 65535 else f"{port[1]}{int(port[2]) + 1}"


class LiveFeed:
    """Listens to one feed of an address: the newest frame wins.

    Args:
        endpoint: Address of the sender.
        feed: Name of the feed; None takes the first that gives a frame, and another once that one has ended or gone silent.
        keys: This client's keys, for a sender with keys.
        control: Address where the sender takes requests; None where it cannot be steered.
        length: Seconds of the clip that is played there, where known.
        capacity: Frames that may wait: 1 for live use, more where each frame is wanted.
        on_close: Called once after the feed was closed.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        feed: str | None = None,
        keys: ClientKeys | None = None,
        control: str | None = None,
        length: float | None = None,
        capacity: int = 1,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoint = endpoint
        self._chosen = feed
        self._free_to_change = feed is None
        self._over = False
        self._heard_at = time.monotonic()
        self._on_close = on_close
        self._closed = False
        self._failure = ""
        self._end = "the feed has ended"
        self._client = client = None if control is None else ControlClient(control, keys=keys, timeout=_ASK_SECONDS)
        self._remote = None if client is None else Remote(client, feed, length)
        self._subscriber = Subscriber(endpoint, feed=feed, keys=keys, capacity=capacity, on_message=self._note).start()

    @property
    def title(self) -> str:
        """Name of the feed and its address."""
        return f"{self._chosen} at {self.endpoint}" if self._chosen else self.endpoint

    @property
    def transport(self) -> "Remote | None":
        """The sender's controls, once it has answered and where its source can be sought in."""
        return self._remote if self._remote is not None and self._remote.usable else None

    @property
    def steerable(self) -> bool:
        """Whether the sender's control channel is known."""
        return self._client is not None

    def smooth(self, preset: str) -> None:
        """Ask the sender to steady depth by a preset; waits for the answer. Raises WireError with its reason."""
        if self._client is None:
            raise WireError(f"{self.endpoint} has no control channel that is known here")
        self._client.request("temporal", preset=preset)

    def expect_length(self, seconds: float | None) -> None:
        """Say how long the clip is that the sender is about to be given; None where nobody knows."""
        if self._remote is not None:
            self._remote.expect_length(seconds)

    @property
    def missed(self) -> int:
        """How many frames nobody saw, because they were lost on the way or newer ones came first."""
        stats = self._subscriber.stats
        return stats.lost + stats.skipped

    def newest(self, timeout: float) -> FrameMessage | None:
        """Return the newest frame that was not returned yet, waiting up to ``timeout`` seconds; else None."""
        deadline = time.monotonic() + timeout
        while not self._closed:
            left = max(0.0, deadline - time.monotonic())
            try:
                message = self._subscriber.receive(left)
                self._failure = ""
            except WireError as error:
                self._failure, message = describe(error), None
            if message is not None and message.feed == (self._chosen or message.feed):
                return message
            if left <= 0:
                return None
            if message is None:  # a feed that has ended answers at once
                time.sleep(min(left, _NAP_SECONDS))
        return None

    def status(self) -> FeedStatus:
        """Return how it goes."""
        if self._failure:
            return FeedStatus("failed", self._failure)
        if not self._subscriber.alive:
            if self._subscriber.ended:
                return FeedStatus("ended", self._end)
            return FeedStatus("connecting", f"nothing comes from {self.endpoint}; is dptstream serving there?")
        last = self._subscriber.status().get(self._chosen or "")
        if self._subscriber.ended:
            return FeedStatus("ended", self._end)
        if last is None:
            return FeedStatus("playing")
        state: State = last.state if last.state != "ended" else "playing"
        note = last.note or (self._remote.refusal if self._remote is not None else "")
        return FeedStatus(state, note, last.frames_per_second)

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._remote is not None:
            self._remote.close()
        self._subscriber.close()
        self._on_close()

    def _note(self, message: Message) -> None:
        """Take notice of each frame, also of those that nobody will see because a newer one came."""
        if isinstance(message, EndMessage) and message.feed == (self._chosen or message.feed):
            why = f": {message.note}" if message.note else ""
            self._end = f"the feed has {_END_WORDS[message.reason]}{why}"
            self._over = True
        if isinstance(message, FrameMessage) and self._follows(message.feed):
            self._chosen, self._over, self._heard_at = message.feed, False, time.monotonic()
            if self._remote is not None:
                self._remote.take(message)

    def _follows(self, feed: str) -> bool:
        """Return whether frames of ``feed`` are shown."""
        if self._chosen in (None, feed):
            return True
        return self._free_to_change and (self._over or time.monotonic() - self._heard_at > _SILENT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Order:
    """Something to be done by the thread that talks to the sender."""

    verb: str
    """``status``, ``pause``, ``loop`` or ``show``."""
    value: float = 0.0
    """Of ``show``, the seconds to go to."""
    on: bool = False
    """Of ``pause`` and ``loop``."""


class Remote:
    """Steers the sender of a feed; a ``Transport`` that never waits for the network.

    Args:
        client: Asks the sender.
        feed: Name of the feed; None until a frame told it.
        length: Seconds of the clip, where known.
    """

    def __init__(self, client: ControlClient, feed: str | None, length: float | None) -> None:
        self._client = client
        self._feed = feed
        self._orders: queue.Queue[_Order | None] = queue.Queue()
        self._arrived = threading.Condition()
        self._begin: float | None = None
        self._interval = 1 / 25
        self._last: FrameMessage | None = None
        self._awaited: float | None = None
        self._coming_length: float | None = None
        self._state = TransportStatus(0.0, length, paused=False, loop=False, speed=1.0)
        self.usable = False
        self.refusal = ""
        self._thread = threading.Thread(target=self._work, name="dptstream-remote", daemon=True)
        self._thread.start()

    @property
    def can_change_speed(self) -> bool:
        """It cannot: the sender gives its own pace."""
        return False

    def status(self) -> TransportStatus:
        """Return where playback stands."""
        return self._state

    def pause(self, *, paused: bool) -> None:
        """Pause or go on."""
        self._state = replace(self._state, paused=paused)
        self._orders.put(_Order("pause", on=paused))

    def seek(self, seconds: float) -> None:
        """Go to a moment; shows it even while paused."""
        self._orders.put(_Order("show", max(0.0, seconds)))

    def step(self, frames: int) -> None:
        """Go about so many frames ahead, or back, and pause: what is between is not decoded anew for it."""
        self._state = replace(self._state, paused=True)
        # A little late rather than early: a sender gives the first frame that is not before the moment.
        self._orders.put(_Order("show", max(0.0, self._state.position + (frames - 0.25) * self._interval)))

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not."""
        self._state = replace(self._state, loop=enabled)
        self._orders.put(_Order("loop", on=enabled))

    def set_speed(self, factor: float) -> None:
        """Refuse."""
        raise ValueError("a running sender gives its own pace; convert the clip to play it slower or faster")

    def expect_length(self, seconds: float | None) -> None:
        """Note how long the clip of the next feed is."""
        self._coming_length = seconds

    def take(self, message: FrameMessage) -> None:
        """Note a frame that came."""
        if self._last is not None and self._last.feed != message.feed:
            # Another film: where it begins and how long it is has nothing to do with the last one.
            self._begin = self._last = self._awaited = None
            self._state = replace(self._state, length=self._coming_length)
            self._coming_length = None
        seconds, last = message.pts_seconds, self._last
        self._feed = message.feed
        if last is not None and last.session == message.session and not message.discontinuity:
            step = message.frame_number - last.frame_number
            if step > 0 and seconds > last.pts_seconds:
                self._interval = (seconds - last.pts_seconds) / step
        if self._awaited is not None and message.discontinuity:
            self._begin, self._awaited = seconds - self._awaited, None
        self._begin = seconds if self._begin is None else min(self._begin, seconds)
        self._last = message
        self._state = replace(self._state, position=seconds - self._begin)
        with self._arrived:
            self._arrived.notify_all()

    def close(self) -> None:
        """End the thread."""
        self._orders.put(None)

    def _work(self) -> None:
        next_status = 0.0
        while True:
            try:
                order = self._orders.get(timeout=max(0.01, next_status - time.monotonic()))
            except queue.Empty:
                order = _Order("status")
            if order is None:
                return
            try:
                if order.verb == "status":
                    next_status = time.monotonic() + (_STATUS_SECONDS if self.usable else 3 * _STATUS_SECONDS)
                    self._learn(self._client.request("status"))
                else:
                    self._obey(order)
                    self.refusal = ""
            except WireError as error:
                if order.verb == "status":
                    self.usable = False
                else:
                    self.refusal = describe(error)

    def _learn(self, answer: dict[str, object]) -> None:
        """Take from the sender's report what may have been changed by others."""
        feeds = answer.get("feeds")
        reports = [Fields(report, "report") for report in feeds] if isinstance(feeds, list) else []
        for report in reports:
            if self._feed in (None, report.text("feed")):
                self.usable = not report.flag("live")
                if self._orders.empty():
                    self._state = replace(self._state, paused=report.flag("paused"), loop=report.flag("loop"))
                return

    def _obey(self, order: _Order) -> None:
        if order.verb == "pause":
            self._client.request("pause", feed=self._feed, paused=order.on)
        elif order.verb == "loop":
            self._client.request("loop", feed=self._feed, enabled=order.on)
        else:
            self._show(order.value)

    def _show(self, seconds: float) -> None:
        """Seek; where the feed is paused, lift that for the one frame."""
        if not self._orders.empty():
            following = self._orders.queue[0]
            if following is not None and following.verb == "show":
                return  # the hand at the slider has moved on
        paused = self._state.paused
        self._client.request("pause", feed=self._feed, paused=True)
        self._awaited = seconds
        self._client.request("seek", feed=self._feed, seconds=seconds)
        self._client.request("pause", feed=self._feed, paused=False)
        if paused:
            with self._arrived:
                self._arrived.wait_for(lambda: self._awaited is None, _FRAME_SECONDS)
            self._client.request("pause", feed=self._feed, paused=True)
