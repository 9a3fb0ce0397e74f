"""The page's server: one address with the page, its WebSocket and its uploads. Shows; decides nothing about depth."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from ...errors import WireError
from ..feeds import Feed
from ..settings import ViewSettings
from .access import Access, check_token
from .hub import Hub
from .pages import content_policy, page_files, send_file
from .uploads import Uploads
from .visitor import Offer, Visitor

DEFAULT_PORT = 8577
MAX_UPLOAD_BYTES = 1 << 30
_MAX_WISH_BYTES = 16_384
"""Longest text that a page sends."""
_POLL_SECONDS = 0.2
_START_SECONDS = 10.0
_STOP_SECONDS = 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Where the page is served, and what visitors may do."""

    host: str = "127.0.0.1"
    """Address to serve; other machines reach 0.0.0.0, which needs a token."""
    port: int = DEFAULT_PORT
    """0 takes a free one."""
    token: str | None = None
    """Secret that visitors need; at least 12 letters. Needed for every host but loopback."""
    upload: Callable[[Path], str] | None = None
    """Runs a picture or video from now on, and returns a line for people; None where no engine runs in this process.
    The file is deleted after the next one, or when the server closes."""
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    """Largest file taken."""
    smooth: Callable[[str], None] | None = None
    """Takes a preset (off, minimal, light, default, strong) and has the sender steady depth by it; None where it cannot."""

    def __post_init__(self) -> None:
        check_token(self.host, self.token)
        if not 0 <= self.port < 65536:
            raise ValueError(f"a port lies between 0 and 65535; got {self.port}")


class WebServer:
    """Serves the page in a thread of its own::

        with WebServer([feed], ViewSettings()) as server:
            print(server.url)
            server.wait()

    Args:
        feeds: What to show, at least one; whoever opened them closes them, after this server.
        settings: What the page begins with.
        options: Where, and for whom.

    Raises:
        ValueError: There is no feed.
    """

    def __init__(self, feeds: Sequence[Feed], settings: ViewSettings, options: WebOptions | None = None) -> None:
        if not feeds:
            raise ValueError("there is no feed to show")
        self._feeds = feeds
        self._settings = settings
        self._options = options or WebOptions()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = self._options.port

    @property
    def url(self) -> str:
        """The page's address with its token, as this machine reaches it."""
        host = self._options.host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        token = f"/?token={quote(self._options.token)}" if self._options.token else "/"
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}{token}"

    @property
    def port(self) -> int:
        """The true port, once it is open."""
        return self._port

    def __enter__(self) -> Self:
        """Open the address; raises WireError when that is not possible."""
        listener = _listen(self._options.host, self._options.port)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            _make_app(self._feeds, self._settings, self._options),
            ws="websockets-sansio",
            ws_max_size=_MAX_WISH_BYTES,
            ws_per_message_deflate=False,  # depth hardly shrinks by it, and it would take longer than the network
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listener), name="dptstream-web", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def wait(self) -> None:
        """Wait until ``close`` is called, from a signal handler or another thread; Ctrl-C ends it as well."""
        thread = self._thread
        while thread is not None and thread.is_alive():
            thread.join(_POLL_SECONDS)  # without a limit Windows would not see Ctrl-C

    def close(self) -> None:
        """Say goodbye to pages and close the address; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_START_SECONDS)

    @staticmethod
    def _run(server: uvicorn.Server, listener: socket.socket) -> None:
        with listener:
            asyncio.run(server.serve(sockets=[listener]))


def serve_page(
    feeds: Sequence[Feed],
    settings: ViewSettings,
    options: WebOptions | None = None,
    *,
    on_ready: Callable[[WebServer], None] = lambda _: None,
) -> None:
    """Serve the page until ``close`` of the server that ``on_ready`` got, or Ctrl-C; raises as ``WebServer`` does."""
    with WebServer(feeds, settings, options) as server:
        on_ready(server)
        server.wait()


def _make_app(feeds: Sequence[Feed], settings: ViewSettings, options: WebOptions) -> ASGIApp:
    """Return the whole application, guarded."""
    offer = Offer(
        settings=asdict(settings),
        max_upload_bytes=options.max_upload_bytes if options.upload is not None else None,
        smooth=options.smooth,
    )
    page_files()  # now, so that the first visitor does not wait

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        uploads = Uploads(options.upload, options.max_upload_bytes)
        try:
            with Hub(feeds) as hub:
                app.state.hub, app.state.uploads = hub, uploads
                yield
        finally:
            uploads.close()

    async def talk(web_socket: WebSocket) -> None:
        await web_socket.accept()
        await Visitor(web_socket, web_socket.app.state.hub, offer).serve()

    async def take_upload(request: Request) -> Response:
        uploads: Uploads = request.app.state.uploads
        return await uploads.take(request)

    routes = [
        WebSocketRoute("/feed", talk),
        Route("/upload", take_upload, methods=["POST"]),
        Route("/{path:path}", send_file),
    ]
    return Access(Starlette(routes=routes, lifespan=lifespan), options.token, content_policy())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=64)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WireError(f"cannot serve the page at {host}:{port}: {reason}; name another port, or 0 for any") from None
