"""How fast counters run just now. Knows nothing of what they count."""

import time
from collections import deque

WINDOW_SECONDS = 2.0
"""What is meant by now."""


class Rate:
    """Rates of two counters, in and out, over the last two seconds. Not safe to use from two threads at once."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def take(self, received: int, written: int) -> None:
        """Note how far the counters are."""
        now = time.monotonic()
        self._samples.append((now, received, written))
        while now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()

    def per_second(self) -> tuple[float, float]:
        """Return both rates; zeros when nothing was noted lately."""
        now = time.monotonic()
        recent = [sample for sample in self._samples if now - sample[0] <= WINDOW_SECONDS]
        if len(recent) < 2 or recent[-1][0] == recent[0][0]:
            return 0.0, 0.0
        (began, received, written), (ended, more_received, more_written) = recent[0], recent[-1]
        elapsed = ended - began
        return round((more_received - received) / elapsed, 2), round((more_written - written) / elapsed, 2)
