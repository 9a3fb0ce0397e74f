"""The first failure of a run, which wins; later ones become its notes."""

import threading

from ..errors import EngineError, describe


class Failure:
    """Collects what fails; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: EngineError | None = None

    def add(self, stage: str, sequence: int, error: Exception) -> None:
        """Take what was raised in ``stage`` at frame ``sequence``."""
        with self._lock:
            if self._first is not None:
                self._first.add_note(f"then also {stage}, frame {sequence}: {describe(error)}")
            elif isinstance(error, EngineError):
                self._first = error
            else:
                self._first = EngineError(stage, sequence, error)
                self._first.__cause__ = error

    def raise_first(self) -> None:
        """Raise the first failure, its cause chained; do nothing where all went well."""
        if self._first is not None:
            raise self._first from self._first.__cause__
