"""How long each stage is busy, and which one holds the others up."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .intake import Drops

STAGES = ("decode", "infer", "smooth", "write")
"""The stages that can limit a run. Upload and download belong to ``infer``, whose thread submits them; on a device that
runs by itself, so does smoothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    frames: int
    """Frames written so far in this run."""
    frame_count: int | None
    """Estimate of all frames of this run; None where unknown."""
    elapsed_seconds: float
    """Wall time since the first frame was asked for."""
    busy_ms: dict[str, float]
    """Mean milliseconds a frame each stage was busy."""
    limiting_stage: str
    """The stage that is busy for the largest share of the time."""
    latency_ms: tuple[float, float] | None = None
    """Median and 95th percentile, over the last frames, of milliseconds from capture (of a file: from decoding) to
    having been given to every sink; None before the first."""
    received: int = 0
    """Frames that the source gave so far."""
    drops: Drops = field(default_factory=Drops)
    """Frames that were not inferred."""

    @property
    def frames_per_second(self) -> float:
        """Mean rate so far."""
        return self.frames / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time to go; None where the number of frames is unknown."""
        if self.frame_count is None or self.frames == 0:
            return None
        return max(0, self.frame_count - self.frames) / self.frames_per_second


_LATENCIES = 240
"""Frames that percentiles are taken over."""


class Metrics:
    """Busy times by stage; safe to use from many threads."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy_ns = dict.fromkeys(STAGES, 0)
        self._frames = 0
        self._latencies_ns: deque[int] = deque(maxlen=_LATENCIES)
        self._started_ns = time.perf_counter_ns()

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Count the time inside the block as ``stage`` being busy."""
        started_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            spent_ns = time.perf_counter_ns() - started_ns
            with self._lock:
                self._busy_ns[stage] += spent_ns

    def frame_written(self, latency_ns: int) -> None:
        """Count one frame, and how long it took since it came."""
        with self._lock:
            self._frames += 1
            self._latencies_ns.append(latency_ns)

    def progress(self, frame_count: int | None) -> Progress:
        """Return how far the run is."""
        with self._lock:
            frames, busy_ns = self._frames, dict(self._busy_ns)
            latencies = sorted(self._latencies_ns)
        shares = {stage: ns / (self._workers if stage == "infer" else 1) for stage, ns in busy_ns.items()}
        return Progress(
            frames=frames,
            frame_count=frame_count,
            elapsed_seconds=(time.perf_counter_ns() - self._started_ns) / 1e9,
            busy_ms={stage: ns / 1e6 / max(1, frames) for stage, ns in busy_ns.items()},
            limiting_stage=max(shares, key=lambda stage: shares[stage]),
            latency_ms=(_quantile_ms(latencies, 0.5), _quantile_ms(latencies, 0.95)) if latencies else None,
        )


def _quantile_ms(sorted_ns: list[int], share: float) -> float:
    return sorted_ns[round(share * (len(sorted_ns) - 1))] / 1e6
