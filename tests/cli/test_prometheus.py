"""The page that Prometheus reads."""

import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from dptstream.cli.prometheus import PrometheusServer, page
from dptstream.engine.feeds import FeedReport
from dptstream.errors import WireError

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


def samples(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_the_page_states_counts_rates_and_latency_of_each_feed() -> None:
    found = samples(page([REPORT, replace(REPORT, feed="cam2", state="waiting", latency_ms_p50=None)], 4))
    assert found['dptstream_frames_total{feed="cam1"}'] == 1234
    assert found['dptstream_dropped_total{feed="cam1",reason="replaced"}'] == 7
    assert found['dptstream_dropped_total{feed="cam1",reason="late"}'] == 3
    assert found['dptstream_fps{feed="cam1",direction="out"}'] == 29.5
    assert found['dptstream_latency_seconds{feed="cam1",quantile="0.5"}'] == 0.0125
    assert (found['dptstream_playing{feed="cam1"}'], found['dptstream_playing{feed="cam2"}']) == (1, 0)
    assert 'dptstream_latency_seconds{feed="cam2",quantile="0.5"}' not in found
    assert found["dptstream_subscribers"] == 4


def test_every_metric_is_described_once_before_its_samples() -> None:
    lines = page([REPORT, replace(REPORT, feed="cam2")], 0).splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described))
    seen: set[str] = set()
    for line in lines:
        if line.startswith("# TYPE"):
            seen.add(line.split()[2])
        elif not line.startswith("#"):
            assert line.partition("{")[0].split()[0] in seen


def test_the_page_is_made_anew_for_each_request_and_nothing_else_is_served() -> None:
    reports = [REPORT]
    with PrometheusServer("127.0.0.1:0", lambda: page(reports, 0)) as server:
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert samples(answer.read().decode())['dptstream_frames_total{feed="cam1"}'] == 1234
        reports[0] = replace(REPORT, frames=1235)
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert samples(answer.read().decode())['dptstream_frames_total{feed="cam1"}'] == 1235
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(server.url.replace("metrics", "etc/passwd"), timeout=5)
        caught.value.close()


def test_addresses_that_cannot_be_or_are_open_to_all_are_refused() -> None:
    with pytest.raises(ValueError, match="an address is HOST:PORT with a port below 65536; got 'nonsense'"):
        PrometheusServer("nonsense", str)
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:9100 can be read from other machines: say --insecure"):
        PrometheusServer("0.0.0.0:9100", str)
    with PrometheusServer("127.0.0.1:0", str) as server, pytest.raises(WireError, match="cannot serve at"):
        PrometheusServer(server.url.removeprefix("http://").removesuffix("/metrics"), str).__enter__()
