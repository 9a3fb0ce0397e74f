"""Measure the wire between two processes: ``python benchmarks/wire.py [--seconds 120] [--fps 60] [--output FILE]``.

The sender takes depth of 518x924 and a 1280x720 picture of a synthetic model, makes messages of them (half floats,
picture resized to the depth's size) and publishes. Latency is from the picture's arrival at the sender to the moment the
subscriber's caller has the unpacked message. Then messages as fast as they go, all of them made beforehand.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil

from dptstream.wire import FrameMessage, Message
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
        collected, begin, memory, late = full_collections(), time.monotonic(), [], 0.0
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
        "sender_full_collections": full_collections() - collected,
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


def full_collections() -> int:
    """Return how often Python looked through all of its objects, which stops every thread."""
    return int(gc.get_stats()[2]["collections"])


def percentiles(values_ms: list[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(values_ms, (50, 95, 99)).round(2).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": round(max(values_ms), 2)}


def paced(fps: float, seconds: float, depth: str) -> dict[str, object]:
    with start("--role", "send", "--fps", str(fps), "--seconds", str(seconds), "--depth", depth) as sender:
        assert sender.stdout is not None
        arrived: dict[int, int] = {}
        whole, made, sent, handed = [], [], [], []
        collected = full_collections()

        def note_arrival(message: Message) -> None:
            if isinstance(message, FrameMessage):
                arrived[message.sequence] = time.time_ns()

        endpoint = sender.stdout.readline().strip()
        with Subscriber(endpoint, capacity=8, on_message=note_arrival) as subscriber:
            for message in subscriber.frames(timeout=30):
                now, captured, published = time.time_ns(), message.captured_unix_ns, message.published_unix_ns
                assert captured is not None
                whole.append((now - captured) / 1e6)
                made.append((published - captured) / 1e6)
                # Whoever is quick has the frame before the callback has noted it.
                came = arrived.pop(message.sequence, now)
                sent.append((min(came, now) - published) / 1e6)
                handed.append(max(0, now - came) / 1e6)
            stats = subscriber.stats
        result: dict[str, object] = json.loads(sender.stdout.readline())
    return {
        "frames": stats.received,
        "expected": round(fps * seconds),
        "lost": stats.lost,
        "skipped": stats.skipped,
        "latency_ms": percentiles(whole),
        "of_it_to_make_the_message_ms": percentiles(made),
        "of_it_to_send_and_unpack_it_ms": percentiles(sent),
        "of_it_to_hand_it_to_the_caller_ms": percentiles(handed),
        "receiver_full_collections": full_collections() - collected,
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
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.role == "send":
        send("tcp://127.0.0.1:*", options.fps, options.seconds, options.depth)
    elif options.role == "blast":
        blast("tcp://127.0.0.1:*", options.seconds)
    else:
        figures: dict[str, object] = {
            "cpus": os.cpu_count(),
            "load_before": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "depth": options.depth,
            "fps": options.fps,
            "seconds": options.seconds,
        }
        figures["paced"] = paced(options.fps, options.seconds, options.depth)
        figures["unpaced"] = unpaced(min(10.0, options.seconds))
        print(json.dumps(figures, indent=1))
        if options.output is not None:
            options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
