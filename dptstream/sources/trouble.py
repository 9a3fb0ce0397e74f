"""FFmpeg's errors in words for users. One line each; no address ever shows its password."""

import av

from ..errors import SourceError
from .locations import LocationKind, kind_of, scheme_of, without_secrets


def explain(error: Exception, location: str, *, timeout_s: float | None = None) -> SourceError:
    """Return a SourceError which says in one line why ``location`` could not be opened or read."""
    shown = without_secrets(location)
    kind = kind_of(location)
    if kind is LocationKind.CAMERA:
        return SourceError(_explain_camera(error, shown))
    if isinstance(error, av.error.ExitError | TimeoutError):
        return SourceError(f"{shown}: nothing came within {timeout_s:g} seconds; is the address right and reachable?")
    if isinstance(error, FileNotFoundError):
        return SourceError(f"{shown}: no such file or folder")
    if isinstance(error, PermissionError):
        return SourceError(f"{shown}: permission denied; check that you may read it")
    if isinstance(error, av.error.ProtocolNotFoundError):
        return SourceError(f"{shown}: addresses beginning with {scheme_of(location)}:// are not understood")
    if isinstance(error, av.error.InvalidDataError):
        what = "no video comes from there" if kind is LocationKind.ADDRESS else "not a video, or one cut off or damaged"
        return SourceError(f"{shown}: {what} (FFmpeg cannot make sense of its content)")
    return SourceError(f"{shown}: {reason_of(error)}")


def _explain_camera(error: Exception, shown: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{shown}: no such camera"
    if isinstance(error, PermissionError):
        return f"{shown}: permission denied; may this user (or program) use cameras?"
    if isinstance(error, OSError) and "busy" in reason_of(error).lower():
        return f"{shown}: the camera is in use by another program"
    return f"{shown}: the camera gives no video: {reason_of(error)}"


def reason_of(error: BaseException) -> str:
    """Return an error's own words in one line, without passwords."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return without_secrets(" ".join(str(text).split()))
