"""What Prometheus reads, and what people and machines are told beside it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from dptstream.cli.prometheus import PrometheusServer, feed_metrics
from dptstream.cli.serving import StatusLines, words
from dptstream.engine.feeds import FeedReport
from dptstream.engine.gpu import GpuUse
from dptstream.errors import WireError
from dptstream.geometry import DepthKind

REPORT = FeedReport(
    feed="cam1",
    location="/dev/video0",
    state="playing",
    width=640,
    height=480,
    live=True,
    paused=False,
    loop=False,
    model="tiny",
    size=None,
    temporal="default",
    frames=1234,
    dropped=10,
    late=3,
    fps_in=30.0,
    fps_out=29.5,
    latency_ms_p50=12.5,
    latency_ms_p95=20.0,
    sessions=2,
)


GPU = GpuUse("cuda:0", 0.43, 20 * 10**9, 5 * 10**9, 80 * 10**9)


def samples(page: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def told(*arguments: Any) -> str:
    class Once(Collector):
        def collect(self) -> Iterable[Metric]:
            return feed_metrics(*arguments)

    registry = CollectorRegistry()
    registry.register(Once())
    return generate_latest(registry).decode()


def test_counts_rates_and_latency_of_each_feed_are_told() -> None:
    found = samples(told([REPORT, replace(REPORT, feed="cam2", state="waiting", latency_ms_p50=None)], 4))
    assert found['dptstream_frames_total{feed="cam1"}'] == 1234
    assert found['dptstream_dropped_total{feed="cam1",reason="replaced"}'] == 7
    assert found['dptstream_dropped_total{feed="cam1",reason="late"}'] == 3
    assert found['dptstream_sessions_total{feed="cam1"}'] == 2
    assert found['dptstream_fps{direction="out",feed="cam1"}'] == 29.5
    assert found['dptstream_latency_seconds{feed="cam1",quantile="0.5"}'] == 0.0125
    assert (found['dptstream_playing{feed="cam1"}'], found['dptstream_playing{feed="cam2"}']) == (1, 0)
    assert 'dptstream_latency_seconds{feed="cam2",quantile="0.5"}' not in found
    assert found["dptstream_subscribers"] == 4
    assert not [name for name in found if "gpu" in name]


def test_a_gpus_use_and_memory_are_told_where_there_is_one() -> None:
    found = samples(told([REPORT], 0, GPU))
    assert found['dptstream_gpu_utilization_ratio{device="cuda:0"}'] == 0.43
    assert found['dptstream_gpu_memory_bytes{device="cuda:0",of="all"}'] == 20e9
    assert found['dptstream_gpu_memory_bytes{device="cuda:0",of="own"}'] == 5e9
    assert found['dptstream_gpu_memory_bytes{device="cuda:0",of="total"}'] == 80e9
    unknown = samples(told([REPORT], 0, replace(GPU, utilization=None)))
    assert 'dptstream_gpu_utilization_ratio{device="cuda:0"}' not in unknown


def test_every_metric_has_a_type_and_a_description() -> None:
    families = list(text_string_to_metric_families(told([REPORT, replace(REPORT, feed="cam2")], 0, GPU)))
    kinds = {family.name: family.type for family in families}
    assert kinds["dptstream_frames"] == "counter"
    assert kinds["dptstream_fps"] == "gauge"
    assert len(kinds) == len(families) == 9
    assert all(family.documentation.endswith(".") for family in families)


def test_metrics_are_those_of_the_moment_and_nothing_else_is_served() -> None:
    reports = [REPORT]
    with PrometheusServer("127.0.0.1:0", lambda: feed_metrics(reports, 0)) as server:
        with urllib.request.urlopen(server.url, timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert samples(answer.read().decode())['dptstream_frames_total{feed="cam1"}'] == 1234
        reports[0] = replace(REPORT, frames=1235)
        request = urllib.request.Request(server.url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert b'dptstream_frames_total{feed="cam1"} 1235' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(server.url.replace("metrics", "etc/passwd"), timeout=60)
        caught.value.close()


def test_a_missing_library_is_named_before_anything_is_loaded() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None; from dptstream.cli import run; "
        "sys.exit(run(['serve', 'synthetic:', '--prometheus', '127.0.0.1:0', '--model', 'no-such-model']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 1
    expected = 'dptstream: --prometheus needs prometheus-client: pip install "dptstream[metrics]"'
    assert (done.stderr.strip(), done.stdout) == (expected, "")


def on_gpu(monkeypatch: pytest.MonkeyPatch, *, json_lines: bool) -> StatusLines:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (60 * 10**9, 80 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 5 * 10**9)
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: 43)
    return with_model("cuda:0", json_lines=json_lines)


def with_model(device: str, *, json_lines: bool) -> StatusLines:
    lines = StatusLines(quiet=False, json_lines=json_lines)
    info = SimpleNamespace(name="toy", kind=DepthKind.METRIC, license="Apache-2.0", temporal=False)
    lines.model(SimpleNamespace(info=info, device=torch.device(device), dtype=torch.float32))
    return lines


def test_the_status_line_tells_of_the_gpu_and_of_none_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_gpu(monkeypatch, json_lines=False).feeds([REPORT], 2)
    assert capsys.readouterr().err.endswith("dropped 10 (3 late), 2 listening, GPU 43% busy, 20.0 of 80.0 GB\n")
    with_model("cpu", json_lines=False).feeds([REPORT], 2)
    assert capsys.readouterr().err.endswith("dropped 10 (3 late), 2 listening\n")
    assert words(REPORT, 2, replace(GPU, utilization=None)).endswith("2 listening, GPU memory 20.0 of 80.0 GB")


def test_json_lines_tell_of_the_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    on_gpu(monkeypatch, json_lines=True).feeds([REPORT], 2)
    line = json.loads(capsys.readouterr().out)
    assert line["gpu"] == asdict(GPU)
    assert (line["feed"], line["subscribers"]) == ("cam1", 2)
    with_model("cpu", json_lines=True).feeds([REPORT], 2)
    assert json.loads(capsys.readouterr().out)["gpu"] is None


def test_addresses_that_cannot_be_or_are_open_to_all_are_refused() -> None:
    with pytest.raises(ValueError, match="an address is HOST:PORT with a port below 65536; got 'nonsense'"):
        PrometheusServer("nonsense", list)
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:9100 can be read from other machines: say --insecure"):
        PrometheusServer("0.0.0.0:9100", list)
    with PrometheusServer("127.0.0.1:0", list) as server, pytest.raises(WireError, match="cannot serve at"):
        PrometheusServer(server.url.removeprefix("http://").removesuffix("/metrics"), list).__enter__()
