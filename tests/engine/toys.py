"""Tiny stand-ins for the engine's tests: a source, a model and a device that is slow and out of step."""

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from dptstream.frames import VideoFrame
from dptstream.geometry import DepthKind
from dptstream.models.base import ModelInfo
from dptstream.sources import SourceInfo, SourceStats

from .recorded import RecordedGraph


class ToySource:
    """Frames whose every pixel tells the frame's number."""

    def __init__(
        self, count: int, *, sizes: tuple[tuple[int, int], ...] = ((12, 16),), fail_at: int | None = None
    ) -> None:
        self.info = SourceInfo("toy", "toy:", sizes[0][1], sizes[0][0], Fraction(1, 25), frame_count=count)
        self.stats = SourceStats()
        self.closed = False
        self._count, self._sizes, self._fail_at = count, sizes, fail_at

    def __iter__(self) -> Iterator[VideoFrame]:
        for sequence in range(self._count):
            if sequence == self._fail_at:
                raise ValueError("broken tape")
            height, width = self._sizes[sequence % len(self._sizes)]
            yield VideoFrame(toy_image(sequence, height, width), sequence, sequence * 3, Fraction(1, 75))

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "ToySource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def toy_image(sequence: int, height: int = 12, width: int = 16) -> np.ndarray:
    return np.random.default_rng(sequence).integers(0, 256, (height, width, 3), np.uint8)


class ToyModel:
    """Depth is a fixed blend of the colours, so that every output pixel depends on its own input alone."""

    device = torch.device("cpu")
    dtype = torch.float32
    recordable = True
    info = ModelInfo(
        name="toy",
        family="toy",
        variant="toy",
        kind=DepthKind.RELATIVE_INVERSE,
        parameters=0,
        size_multiple=1,
        base_size=1,
        resize_method="stretch",
        image_mean=(0.0, 0.0, 0.0),
        image_std=(1.0, 1.0, 1.0),
        output_resize="bilinear",
        file=None,
        sha256=None,
        license="none",
    )

    def __init__(self, *, fail_at_call: int | None = None, error: Exception | None = None) -> None:
        self._calls = 0
        self._fail_at_call, self._error = fail_at_call, error or ValueError("no such depth")

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        return picture_hw

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        return rgb_bhwc.permute(0, 3, 1, 2).float()

    def __call__(self, images_bchw: Tensor) -> Tensor:
        self._calls += 1
        if self._calls - 1 == self._fail_at_call:
            raise self._error
        return images_bchw[:, 0] + 256 * images_bchw[:, 1] + 65536 * images_bchw[:, 2]

    def new_feed(self) -> "ToyModel":
        return self

    def new_windows(self) -> None:
        return None

    def with_field_of_view(self, fov_x_rad: float) -> "ToyModel":
        return self

    def predict(self, rgb_hwc: np.ndarray, *, size: int | None = None) -> np.ndarray:
        return self(self.preprocess(torch.from_numpy(rgb_hwc)[None], (0, 0)))[0].numpy()


class LateEvent:
    """An event of a LateStream. ``broken`` events never make anybody wait: a race on purpose."""

    def __init__(self, *, broken: bool = False) -> None:
        self._reached = threading.Event()
        self._reached.set()
        self._broken = broken

    def arm(self) -> threading.Event:
        self._reached = threading.Event()
        return self._reached

    def current(self) -> threading.Event:
        return self._reached

    def synchronize(self) -> None:
        if not self._broken:
            assert self._reached.wait(60)


class LateStream:
    """Runs submitted work later, in a thread of its own, after random pauses: a GPU stream in slow motion."""

    def __init__(self, seed: int, *, longest_pause: float = 0.004) -> None:
        self._random, self._longest_pause = random.Random(seed), longest_pause
        self._work: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            time.sleep(self._random.random() * self._longest_pause)
            work()

    def run(self, work: Callable[[], object]) -> None:
        self._work.put(work)

    def wait(self, event: LateEvent) -> None:
        reached, broken = event.current(), event._broken
        if not broken:
            self._work.put(lambda: reached.wait(60))

    def record(self, event: LateEvent) -> None:
        reached = event.arm()
        self._work.put(reached.set)

    def close(self) -> None:
        self._work.put(None)
        self._thread.join(60)


EDGES = ("uploaded", "inferred", "downloaded")


class LateBackend:
    """A device with three LateStreams and buffers of its own, which records work as a card does.

    ``refuses`` makes it give that reason instead.
    """

    device = torch.device("meta")  # any type but cpu: the engine must treat it as asynchronous
    asynchronous = True

    def __init__(self, seed: int = 0, *, broken_edge: str | None = None, refuses: str | None = None) -> None:
        self.recordings = 0
        self._refuses = refuses
        # What a broken event should have waited for takes long, so that it is missed.
        self.upload, self.compute, self.download = (
            LateStream(seed * 3 + index, longest_pause=0.02 if edge == broken_edge else 0.004)
            for index, edge in enumerate(EDGES)
        )
        self._broken_edge = broken_edge
        self._events = 0

    def event(self) -> LateEvent:
        name = EDGES[self._events % 3]
        self._events += 1
        return LateEvent(broken=name == self._broken_edge)

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    def device_buffer(self, host: Tensor) -> Tensor:
        return torch.zeros_like(host)

    def record(self, work: Callable[[], object]) -> RecordedGraph:
        if self._refuses:
            raise RuntimeError(self._refuses)
        made: queue.Queue[RecordedGraph] = queue.Queue()
        self.compute.run(work)
        self.compute.run(lambda: made.put(RecordedGraph(work)))
        self.recordings += 1
        return made.get(timeout=60)

    def wait_for_decoder(self) -> None:
        pass

    def close(self) -> None:
        for stream in (self.upload, self.compute, self.download):
            stream.close()
