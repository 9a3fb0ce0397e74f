"""Asks a running server for another network, size or smoothing, in a thread: loading may take minutes. Knows no bpy."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .light import errors, with_socket

_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    operation: str
    """As in the specification of the wire, under Steering."""
    arguments: dict[str, str | float | bool | None]
    """Its arguments."""


class Asking:
    """Requests on their way, asked one after another; the first refusal ends them.

    Args:
        endpoint: Where the server takes orders.
        questions: What to ask.
        keys: Folder with this client's keys; None for a server without keys.
        timeout: Seconds to wait for each answer.

    Raises:
        DptStreamError: pyzmq or the keys are missing or wrong.
    """

    def __init__(
        self,
        endpoint: str,
        questions: Sequence[Question],
        keys: Path | None = None,
        timeout: float = _TIMEOUT_SECONDS,
    ) -> None:
        client = None if keys is None else with_socket("keys").load_client_keys(keys)
        self._client = with_socket("control").ControlClient(endpoint, keys=client, timeout=timeout)
        self._questions = tuple(questions)
        self.problem = ""
        """What the server or the network refused; empty where nothing was."""
        self._thread = threading.Thread(target=self._ask, name="dptstream-control", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether an answer is still awaited."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait until all is answered, at most so long."""
        self._thread.join(seconds)

    def _ask(self) -> None:
        try:
            for question in self._questions:
                self._client.request(question.operation, **question.arguments)
        except (errors.DptStreamError, ValueError) as error:
            self.problem = errors.describe(error)
