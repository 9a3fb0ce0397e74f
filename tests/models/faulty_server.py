"""A web server on this machine that serves files like the Hugging Face hub and GitHub do, with the faults of real networks."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Served:
    """One file and what goes wrong with it."""

    content: bytes
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the connection breaks, one number for each of the first requests."""
    announced: int | None = None
    """A wrong length to announce."""
    status: int | None = None
    """An error to answer with."""
    content_type: str = "application/octet-stream"
    pause_seconds: float = 0.0
    """Silence before each piece."""
    ranges: bool = True
    """Whether the server can send a part of the file."""
    etag: str | None = None

    @property
    def tag(self) -> str:
        """What the server says the content is: its SHA-256, as the hub does for large files."""
        return self.etag or hashlib.sha256(self.content).hexdigest()


@dataclass
class Server:
    """The files by path, and the requests that came."""

    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and the range that was asked for."""
    url: str = ""

    def gets(self, path: str) -> list[str | None]:
        """Return the ranges asked for in the GET requests of a path."""
        return [asked for method, came, asked in self.requests if method == "GET" and came == path]


class FaultyHTTPServer(ThreadingHTTPServer):
    """The web server behind a ``Server``."""

    daemon_threads = True

    def __init__(self, state: Server) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: FaultyHTTPServer

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        state = self.server.state
        state.requests.append((self.command, self.path, self.headers.get("Range")))
        served = state.files.get(self.path)
        if served is None or served.status:
            self.send_response(404 if served is None or served.status is None else served.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start(served)
        body = served.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", served.content_type)
        self.send_header("Content-Length", str(served.announced or len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
        self.send_header("ETag", f'"{served.tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self._send(body, served)

    def _start(self, served: Served) -> int:
        asked = self.headers.get("Range")
        if not asked or not served.ranges or self.headers.get("If-Range") not in (None, f'"{served.tag}"'):
            return 0
        return int(asked.removeprefix("bytes=").split("-")[0])

    def _send(self, body: bytes, served: Served) -> None:
        body = body[: served.cut_after.pop(0)] if served.cut_after else body
        for position in range(0, len(body), 4096):
            time.sleep(served.pause_seconds)
            try:
                self.wfile.write(body[position : position + 4096])
            except (BrokenPipeError, ConnectionResetError):
                return


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server until the block ends."""
    state = Server()
    http = FaultyHTTPServer(state)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
