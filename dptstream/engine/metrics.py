"""How long each stage is busy, and which one holds the others up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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


class Metrics:
    """Busy times by stage; safe to use from many threads."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._busy_ns = dict.fromkeys(STAGES, 0)
        self._frames = 0
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

    def frame_written(self) -> None:
        """Count one frame."""
        with self._lock:
            self._frames += 1

    def progress(self, frame_count: int | None) -> Progress:
        """Return how far the run is."""
        with self._lock:
            frames, busy_ns = self._frames, dict(self._busy_ns)
        shares = {stage: ns / (self._workers if stage == "infer" else 1) for stage, ns in busy_ns.items()}
        return Progress(
            frames=frames,
            frame_count=frame_count,
            elapsed_seconds=(time.perf_counter_ns() - self._started_ns) / 1e9,
            busy_ms={stage: ns / 1e6 / max(1, frames) for stage, ns in busy_ns.items()},
            limiting_stage=max(shares, key=lambda stage: shares[stage]),
        )
