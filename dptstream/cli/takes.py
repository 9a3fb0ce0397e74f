"""What of ``convert``'s flags goes with recordings, whose depth was made long ago."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path

from .flags import ModelFlags


def is_take(location: str) -> bool:
    """Return whether an input is a recording of a depth feed."""
    from ..sources.recording import is_recording

    return location.endswith(".mkv") and is_recording(Path(location))


def refuse_network_flags(inputs: Sequence[str], network: ModelFlags, others: object) -> None:
    """Raise ValueError where flags for a network were given, and every input is a recording.

    Args:
        inputs: All inputs of the run.
        network: Which network, and how.
        others: What holds ``temporal``, ``causal`` and ``sequential``.
    """
    if not (inputs and all(map(is_take, inputs))):
        return
    given = [*_changed(network), *(name for name in _changed(others) if name in ("temporal", "causal", "sequential"))]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise ValueError(
            f"{inputs[0]} is a recording: no network runs, and its depth is as it was sent; leave {flags} out"
        )


def _changed(flags: object) -> list[str]:
    """Return the names of fields that differ from their defaults."""
    known = [field for field in fields(flags) if field.default is not MISSING]  # type: ignore[arg-type]
    return [field.name for field in known if getattr(flags, field.name) != field.default]
