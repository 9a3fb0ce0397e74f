"""How the feeds go, for Prometheus: a page in its text format (version 0.0.4). Needs the standard library alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import WireError

if TYPE_CHECKING:
    from ..engine.feeds import FeedReport

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CLIENT_TIMEOUT_S = 5.0
"""A client that sends nothing for so long is hung up on."""

_METRICS = {
    "frames_total": ("counter", "Frames published."),
    "dropped_total": ("counter", "Frames that came but were not inferred."),
    "sessions_total": ("counter", "Sessions begun."),
    "fps": ("gauge", "Frames a second, over the last two seconds."),
    "latency_seconds": ("gauge", "From a frame's capture to its publication, over the last frames."),
    "playing": ("gauge", "1 while frames come, else 0."),
    "subscribers": ("gauge", "Subscriptions just now."),
}


def page(reports: "Sequence[FeedReport]", subscribers: int) -> str:
    """Return the page's text."""
    samples = [sample for report in reports for sample in _samples(report)]
    samples.append(("subscribers", "", subscribers))
    lines: list[str] = []
    for name, (kind, text) in _METRICS.items():
        lines += [f"# HELP dptstream_{name} {text}", f"# TYPE dptstream_{name} {kind}"]
        lines += [f"dptstream_{name}{labels} {value:.10g}" for known, labels, value in samples if known == name]
    return "\n".join(lines) + "\n"


def _samples(report: "FeedReport") -> Iterator[tuple[str, str, float]]:
    feed = f'feed="{report.feed}"'  # of letters, digits and ._- alone, so that nothing needs escaping
    yield "frames_total", f"{{{feed}}}", report.frames
    yield "dropped_total", f'{{{feed},reason="replaced"}}', report.dropped - report.late
    yield "dropped_total", f'{{{feed},reason="late"}}', report.late
    yield "sessions_total", f"{{{feed}}}", report.sessions
    yield "fps", f'{{{feed},direction="in"}}', report.fps_in
    yield "fps", f'{{{feed},direction="out"}}', report.fps_out
    for quantile, milliseconds in (("0.5", report.latency_ms_p50), ("0.95", report.latency_ms_p95)):
        if milliseconds is not None:
            yield "latency_seconds", f'{{{feed},quantile="{quantile}"}}', milliseconds / 1000
    yield "playing", f"{{{feed}}}", float(report.state == "playing")


class PrometheusServer:
    """Serves the page at ``/metrics``, in threads of its own.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        make_page: Returns the page; called for each request.
        insecure: Let other machines read it; there are no keys for this page.

    Raises:
        ValueError: The address cannot be one, or other machines could read it without ``insecure``.
    """

    def __init__(self, address: str, make_page: Callable[[], str], *, insecure: bool = False) -> None:
        from ..wire.endpoints import is_local

        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):
            raise ValueError(f"an address is HOST:PORT with a port below 65536; got {address!r}")
        if not insecure and not is_local(f"tcp://{address}"):
            raise ValueError(f"{address} can be read from other machines: say --insecure, or take 127.0.0.1:{port}")
        self._address = host.strip("[]"), int(port)
        self._make_page = make_page
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where the page is, with the true port once it is open."""
        host, port = self._address
        return f"http://{host}:{port}/metrics"

    def __enter__(self) -> Self:
        """Open the address; raises WireError when that is not possible."""
        try:
            server = ThreadingHTTPServer(self._address, _handler_for(self._make_page))
        except OSError as error:
            raise WireError(f"cannot serve at {self._address[0]}:{self._address[1]}: {error.strerror}") from None
        server.daemon_threads = True
        server.block_on_close = False
        self._server, self._address = server, (self._address[0], server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.05,), name="dptstream-prometheus", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler_for(make_page: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_TIMEOUT_S

        def do_GET(self) -> None:
            """Answer with the page."""
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            body = make_page().encode()
            self.send_response(200)
            self.send_header("Content-Type", _CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing of each request."""

    return Handler
