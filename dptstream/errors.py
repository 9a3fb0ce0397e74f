"""Every error dptstream raises for the world's faults, as one tree.

::

    DptStreamError
    ├── SourceError            a video, camera or picture cannot be opened or read
    │   └── SourceAwayError    a camera or address gives nothing at present, but may later
    ├── SinkError              an output cannot be written
    ├── CheckpointError        a file with weights is unknown, damaged or incomplete
    │   ├── DownloadError      weights could not be fetched or verified
    │   └── LicenseError       weights need their licence accepted first
    ├── DeviceError            the device asked for is absent or out of memory
    ├── EngineError            a stage of the engine failed; carries stage and frame
    ├── WireError              a message, key or connection of a depth feed is not as it must be
    │   └── WireVersionError   the other side speaks another version of the wire
    └── MissingExtraError      an optional part is not installed; says how to install it

A caller's slip (a wrong argument) is a ``ValueError`` or ``TypeError`` as everywhere in Python.
"""


class DptStreamError(Exception):
    """Base of all errors of this package; its text is one line fit for a user."""


class SourceError(DptStreamError):
    """A video, camera or picture cannot be opened or read."""


class SourceAwayError(SourceError):
    """A camera or address gives nothing at present, but may later: whoever serves it live tries again."""


class SinkError(DptStreamError):
    """An output cannot be written."""


class CheckpointError(DptStreamError):
    """A file with weights is unknown, damaged or incomplete."""


class DownloadError(CheckpointError):
    """Weights could not be fetched or do not match their published hash."""


class LicenseError(CheckpointError):
    """Weights carry a licence that the user has not accepted yet."""


class DeviceError(DptStreamError):
    """The device asked for is absent, or it ran out of memory."""


class WireError(DptStreamError):
    """A message, key or connection of a depth feed is not as it must be."""


class WireVersionError(WireError):
    """The other side speaks a version of the wire that this one does not know."""


class MissingExtraError(DptStreamError):
    """An optional part is not installed; the text names the command that installs it."""


class EngineError(DptStreamError):
    """A stage of the engine failed. The first failure wins; its cause is chained.

    Attributes:
        stage: The stage's name: ``decode``, ``upload``, ``infer``, ``download``, ``write``.
        sequence: Number of the frame at which it failed, or None before the first.
    """

    def __init__(self, stage: str, sequence: int | None, cause: BaseException) -> None:
        """Describe ``cause``, raised in ``stage`` at frame ``sequence``."""
        where = stage if sequence is None else f"{stage}, frame {sequence}"
        super().__init__(f"{where}: {describe(cause)}")
        self.stage = stage
        self.sequence = sequence


def describe(error: BaseException) -> str:
    """Return one line for ``error``: its text, or its type where it has none."""
    text = " ".join(str(error).split())
    if isinstance(error, DptStreamError | OSError | ValueError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
