"""Waiting for what other threads and processes do, with patience for a machine that is busy with other things."""

import random
import socket
import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0
"""After so long, what has not happened will not happen."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until ``condition()`` holds; raises AssertionError where it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {seconds:g} seconds"
        time.sleep(0.005)


def shortest(measure: Callable[[], float], limit: float, tries: int = 5) -> float:
    """Return the least of several times, none more once one is below ``limit``: a fault makes all long, a busy machine some."""
    best = measure()
    for _ in range(tries - 1):
        if best < limit:
            break
        best = min(best, measure())
    return best


def lasting_port() -> int:
    """Return a free port that can be closed and opened again: systems give those above to whoever asks for any."""
    choices = random.Random()  # not seeded: two runs at a time shall differ
    while True:
        port = choices.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
