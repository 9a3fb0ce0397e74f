"""FFmpeg's errors in words for users. One line each; no address ever shows its password."""

import errno

import av

from ..errors import SourceAwayError, SourceError
from .locations import LocationKind, comes_live, kind_of, may_come_later, scheme_of, without_secrets

_SETTLED = (
    av.error.ArgumentError,
    av.error.ProtocolNotFoundError,
    av.error.HTTPBadRequestError,
    av.error.HTTPUnauthorizedError,
    av.error.HTTPForbiddenError,
    PermissionError,
)
"""What time does not mend. Asking a camera again and again with a wrong password may even lock it."""
_SETTLED_OF_PAGES = (av.error.HTTPNotFoundError, av.error.HTTPOtherClientError, av.error.InvalidDataError)
"""The same of a web server. One for live video answers so while nobody sends to it."""


def explain(error: Exception, location: str, *, timeout_s: float | None = None) -> SourceError:
    """Return a SourceError which says in one line why ``location`` could not be opened or read.

    It is a SourceAwayError where a camera or address may give something later.
    """
    shown = without_secrets(location)
    if kind_of(location) is LocationKind.CAMERA:
        words = _explain_camera(error, shown)
    else:
        words = f"{shown}: {_explain_place(error, location, timeout_s)}"
    return SourceAwayError(words) if _may_pass(error, location) else SourceError(words)


def _may_pass(error: Exception, location: str) -> bool:
    settled = _SETTLED if comes_live(location) else _SETTLED + _SETTLED_OF_PAGES
    return may_come_later(location) and not isinstance(error, settled)


def _explain_place(error: Exception, location: str, timeout_s: float | None) -> str:
    address = kind_of(location) is LocationKind.ADDRESS
    if isinstance(error, av.error.ExitError | TimeoutError):
        return f"nothing came within {timeout_s:g} seconds; is the address right and reachable?"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "permission denied; check that you may read it"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return f"user or password is missing or wrong; write {scheme_of(location)}://USER:PASSWORD@HOST/..."
    if isinstance(error, av.error.ProtocolNotFoundError):
        return f"addresses beginning with {scheme_of(location)}:// are not understood"
    if isinstance(error, av.error.InvalidDataError):
        what = "no video comes from there" if address else "not a video, or one cut off or damaged"
        return f"{what} (FFmpeg cannot make sense of its content)"
    if address and isinstance(error, OSError) and error.errno == errno.EIO:  # also of a name that cannot be looked up
        return f"{reason_of(error)}; is the host's name right, and the network up?"
    return reason_of(error)


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
