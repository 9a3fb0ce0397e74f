"""How the feeds go, for Prometheus: what is told, and the server that tells it. Needs the extra ``metrics``."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import MissingExtraError, WireError

try:
    from prometheus_client import CollectorRegistry, MetricsHandler
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError('--prometheus needs prometheus-client: pip install "dptstream[metrics]"') from error

if TYPE_CHECKING:
    from ..engine.feeds import FeedReport
    from ..engine.gpu import GpuUse

_CLIENT_TIMEOUT_S = 5.0
"""A client that sends nothing for so long is hung up on."""


def feed_metrics(reports: "Sequence[FeedReport]", subscribers: int, gpu: "GpuUse | None" = None) -> Iterator[Metric]:
    """Yield everything that is told at one moment; nothing of a GPU where there is none."""
    frames = _counter("frames", "Frames published.", "feed")
    dropped = _counter("dropped", "Frames that came but were not inferred.", "feed", "reason")
    sessions = _counter("sessions", "Sessions begun.", "feed")
    fps = _gauge("fps", "Frames a second, over the last two seconds.", "feed", "direction")
    about_latency = "From a frame's capture to its publication, over the last frames."
    latency = _gauge("latency_seconds", about_latency, "feed", "quantile")
    playing = _gauge("playing", "1 while frames come, else 0.", "feed")
    for report in reports:
        feed = report.feed
        frames.add_metric([feed], report.frames)
        dropped.add_metric([feed, "replaced"], report.dropped - report.late)
        dropped.add_metric([feed, "late"], report.late)
        sessions.add_metric([feed], report.sessions)
        fps.add_metric([feed, "in"], report.fps_in)
        fps.add_metric([feed, "out"], report.fps_out)
        for quantile, milliseconds in (("0.5", report.latency_ms_p50), ("0.95", report.latency_ms_p95)):
            if milliseconds is not None:
                latency.add_metric([feed, quantile], milliseconds / 1000)
        playing.add_metric([feed], report.state == "playing")
    listening = _gauge("subscribers", "Subscriptions just now.")
    listening.add_metric([], subscribers)
    yield from (frames, dropped, sessions, fps, latency, playing, listening)
    if gpu is not None:
        yield from _gpu_metrics(gpu)


def _gpu_metrics(gpu: "GpuUse") -> Iterator[Metric]:
    if gpu.utilization is not None:
        busy = _gauge("gpu_utilization_ratio", "Share of the last moments in which the GPU computed.", "device")
        busy.add_metric([gpu.device], gpu.utilization)
        yield busy
    memory = _gauge("gpu_memory_bytes", "The GPU's memory: used by all, used by this program, total.", "device", "of")
    memory.add_metric([gpu.device, "all"], gpu.memory_used_bytes)
    memory.add_metric([gpu.device, "own"], gpu.memory_own_bytes)
    memory.add_metric([gpu.device, "total"], gpu.memory_total_bytes)
    yield memory


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"dptstream_{name}", text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"dptstream_{name}", text, labels=labels)


class PrometheusServer:
    """Serves metrics at ``/metrics``, in threads of its own.

    Args:
        address: ``HOST:PORT``; port 0 takes a free one.
        tell: Returns the metrics; called for each request.
        insecure: Let other machines read them; there are no keys for this page.

    Raises:
        ValueError: The address cannot be one, or other machines could read it without ``insecure``.
    """

    def __init__(self, address: str, tell: Callable[[], Iterable[Metric]], *, insecure: bool = False) -> None:
        from ..wire.endpoints import is_local

        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):
            raise ValueError(f"an address is HOST:PORT with a port below 65536; got {address!r}")
        if not insecure and not is_local(f"tcp://{address}"):
            raise ValueError(f"{address} can be read from other machines: say --insecure, or take 127.0.0.1:{port}")
        self._address = host.strip("[]"), int(port)
        self._tell = tell
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where the page is, with the true port once it is open."""
        host, port = self._address
        return f"http://{host}:{port}/metrics"

    def __enter__(self) -> Self:
        """Open the address; raises WireError when that is not possible."""
        try:
            server = ThreadingHTTPServer(self._address, _handler_for(self._tell))
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


def _handler_for(tell: Callable[[], Iterable[Metric]]) -> type[BaseHTTPRequestHandler]:
    class Now(Collector):
        def collect(self) -> Iterable[Metric]:
            """Return the metrics of this moment."""
            return tell()

    own = CollectorRegistry()
    own.register(Now())

    class Handler(MetricsHandler):
        registry = own
        timeout = _CLIENT_TIMEOUT_S

        def do_GET(self) -> None:  # noqa: N802 - named by http.server
            """Answer with the metrics, in the format that is asked for."""
            if self.path.partition("?")[0] == "/metrics":
                super().do_GET()
            else:
                self.send_error(404)

    return Handler
