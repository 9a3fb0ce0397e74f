"""The loop: decode, infer and write overlap on a ring of slots. Knows no format and no family."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field

from ..errors import EngineError, SinkError, SourceError, describe
from ..geometry import Intrinsics
from ..models.base import DepthModel, ModelInfo
from ..sinks.base import FeedInfo, Sink
from ..sources.base import Source, SourceInfo
from ..temporal import FlickerScore
from .backend import Backend, backend_for
from .config import EngineConfig
from .loop import CutDetector, Run
from .metrics import Progress


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended."""

    progress: Progress
    """Frames, time and the limiting stage."""
    stopped: bool
    """Whether ``stop`` ended it before the source did."""
    flicker: FlickerScore | None = None
    """Flicker of what stood still, before and after smoothing; None where nothing was smoothed."""
    warnings: list[str] = field(default_factory=list)
    """What the source met on the way, and what the device did otherwise than planned."""


class Engine:
    """Runs a model over a source and hands depth to sinks, in order.

    Three kinds of thread share a ring of slots: one decodes into them, one or several run the network, one
    downloads and writes. The ring is the only throttle. With the live policy a fourth reads the source, which nothing
    holds up, and keeps the newest frame. The first failure wins: it cancels everything and is raised from ``run`` as an
    EngineError with its stage and frame.

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
        self._paused = False
        self._run: Run | None = None
        self._pausing = threading.Lock()

    def pause(self, *, paused: bool = True) -> None:
        """Take no further frames, or go on: a file stands still, what comes live goes by. Safe from any thread."""
        with self._pausing:
            self._paused = paused
            if self._run is not None:
                self._run.intake.paused = paused

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
        run = Run(self._source, self._model, self._config, self._cut_detector, self._backend, self._stopping)
        with self._pausing:
            self._run = run
            run.intake.paused = self._paused
        opened: list[Sink] = []
        finished = False
        try:
            for sink in self._sinks:
                sink.open(feed)
                opened.append(sink)
            in_need = [(sink, first) for sink in opened if (first := sink.next_sequence) is not None]
            if in_need or not opened:
                run.deliver_to(in_need)
                execute = run.pipelined if self._config.pipelined else run.sequential
                execute(on_progress or (lambda _: None), feed.frame_count)
                if run.decoded == 0 and not self._stopping.is_set():
                    raise SourceError(f"{feed.location} holds no frame in the range asked for")
            finished = True
        finally:
            run.intake.close()
            for sink in opened:
                if run.flicker is not None:
                    sink.note("flicker", asdict(run.flicker))
                for line in [*self._source.stats.warnings, *run.notes.lines]:
                    sink.warn(line)
            _close_all(opened, complete=finished and (self._source.info.live or not self._stopping.is_set()))
            # A card that broke down says so at every call: what it said first is being raised.
            with nullcontext() if finished else suppress(RuntimeError):
                self._backend.close()
        progress = run.progress(feed.frame_count)
        if on_progress is not None:
            on_progress(progress)
        return RunReport(
            progress,
            stopped=self._stopping.is_set(),
            flicker=run.flicker,
            warnings=[*self._source.stats.warnings, *run.notes.lines],
        )


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
