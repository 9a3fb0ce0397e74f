"""Measure the wire between two processes: ``python benchmarks/wire.py [--seconds 120] [--fps 60]``.

The sender takes depth of 518x924 and a 1280x720 picture of a synthetic model, makes messages of them (half floats,
picture resized to the depth's size) and publishes. Latency is from the picture's arrival at the sender to the moment the
subscriber's caller has the unpacked message. Then messages as fast as they go, all of them made beforehand.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from dptstream.wire.subscriber import Subscriber

HEIGHT, WIDTH = 518, 924
POOL = 8


def send(endpoint: str, fps: float, seconds: float, depth: str) -> None:
    """Publish until the time is up; prints the endpoint, then what it cost."""
    from dptstream.frames import DepthFrame, VideoFrame
    from dptstream.geometry import DepthKind, Intrinsics
    from dptstream.sinks import FeedInfo
    from dptstream.sinks.messages import MessageOptions
    from dptstream.sinks.zmq import ZmqSink
    from dptstream.wire.publisher import Publisher

    rng = np.random.default_rng(0)
    depths = [rng.random((HEIGHT, WIDTH), np.float32) for _ in range(POOL)]
    images = [rng.integers(0, 256, (720, 1280, 3), np.uint8) for _ in range(POOL)]
    kind, base = DepthKind.RELATIVE_INVERSE, Fraction(1, 90000)
    feed = FeedInfo(
        "bench",
        "bench:",
        1280,
        720,
        base,
        None,
        None,
        False,
        Intrinsics.default(1280, 720),
        kind,
        {"name": "synthetic"},
        {},
    )
    me = psutil.Process()
    with Publisher(endpoint) as publisher:
        print(publisher.endpoint, flush=True)
        while not publisher.subscribers:
            time.sleep(0.01)
        sink = ZmqSink(publisher, MessageOptions(depth=depth))  # type: ignore[arg-type]
        sink.open(feed)
        begin, memory, late = time.monotonic(), [], 0.0
        for number in range(round(fps * seconds)):
            due = begin + number / fps
            time.sleep(max(0.0, due - time.monotonic()))
            late = max(late, time.monotonic() - due)
            video = VideoFrame(images[number % POOL], number, number * 1500, base, captured_ns=time.monotonic_ns())
            sink.write(DepthFrame(depths[number % POOL], kind, video))
            if number % round(fps) == 0:
                memory.append(me.memory_info().rss)
        sink.close(complete=True)
        time.sleep(0.5)
    result = {
        "sender_memory_mb": {"after_5_s": memory[5] // 2**20, "max": max(memory) // 2**20, "end": memory[-1] // 2**20},
        "sender_latest_start_ms": round(late * 1e3, 1),
        "sender_cpu_percent": round(sum(me.cpu_times()[:2]) / (time.monotonic() - begin) * 100),
    }
    print(json.dumps(result), flush=True)


def blast(endpoint: str, seconds: float) -> None:
    """Publish ready messages as fast as one subscriber takes them."""
    from dptstream.wire.publisher import Publisher
    from tests.wire.feeding import numbered_frame

    message = numbered_frame(0, "0" * 32, HEIGHT, WIDTH)
    with Publisher(endpoint) as publisher:
        print(publisher.endpoint, flush=True)
        while not publisher.subscribers:
            time.sleep(0.01)
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            publisher.send(message)
            count += 1
            time.sleep(0.0005)  # PUB drops beyond its high-water mark: leave the network thread its time
    print(json.dumps({"offered_per_second": round(count / seconds)}), flush=True)


def start(*words: str) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, env=environment)


def paced(fps: float, seconds: float, depth: str) -> dict[str, object]:
    with start("--role", "send", "--fps", str(fps), "--seconds", str(seconds), "--depth", depth) as sender:
        assert sender.stdout is not None
        latencies = []
        with Subscriber(sender.stdout.readline().strip(), capacity=8) as subscriber:
            for message in subscriber.frames(timeout=30):
                assert message.captured_unix_ns is not None
                latencies.append((time.time_ns() - message.captured_unix_ns) / 1e6)
            stats = subscriber.stats
        result: dict[str, object] = json.loads(sender.stdout.readline())
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).round(2).tolist()
    return {
        "frames": stats.received,
        "expected": round(fps * seconds),
        "lost": stats.lost,
        "skipped": stats.skipped,
        "latency_ms": {"p50": p50, "p95": p95, "p99": p99, "max": round(max(latencies), 2)},
        "receiver_memory_mb": psutil.Process().memory_info().rss // 2**20,
        **result,
    }


def unpaced(seconds: float) -> dict[str, object]:
    with start("--role", "blast", "--seconds", str(seconds)) as sender:
        assert sender.stdout is not None
        with Subscriber(sender.stdout.readline().strip()) as subscriber:
            first = subscriber.receive(30)
            assert first is not None
            begin, before = time.monotonic(), subscriber.stats
            time.sleep(seconds * 0.8)
            after, elapsed = subscriber.stats, time.monotonic() - begin
        result: dict[str, object] = json.loads(sender.stdout.readline())
    gigabytes = (after.received_bytes - before.received_bytes) / elapsed / 1e9
    return {
        "messages_per_second": round((after.received - before.received) / elapsed),
        "gigabytes_per_second": round(gigabytes, 2),
        **result,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=("measure", "send", "blast"), default="measure")
    parser.add_argument("--fps", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--depth", choices=("float16", "uint16", "float32"), default="float16")
    options = parser.parse_args()
    if options.role == "send":
        send("tcp://127.0.0.1:*", options.fps, options.seconds, options.depth)
    elif options.role == "blast":
        blast("tcp://127.0.0.1:*", options.seconds)
    else:
        print(json.dumps({"cpus": os.cpu_count(), "load": os.getloadavg() if hasattr(os, "getloadavg") else None}))
        print(json.dumps({"paced": paced(options.fps, options.seconds, options.depth)}, indent=2))
        print(json.dumps({"unpaced": unpaced(min(10.0, options.seconds))}, indent=2))


if __name__ == "__main__":
    main()
