"""The loop: decode, infer and write overlap on a ring of slots. Knows no format and no family."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch

from ..errors import EngineError, SinkError, SourceError, describe
from ..frames import DepthFrame, VideoFrame
from ..geometry import Intrinsics
from ..models.base import DepthModel, ModelInfo
from ..sinks.base import FeedInfo, Sink
from ..sources.base import Source, SourceInfo
from .backend import Backend, backend_for
from .channel import Channel, ChannelClosed
from .device import cpu_count
from .metrics import Metrics, Progress
from .slots import Slot, SlotState
from .stages import download, infer, upload

PROGRESS_SECONDS = 0.1
"""How often ``on_progress`` is called."""


STOP_SECONDS = 2.0
"""How long a source may sit in one read after ``stop`` before it is closed under its reader."""


class CutDetector(Protocol):
    """Finds the first frame of each shot."""

    def step(self, rgb_hwc: object) -> bool:
        """Return whether a new shot begins with this picture."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine runs; nothing here changes the depth it gives, but ``size``."""

    size: int | None = None
    """The network's size for ``DepthModel.input_size_hw``; None is the family's own."""
    slots: int | None = None
    """Buffer sets in flight; None is three on a GPU, and two more than ``workers`` on the CPU."""
    workers: int | None = None
    """Threads that run the network; None is one on a GPU (its streams overlap by themselves) and up to four on the CPU."""
    pipelined: bool = True
    """Overlap the stages; False runs them one after another in the calling thread, as a reference."""
    poison: bool = False
    """Spoil freed buffers, so that a race shows in the result. For tests."""
    probe: Callable[[str, int], None] | None = None
    """Called with a stage's name and a frame's number as the stage begins. For tests and tracing."""

    def workers_for(self, device: torch.device) -> int:
        """Return how many threads run the network on ``device``."""
        if self.workers is not None:
            return max(1, self.workers)
        # On the CPU one frame a thread scales better than many threads a frame: nobody waits at a
        # barrier for a thread that the decoder or a writer has pushed aside.
        return min(4, cpu_count()) if device.type == "cpu" and self.pipelined else 1

    def threads_for(self, device: torch.device) -> int:
        """Return how many threads each of them shares one frame's work among, on the CPU."""
        return max(1, cpu_count() // self.workers_for(device))

    def slots_for(self, device: torch.device) -> int:
        """Return how many slots are made on ``device``."""
        if not self.pipelined:
            return 1
        return self.slots or (self.workers_for(device) + 2)


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended."""

    progress: Progress
    """Frames, time and the limiting stage."""
    stopped: bool
    """Whether ``stop`` ended it before the source did."""
    warnings: list[str] = field(default_factory=list)
    """What the source met on the way."""


class Engine:
    """Runs a model over a source and hands depth to sinks, in order.

    Three kinds of thread share a ring of slots: one decodes into them, one or several run the network, one
    downloads and writes. The ring is the only throttle. The first failure wins: it cancels everything and is
    raised from ``run`` as an EngineError with its stage and frame.

    Args:
        source: An open source; it is closed by whoever opened it.
        model: The network, on its device.
        sinks: Where depth goes; opened and closed by ``run``.
        config: How to run.
        intrinsics: The camera; None takes the file's, else the default.
        settings: Everything that decides the values, for the sinks' records.
        cut_detector: Finds shots; None means one endless shot.
        backend: Streams and buffers; None takes what suits the model's device.
    """

    def __init__(
        self,
        source: Source,
        model: DepthModel,
        sinks: Sequence[Sink],
        *,
        config: EngineConfig | None = None,
        intrinsics: Intrinsics | None = None,
        settings: Mapping[str, object] | None = None,
        cut_detector: CutDetector | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._source = source
        self._model = model
        self._sinks = list(sinks)
        self._config = config or EngineConfig()
        self._intrinsics = intrinsics
        self._settings = dict(settings or {})
        self._cut_detector = cut_detector
        self._backend = backend or backend_for(model.device)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the run after the frames in flight; safe from any thread and from a signal handler."""
        self._stopping.set()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> RunReport:
        """Convert until the source ends.

        Args:
            on_progress: Called from this thread about ten times a second.

        Raises:
            SourceError: The source gives no frame at all.
            SinkError: A sink cannot be opened.
            EngineError: A stage failed; the cause is chained.
        """
        feed = describe_feed(self._source.info, self._model.info, intrinsics=self._intrinsics, settings=self._settings)
        run = _Run(
            self._source, self._model, self._sinks, self._config, self._cut_detector, self._backend, self._stopping
        )
        opened: list[Sink] = []
        finished = False
        try:
            for sink in self._sinks:
                sink.open(feed)
                opened.append(sink)
            needed = [sink.next_sequence for sink in opened if sink.next_sequence is not None]
            if needed or not opened:
                run.first_sequence = min(needed, default=0)
                execute = run.pipelined if self._config.pipelined else run.sequential
                execute(on_progress or (lambda _: None), feed.frame_count)
                if run.decoded == 0:
                    raise SourceError(f"{feed.location} holds no frame in the range asked for")
            finished = True
        finally:
            for sink in opened:
                for line in self._source.stats.warnings:
                    sink.warn(line)
            _close_all(opened, complete=finished and (self._source.info.live or not self._stopping.is_set()))
            self._backend.close()
        progress = run.metrics.progress(feed.frame_count)
        if on_progress is not None:
            on_progress(progress)
        return RunReport(progress, stopped=self._stopping.is_set(), warnings=list(self._source.stats.warnings))


def describe_feed(
    source: SourceInfo,
    model: ModelInfo,
    *,
    intrinsics: Intrinsics | None = None,
    settings: Mapping[str, object] | None = None,
) -> FeedInfo:
    """Return what sinks are told of a run; ``intrinsics`` None takes the file's camera, else the default."""
    return FeedInfo(
        name=source.name,
        location=source.location,
        width=source.width,
        height=source.height,
        time_base=source.time_base,
        average_rate=source.average_rate,
        frame_count=source.frame_count,
        has_audio=source.has_audio,
        intrinsics=intrinsics or source.intrinsics or Intrinsics.default(source.width, source.height),
        kind=model.kind,
        model=model.as_record(),
        settings=dict(settings or {}),
    )


def _close_all(sinks: list[Sink], *, complete: bool) -> None:
    """Close every sink even when one fails; the first failure is raised, the others are added as notes."""
    first: BaseException | None = None
    for sink in sinks:
        try:
            sink.close(complete=complete)
        except Exception as error:  # noqa: BLE001 - the remaining sinks must be closed whatever this one raised
            if first is None:
                first = error
            else:
                first.add_note(f"then also: {describe(error)}")
    if first is not None:
        raise first if isinstance(first, SinkError) else EngineError("write", None, first) from first


class _Run:
    """The state of one run: slots, channels, threads and the first failure."""

    def __init__(
        self,
        source: Source,
        model: DepthModel,
        sinks: list[Sink],
        config: EngineConfig,
        cut_detector: CutDetector | None,
        backend: Backend,
        stopping: threading.Event,
    ) -> None:
        self._source, self._model, self._sinks = source, model, sinks
        self._config, self._cut_detector, self._backend = config, cut_detector, backend
        self._stopping = stopping
        self._cancelled = threading.Event()
        self._failure: EngineError | None = None
        self._failure_lock = threading.Lock()
        self._worker_count = config.workers_for(model.device) if config.pipelined else 1
        self._slots = [Slot(index, backend, poison=config.poison) for index in range(config.slots_for(model.device))]
        self._free: Channel[Slot] = Channel(len(self._slots))
        self._filled: Channel[Slot] = Channel(len(self._slots))
        self._in_order: Channel[Slot] = Channel(len(self._slots))
        self.metrics = Metrics(self._worker_count)
        self.first_sequence = 0
        self.decoded = 0
        self._cuts: dict[int, bool] = {}

    def sequential(self, on_progress: Callable[[Progress], None], frame_count: int | None) -> None:
        """Run every stage in this thread, one frame after the other."""
        slot = self._slots[0]
        with self._stage("decode"):
            for frame in self._frames():
                with self._stage("infer", frame.sequence):
                    slot.advance(SlotState.FILLING)
                    slot.fill(frame)
                    slot.advance(SlotState.FILLED)
                    self._submit(slot)
                with self._stage("write", frame.sequence):
                    self._write(slot)
                on_progress(self.metrics.progress(frame_count))
        if self._failure is not None:
            raise self._failure from self._failure.__cause__

    def pipelined(self, on_progress: Callable[[Progress], None], frame_count: int | None) -> None:
        """Run the stages in threads of their own and wait for them, reporting progress from here."""
        for slot in self._slots:
            self._free.put(slot)
        threads = [threading.Thread(target=self._decode_loop, name="dptstream-decode")]
        threads += [
            threading.Thread(target=self._infer_loop, name=f"dptstream-infer-{index}")
            for index in range(self._worker_count)
        ]
        threads += [threading.Thread(target=self._write_loop, name="dptstream-write")]
        for thread in threads:
            thread.start()
        stop_seen: float | None = None
        try:
            while threads[-1].is_alive() and not self._cancelled.is_set():
                threads[-1].join(PROGRESS_SECONDS)
                on_progress(self.metrics.progress(frame_count))
                if self._stopping.is_set():
                    stop_seen = stop_seen or time.monotonic()
                    if time.monotonic() - stop_seen > STOP_SECONDS:
                        self._source.close()  # ends a read that waits for a camera or network gone silent
        except BaseException:
            self._cancel()
            raise
        finally:
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure from self._failure.__cause__

    def _frames(self) -> Iterator[VideoFrame]:
        """Yield the frames to convert, having shown every one to the cut detector."""
        frames = iter(self._source)
        while not (self._stopping.is_set() or self._cancelled.is_set()):
            with self.metrics.busy("decode"):
                self._probe("decode", self.decoded)
                frame = next(frames, None)
                if frame is None:
                    return
                self.decoded += 1
                cut = self._cut_detector is not None and self._cut_detector.step(frame.image)
            if frame.sequence >= self.first_sequence:
                self._cuts[frame.sequence] = cut
                yield frame

    def _decode_loop(self) -> None:
        with self._stage("decode"):
            for frame in self._frames():
                slot = self._free.get()
                slot.advance(SlotState.FILLING)
                slot.fill(frame)
                slot.advance(SlotState.FILLED)
                self._in_order.put(slot)
                self._filled.put(slot)
            self._filled.close()
            self._in_order.close()

    def _infer_loop(self) -> None:
        if self._model.device.type == "cpu":
            torch.set_num_threads(self._config.threads_for(self._model.device))
        for slot in self._filled:
            assert slot.frame is not None
            with self._stage("infer", slot.frame.sequence):
                self._submit(slot)
            if self._cancelled.is_set():
                return

    def _submit(self, slot: Slot) -> None:
        """Put one slot through the device: to DOWNLOADING, without waiting for the device."""
        assert slot.frame is not None
        slot.advance(SlotState.COMPUTING)
        with self.metrics.busy("infer"), torch.no_grad():
            self._probe("infer", slot.frame.sequence)
            upload(slot, self._backend)
            infer(slot, self._backend, self._model, size=self._config.size)
            download(slot, self._backend)
        slot.advance(SlotState.DOWNLOADING)

    def _write_loop(self) -> None:
        for slot in self._in_order:
            if not slot.wait_until(SlotState.DOWNLOADING, self._cancelled):
                return
            assert slot.frame is not None
            with self._stage("write", slot.frame.sequence):
                self._write(slot)
                self._free.put(slot)
            if self._cancelled.is_set():
                return

    def _write(self, slot: Slot) -> None:
        """Wait for the download, free the slot and hand its depth to the sinks."""
        frame = slot.frame
        assert frame is not None
        if self._backend.device.type != "cpu":
            with self.metrics.busy("infer"):  # the host waits for the device: that is inference, not writing
                slot.downloaded.synchronize()
        else:
            slot.downloaded.synchronize()
        self._probe("write", frame.sequence)
        depth = DepthFrame(
            depth=slot.host_output.numpy().copy(),
            kind=self._model.info.kind,
            video=frame,
            output_resize=self._model.info.output_resize,
            scene_cut=self._cuts.pop(frame.sequence),
        )
        slot.advance(SlotState.READY)
        slot.release()
        with self.metrics.busy("write"):
            for sink in self._sinks:
                sink.write(depth)
        self.metrics.frame_written()

    @contextmanager
    def _stage(self, stage: str, sequence: int | None = None) -> Iterator[None]:
        """Turn any failure inside into the run's failure, unless one came first."""
        try:
            yield
        except ChannelClosed:
            return  # another stage failed and cancelled this one
        except Exception as error:  # noqa: BLE001 - whatever a stage raises ends the run and is raised from it
            self._fail(stage, self.decoded if sequence is None else sequence, error)

    def _fail(self, stage: str, sequence: int, error: Exception) -> None:
        with self._failure_lock:
            if self._failure is None:
                self._failure = error if isinstance(error, EngineError) else EngineError(stage, sequence, error)
                if self._failure is not error:
                    self._failure.__cause__ = error
            else:
                self._failure.add_note(f"then also {stage}, frame {sequence}: {describe(error)}")
        self._cancel()

    def _cancel(self) -> None:
        self._cancelled.set()
        self._source.close()
        for channel in (self._free, self._filled, self._in_order):
            channel.abort()

    def _probe(self, stage: str, sequence: int) -> None:
        if self._config.probe is not None:
            self._config.probe(stage, sequence)
