"""A sink that publishes. Owns no socket: the publisher is the caller's, and may carry several feeds."""

import time
import uuid

from ..frames import DepthFrame
from ..wire import Compression, EndMessage
from ..wire.messages import EndReason, FeedState, feed_name, printable
from ..wire.publisher import Publisher
from .base import FeedInfo
from .messages import MessageMaker, MessageOptions


class ZmqSink:
    """Publishes the frames of one source as one feed; each run is a session.

    Args:
        publisher: Started; closed by whoever started it, after the sink.
        options: How frames are put into messages.
        name: Name of the feed; None takes the source's.
        compression: For thin links; the others are faster without.
        smoothing: Name of the filter that steadied the depth, if any.

    Attributes:
        another_follows: Set it before the run ends when another session may follow: then no end is announced, and
            subscribers wait for it, or for ``end``.
    """

    def __init__(
        self,
        publisher: Publisher,
        options: MessageOptions | None = None,
        *,
        name: str | None = None,
        compression: Compression = "none",
        smoothing: str | None = None,
    ) -> None:
        self._publisher = publisher
        self._options = options or MessageOptions()
        self._name = name
        self._compression = compression
        self._smoothing = smoothing
        self._maker: MessageMaker | None = None
        self._last: MessageMaker | None = None
        self._note = ""
        self._awaited = None if name is None else (feed_name(name), uuid.uuid4().hex)
        self.another_follows = False

    @property
    def next_sequence(self) -> int:
        """Always 0: what was published is gone."""
        return 0

    @property
    def takes_float16(self) -> bool:
        """Whether depth rounded to float16 loses nothing here, so that a device need not send more."""
        return self._options.depth == "float16"

    def open(self, feed: FeedInfo) -> None:
        """Begin a session."""
        self._awaited = None
        self._maker = MessageMaker(feed, self._options, name=self._name, smoothing=self._smoothing)
        self._publisher.announce(self._maker.feed, self._maker.session)

    def write(self, frame: DepthFrame) -> None:
        """Publish one frame; returns at once."""
        assert self._maker is not None
        self._publisher.send(self._maker.frame(frame), compression=self._compression)

    def announce(self, state: FeedState, note: str = "") -> None:
        """Say how the feed goes between frames; before its first session only where it was given a name."""
        maker = self._maker or self._last
        identity = self._awaited if maker is None else (maker.feed, maker.session)
        if identity is not None:
            self._publisher.announce(*identity, state, note)

    def warn(self, line: str) -> None:
        """Tell ``line`` at the end of the session."""
        self._note = line

    def note(self, name: str, value: object) -> None:
        """Pass over facts about the whole run: nobody asks a feed for them."""

    def close(self, *, complete: bool) -> None:
        """Say that the session has ended, unless another follows."""
        if self._maker is None:
            return
        self._last, self._maker = self._maker, None
        if self.another_follows:
            self._publisher.announce(self._last.feed, self._last.session, "waiting", self._note)
        else:
            self.end("finished" if complete else "stopped", self._note)

    def end(self, reason: EndReason, note: str = "") -> None:
        """Say that the closed session was the last one after all, or that the one announced never began."""
        last, self._last = self._last, None
        if last is not None:
            self._publisher.send(last.end(reason, note))
        elif self._awaited is not None:
            self._publisher.send(EndMessage(*self._awaited, time.time_ns(), 0, reason, printable(note)))
        self._awaited = None
