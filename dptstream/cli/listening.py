"""Flags and manners of commands that listen to a depth feed. Imports nothing heavy, so that --help is quick."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from ..wire import Message
    from ..wire.subscriber import Subscriber


@dataclass(frozen=True)
class ListenFlags:
    """What to listen to."""

    endpoint: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENDPOINT")]] = "tcp://127.0.0.1:5577"
    """Address of the sender, as tcp://HOST:PORT."""
    feed: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Listen to this feed alone."""
    curve: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with this client's keys, as `dptstream keys` makes it; for senders with keys."""
    timeout: float = 10.0
    """Give up after so many seconds without a frame; 0 waits for ever."""

    def subscriber(self, *, capacity: int, on_message: "Callable[[Message], None] | None" = None) -> "Subscriber":
        """Return a subscriber that is not started yet."""
        from ..wire.keys import load_client_keys
        from ..wire.subscriber import Subscriber

        keys = None if self.curve is None else load_client_keys(self.curve)
        return Subscriber(self.endpoint, feed=self.feed, keys=keys, capacity=capacity, on_message=on_message)

    @property
    def patience(self) -> float | None:
        """Seconds to wait for a frame, or None for ever."""
        return self.timeout or None

    def check(self, *, seconds: float | None, frames: int | None) -> None:
        """Raise ValueError where a command's flags make no sense; ``seconds`` and ``frames`` end it."""
        if not 0 <= self.timeout < math.inf:
            raise ValueError(f"--timeout must be at least 0; got {self.timeout:g}")
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError(f"--seconds must be positive; got {seconds:g}")
        if frames is not None and frames < 1:
            raise ValueError(f"--frames must be at least 1; got {frames}")


@contextmanager
def ending_by_signal(close: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C (or a polite kill) call ``close``; the second one ends the program at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.default_int_handler)
        close()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
