"""One run of the engine: threads, slots and the first failure."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import DepthFrame, VideoFrame
from ..models.base import DepthModel, DepthWindows
from ..sinks.base import Sink
from ..sources.base import Source
from ..temporal import FlickerScore
from .backend import Backend
from .channel import Channel, ChannelClosed
from .compiling import Compiler
from .config import EngineConfig
from .delivery import Delivery
from .estimator import Estimator
from .failure import Failure
from .intake import Intake
from .metrics import Metrics, Progress
from .notes import Notes
from .precision import Safeguard
from .slots import Slot, SlotState, frame_in, in_batches
from .smoothing import SAVE_EVERY, smoother_for
from .stages import download, infer, preprocess, upload

T = TypeVar("T")

PROGRESS_SECONDS = 0.1
"""How often ``on_progress`` is called."""
STOP_SECONDS = 2.0
"""How long a source may sit in one read after ``stop`` before it is closed under its reader."""


class CutDetector(Protocol):
    """Finds the first frame of each shot."""

    def step(self, rgb_hwc: NDArray[np.uint8]) -> bool:
        """Return whether a new shot begins with this picture."""


class Run:
    """The state of one run: slots, channels, threads and the first failure."""

    def __init__(
        self,
        source: Source,
        model: DepthModel,
        config: EngineConfig,
        cut_detector: CutDetector | None,
        backend: Backend,
        stopping: threading.Event,
    ) -> None:
        in_order = model.info.temporal
        if not config.pipelined or backend.asynchronous:
            workers = 1
        else:
            workers = config.workers_for(model.device, in_order=in_order)
        windows = model.new_windows() if config.windows else None
        alone = not backend.asynchronous or windows is not None
        self._batch = 1 if alone else config.batch_for(backend.device, in_order=in_order)
        self._source, self._shared_model = source, model
        self._model = model.new_feed()
        self._windows = windows
        self._config, self._cut_detector, self._backend = config, cut_detector, backend
        self._stopping = stopping
        self._cancelled = threading.Event()
        self._failure = Failure()
        self._worker_count = workers
        self._threads_each = config.threads_for(model.device, in_order=in_order)
        count = config.slots_for(workers, self._batch)
        self._slots = [Slot(index, backend, poison=config.poison) for index in range(count)]
        self._free: Channel[Slot] = Channel(count)
        self._filled: Channel[Slot] = Channel(count)
        self._in_order: Channel[Slot] = Channel(count)
        self._outbox: Channel[DepthFrame] = Channel(count)
        self._smoother = smoother_for(config.temporal, model, backend)
        self._first_sequence = 0
        self.intake = Intake(source, config, self._has_ended)
        self.metrics = Metrics(workers)
        self.notes = Notes()
        compiles = config.compiles_for(backend.device)
        compiler = Compiler(self.notes, ahead=config.compile == "on") if compiles else None
        self._estimator = Estimator(backend, config, self._smoother, self.notes, compiler)
        safeguard = Safeguard(self._model, config.size, self.notes, self._go_on_precisely)
        self._delivery = Delivery(model, backend, self._smoother, safeguard, self.metrics, self._probe)
        self.decoded = 0
        self._read_since: float | None = None

    @property
    def flicker(self) -> FlickerScore | None:
        """Flicker before and after smoothing; None where nothing is smoothed."""
        return None if self._smoother is None else self._smoother.score

    def progress(self, frame_count: int | None) -> Progress:
        """Return how far the run is."""
        return replace(self.metrics.progress(frame_count), received=self.intake.received, drops=self.intake.drops)

    def deliver_to(self, sinks: list[tuple[Sink, int]]) -> None:
        """Give each sink the frames from its first one on; nothing before all of these is inferred."""
        self._first_sequence = self._delivery.begin(sinks)
        if self._backend.asynchronous and all(getattr(sink, "takes_float16", False) for sink, _ in sinks):
            self._estimator.dtype = torch.float16

    def sequential(self, on_progress: Callable[[Progress], None], frame_count: int | None) -> None:
        """Run every stage in this thread, one frame after the other."""

        def filled() -> Iterator[Slot]:
            with self._stage("decode"):
                for frame, motion in self._frames():
                    self._slots[0].load(frame, motion)
                    yield self._slots[0]
                    on_progress(self.progress(frame_count))

        if self._windows is not None:
            with self._stage("infer"):
                for depth in self._depth_by_windows(self._windows, filled()):
                    with self._stage("write", depth.video.sequence):
                        self._delivery.write(depth)
        else:
            for slot in filled():
                sequence = frame_in(slot).sequence
                with self._stage("infer", sequence):
                    self._submit([slot])
                if not self._cancelled.is_set():
                    with self._stage("write", sequence):
                        self._delivery.take(slot)
        self._failure.raise_first()

    def pipelined(self, on_progress: Callable[[Progress], None], frame_count: int | None) -> None:
        """Run the stages in threads of their own and wait for them, reporting progress from here."""
        for slot in self._slots:
            self._free.put(slot)
        loops = [self._decode_loop]
        if self._windows is not None:
            loops += [self._window_loop, self._deliver_loop]
        else:
            loops += [*([self._infer_loop] * self._worker_count), self._write_loop]
        # All are joined below. As daemons they do not keep a program from ending while a read waits for a silent network.
        threads = [threading.Thread(target=loop, name=f"dptstream{loop.__name__}", daemon=True) for loop in loops]
        for thread in threads:
            thread.start()
        try:
            self._watch(threads[-1], on_progress, frame_count)
        except BaseException:
            self._cancel()
            raise
        finally:
            for thread in threads:
                thread.join()
        self._failure.raise_first()

    def _watch(self, last: threading.Thread, on_progress: Callable[[Progress], None], frame_count: int | None) -> None:
        """Report progress until the last stage ends; close a source that does not notice being stopped.

        A source that can be read stays open, however long the other stages take: another run may go on with it.
        """
        stop_seen: float | None = None
        while last.is_alive() and not self._cancelled.is_set():
            last.join(PROGRESS_SECONDS)
            on_progress(self.progress(frame_count))
            read_since, now = self._read_since, time.monotonic()
            if self._stopping.is_set():
                stop_seen = stop_seen or now
                if read_since is not None and now - max(read_since, stop_seen) > STOP_SECONDS:
                    self._source.close()  # ends a read that waits for a camera or network gone silent

    def _frames(self) -> Iterator[tuple[VideoFrame, NDArray[np.float32] | None]]:
        """Yield the frames to infer, having shown every one to the cut detector."""
        frames = iter(self.intake)
        while not self._has_ended():
            with self.metrics.busy("decode"):
                self._probe("decode", self.decoded)
                self._read_since = time.monotonic()
                frame = next(frames, None)
                self._read_since = None
                if frame is None:
                    return
                self.decoded += 1
                arrived_ns = frame.captured_ns or time.monotonic_ns()
                cut = self._cut_detector is not None and self._cut_detector.step(frame.image)
                motion = self._smoother.find_motion(frame.image) if self._smoother is not None else None
            if frame.sequence >= self._first_sequence:
                self._delivery.expect(frame, arrived_ns=arrived_ns, scene_cut=cut)
                yield frame, motion

    def _decode_loop(self) -> None:
        with self._stage("decode"):
            for slot, (frame, motion) in self._with_slots(self._frames()):
                slot.load(frame, motion)
                if self._windows is None:
                    self._in_order.put(slot)
                self._filled.put(slot)
            self._filled.close()
            self._in_order.close()

    def _with_slots(self, frames: Iterator[T]) -> Iterator[tuple[Slot, T]]:
        """Pair each frame with a free slot."""
        if self._config.policy != "live":
            for frame in frames:
                yield self._free.get(), frame
            return
        # The slot first: which frame is the newest shows when there is room for it.
        while True:
            slot = self._free.get()
            frame_or_end = next(frames, None)
            if frame_or_end is None:
                return
            yield slot, frame_or_end

    def _infer_loop(self) -> None:
        self._set_threads()
        for slots in in_batches(self._filled, self._batch, self._begins_batch):
            with self._stage("infer", frame_in(slots[0]).sequence):
                self._submit(slots)
            if self._cancelled.is_set():
                return

    def _begins_batch(self, slot: Slot) -> bool:
        """Whether what is remembered before this frame is wanted, which is there only between two batches."""
        smoother = self._smoother
        return smoother is not None and smoother.keeps_states and frame_in(slot).sequence % SAVE_EVERY == 0

    def _submit(self, slots: Sequence[Slot]) -> None:
        """Put slots through the device: to DOWNLOADING, without waiting for the device."""
        for slot in slots:
            if self._begins_anew(slot):
                self._model = self._shared_model.new_feed()  # what a video network remembers ends with its shot
            slot.advance(SlotState.COMPUTING)
        with self.metrics.busy("infer"), torch.no_grad():
            for slot in slots:
                self._probe("infer", frame_in(slot).sequence)
                self._begin_smoothing(slot)
                upload(slot, self._backend)
            if self._backend.asynchronous:
                self._estimator.infer(slots, self._model)
            else:
                infer(slots[0], self._backend, self._model, size=self._config.size)
            for slot in slots:
                download(slot, self._backend)
        for slot in slots:
            slot.advance(SlotState.DOWNLOADING)

    def _begins_anew(self, slot: Slot) -> bool:
        frame = frame_in(slot)
        return self._delivery.begins_shot(frame) or frame.discontinuity

    def _begin_smoothing(self, slot: Slot) -> None:
        """Tell the slot what the device's filter must know of its frame, and keep what it remembers where that is wanted."""
        smoother, frame = self._smoother, frame_in(slot)
        if smoother is None or not smoother.on_device:
            return
        before = smoother.state_before(frame.sequence)
        if before is not None:
            self._backend.compute.run(partial(slot.keep_state, before))
        size_hw = self._model.input_size_hw(slot.picture_hw, size=self._config.size)
        slot.fill_numbers(smoother.begin(frame, size_hw, fresh=self._begins_anew(slot)))

    def _go_on_precisely(self, model: DepthModel) -> None:
        """Use ``model`` for all that follows, and give its depth as it is."""
        self._shared_model, self._model = model, model.new_feed()
        self._estimator.dtype = torch.float32

    def _write_loop(self) -> None:
        for slot in self._in_order:
            if not slot.wait_until(SlotState.DOWNLOADING, self._cancelled):
                return
            with self._stage("write", frame_in(slot).sequence):
                self._delivery.take(slot)
                self._free.put(slot)
            if self._cancelled.is_set():
                return

    def _window_loop(self) -> None:
        self._set_threads()
        assert self._windows is not None
        with self._stage("infer"):
            for depth in self._depth_by_windows(self._windows, self._filled):
                self._outbox.put(depth)
            self._outbox.close()

    def _depth_by_windows(self, windows: DepthWindows, slots: Iterable[Slot]) -> Iterator[DepthFrame]:
        """Yield depth in order; it comes up to a window's length after its picture. Windows end with their shot."""
        waiting: deque[VideoFrame] = deque()
        shape: tuple[int, ...] | None = None
        for slot in slots:
            frame = frame_in(slot)
            if waiting and (self._delivery.begins_shot(frame) or shape != frame.image.shape):
                yield from self._finished(windows.finish, waiting)
            shape = frame.image.shape
            waiting.append(frame)
            slot.advance(SlotState.COMPUTING)
            self._probe("infer", frame.sequence)
            upload(slot, self._backend)
            images_bchw = preprocess(slot, self._backend, self._model, size=self._config.size)
            slot.advance(SlotState.DOWNLOADING)
            slot.advance(SlotState.READY)
            slot.release()
            if self._config.pipelined:
                self._free.put(slot)
            yield from self._finished(partial(windows.feed, images_bchw[0]), waiting)
        yield from self._finished(windows.finish, waiting)

    def _finished(self, work: Callable[[], list[Tensor]], waiting: "deque[VideoFrame]") -> Iterator[DepthFrame]:
        """Run a step of the windows and pair what it gives with the pictures that wait for it."""
        depths: list[Tensor] = []
        with self.metrics.busy("infer"), torch.no_grad():
            self._backend.compute.run(lambda: depths.extend(depth_hw.cpu() for depth_hw in work()))
        for depth_hw in depths:
            yield self._delivery.depth_frame(depth_hw.numpy(), waiting.popleft())

    def _deliver_loop(self) -> None:
        for depth in self._outbox:
            with self._stage("write", depth.video.sequence):
                self._probe("write", depth.video.sequence)
                self._delivery.write(depth)
            if self._cancelled.is_set():
                return

    def _set_threads(self) -> None:
        if self._model.device.type == "cpu":
            torch.set_num_threads(self._threads_each)

    @contextmanager
    def _stage(self, stage: str, sequence: int | None = None) -> Iterator[None]:
        """Turn any failure inside into the run's failure, unless one came first."""
        try:
            yield
        except ChannelClosed:
            return  # another stage failed and cancelled this one
        except Exception as error:  # noqa: BLE001 - whatever a stage raises ends the run and is raised from it
            self._failure.add(stage, self.decoded if sequence is None else sequence, error)
            self._cancel()

    def _has_ended(self) -> bool:
        return self._stopping.is_set() or self._cancelled.is_set()

    def _cancel(self) -> None:
        self._cancelled.set()
        self._source.close()
        for channel in (self._free, self._filled, self._in_order, self._outbox):
            channel.abort()

    def _probe(self, stage: str, sequence: int) -> None:
        if self._config.probe is not None:
            self._config.probe(stage, sequence)
