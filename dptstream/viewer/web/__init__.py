"""The viewer as a web page, live, for any number of visitors. Needs the extra ``web``; needs no torch."""

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import MissingExtraError

if TYPE_CHECKING:
    from .access import new_token as new_token
    from .server import WebOptions as WebOptions
    from .server import WebServer as WebServer
    from .server import serve_page as serve_page

_HOMES = {"WebOptions": "server", "WebServer": "server", "serve_page": "server", "new_token": "access"}

__all__ = ["WebOptions", "WebServer", "new_token", "serve_page"]


def __getattr__(name: str) -> object:
    """Load a public name at its first use; raises MissingExtraError where the extra is not installed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import_module("websockets")  # the server asks for it only when it runs
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "websockets", "anyio"):
            raise
        raise MissingExtraError('the page in a browser needs more: pip install "dptstream[web]"') from None
