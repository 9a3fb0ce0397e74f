"""What a run did otherwise than planned, counted and told in lines. Knows no stage."""

import threading


class Notes:
    """Lines with counts; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, line: str) -> None:
        """Count ``line`` once more."""
        with self._lock:
            self._counts[line] = self._counts.get(line, 0) + 1

    @property
    def lines(self) -> list[str]:
        """Every line once, in order of first mention, with its count where it was said more than once."""
        with self._lock:
            return [line if count == 1 else f"{line} ({count} times)" for line, count in self._counts.items()]
