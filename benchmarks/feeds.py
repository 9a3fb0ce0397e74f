"""Several feeds at one network: frames a second and fairness, with passes shared and with each feed by itself.

    python benchmarks/feeds.py [--feeds 2 4] [--model tiny] [--size 112] [--seconds 10] [--rounds 3] [--output FILE]

Every feed plays the bundled clip from memory as fast as it goes, smoothed, into nothing; rounds are interleaved. Run it on a
machine that does nothing else.
"""

import argparse
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from dptstream.engine import Engine, EngineConfig, choose_device, choose_dtype
from dptstream.engine.batching import BatchPolicy
from dptstream.engine.sharing import SharedModel
from dptstream.frames import DepthFrame, VideoFrame
from dptstream.models import load_model
from dptstream.models.base import DepthModel
from dptstream.sinks.base import FeedInfo
from dptstream.sources import SourceInfo, SourceStats, open_source
from dptstream.temporal import SceneCutDetector, TemporalConfig

CLIP = Path(__file__).parents[1] / "examples" / "media" / "big_buck_bunny.mp4"


class Endless:
    """Pictures from memory, round and round, until it is closed."""

    def __init__(self, info: SourceInfo, frames: list[VideoFrame]) -> None:
        self.info, self.stats = info, SourceStats()
        self._frames, self._closed = frames, False

    def __iter__(self) -> Iterator[VideoFrame]:
        step = self._frames[1].pts - self._frames[0].pts
        number = 0
        while not self._closed:
            frame = self._frames[number % len(self._frames)]
            yield replace(frame, sequence=number, pts=number * step)
            number += 1

    def close(self) -> None:
        """End the iteration."""
        self._closed = True

    def __enter__(self) -> "Endless":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Counter:
    """A sink that counts."""

    next_sequence = 0

    def __init__(self) -> None:
        self.frames = 0

    def open(self, feed: FeedInfo) -> None:
        """Do nothing."""

    def write(self, frame: DepthFrame) -> None:
        """Count one frame."""
        self.frames += 1

    def note(self, name: str, value: object) -> None:
        """Do nothing."""

    def warn(self, line: str) -> None:
        """Do nothing."""

    def close(self, *, complete: bool) -> None:
        """Do nothing."""


def play(
    model: DepthModel, clip: tuple[SourceInfo, list[VideoFrame]], feeds: int, *, shared: bool, size: int, seconds: float
) -> dict[str, float]:
    """Return the figures of one round."""
    front = SharedModel(model, BatchPolicy.for_feeds(model, feeds)) if shared else None
    config = EngineConfig(size=size, temporal=TemporalConfig.preset("default"), workers=1)
    sinks = [Counter() for _ in range(feeds)]
    engines = [
        Engine(
            Endless(*clip),
            model if front is None else front.new_feed(),
            [sink],
            config=config,
            cut_detector=SceneCutDetector(),
            backend=None if front is None else front.new_backend(),
        )
        for sink in sinks
    ]
    threads = [threading.Thread(target=engine.run) for engine in engines]
    for thread in threads:
        thread.start()
    while min(sink.frames for sink in sinks) < 5:
        time.sleep(0.01)
    before, begin, cpu = [sink.frames for sink in sinks], time.monotonic(), time.process_time()
    time.sleep(seconds)
    counts = [sink.frames - first for sink, first in zip(sinks, before, strict=True)]
    elapsed, cpu = time.monotonic() - begin, time.process_time() - cpu
    for engine in engines:
        engine.stop()
    for thread in threads:
        thread.join()
    return {
        "frames_per_second": sum(counts) / elapsed,
        "cpu_ms_per_frame": cpu / sum(counts) * 1e3,
        "least_over_most": min(counts) / max(counts),
        "mean_batch": 1.0 if front is None else front.stats.mean_batch,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeds", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size", type=int)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    device = choose_device()
    model = load_model(options.model, device=device, dtype=choose_dtype(device))
    with open_source(str(CLIP)) as source:
        clip = source.info, [frame for frame, _ in zip(source, range(50), strict=False)]
    figures: dict[str, object] = {
        "device": str(device),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "model": options.model,
        "size": options.size,
        "load_before": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }
    for feeds in options.feeds:
        rounds: dict[str, list[dict[str, float]]] = {"shared": [], "each by itself": []}
        for _ in range(options.rounds):
            for way, done in rounds.items():
                shared = way == "shared"
                done.append(play(model, clip, feeds, shared=shared, size=options.size, seconds=options.seconds))
        figures[f"{feeds} feeds"] = {
            way: {name: round(statistics.median(one[name] for one in done), 3) for name in done[0]}
            for way, done in rounds.items()
        }
    print(json.dumps(figures, indent=1))
    if options.output is not None:
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
