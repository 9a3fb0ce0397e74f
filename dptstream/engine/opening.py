"""Sources that may be away when a run begins, such as cameras: opened at the same time, and nobody waits for them."""

import threading
import time
from collections.abc import Callable, Mapping

from ..errors import SourceAwayError
from ..sources.playback import Playback

FIRST_LOOK_SECONDS = 3.0
"""How long a run waits before it begins for sources that have not answered yet."""


class Opening:
    """A source that is being opened in a thread of its own.

    As a function it gives the source, for a player: at its first call what ``look`` found, at the second what became of
    an attempt that had not ended then, and later it opens the source anew.

    Args:
        location: What is opened, fit to be shown.
        open_source: Opens it.
    """

    def __init__(self, location: str, open_source: Callable[[], Playback]) -> None:
        self._location, self._open_source = location, open_source
        self._outcome: Playback | Exception | None = None
        self._found: Playback | Exception | None = None
        # Not the thread is waited for: Python 3.11 takes one for ended when Ctrl-C comes while it is joined.
        self._ended = threading.Event()
        threading.Thread(target=self._open, name="dptstream-opening", daemon=True).start()

    def look(self, timeout: float) -> Playback | None:
        """Wait for the source and return it, or None where it is away so far; raises what time does not mend."""
        if not self._ended.wait(timeout):
            self._found = SourceAwayError(f"{self._location}: no answer yet")
        else:
            self._found, self._outcome = self._outcome, None
        if isinstance(self._found, Playback):
            return self._found
        if not isinstance(self._found, SourceAwayError):
            assert self._found is not None
            raise self._found
        return None

    def __call__(self) -> Playback:
        """Give the source; raises SourceError or ValueError."""
        if self._found is not None:
            found, self._found = self._found, None
        else:
            self._ended.wait()
            found, self._outcome = self._outcome or self._open_source(), None
        if isinstance(found, Exception):
            raise found
        return found

    def _open(self) -> None:
        try:
            self._outcome = self._open_source()
        except Exception as error:  # noqa: BLE001 - raised again where the source is asked for
            self._outcome = error
        finally:
            self._ended.set()


def look_at(openings: Mapping[str, Opening]) -> dict[str, Playback | None]:
    """Return the source of each, None for those that are away; raises the first failure that time does not mend."""
    deadline = time.monotonic() + FIRST_LOOK_SECONDS
    return {name: opening.look(max(0.0, deadline - time.monotonic())) for name, opening in openings.items()}
