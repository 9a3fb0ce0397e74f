"""A feed being served: one source, run after run, through lost connections and changes of the network."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import DptStreamError, EngineError, SourceAwayError, SourceError, describe
from ..geometry import Intrinsics
from ..models.base import DepthModel
from ..sinks.zmq import ZmqSink
from ..sources.base import SourceInfo
from ..sources.playback import Playback
from ..temporal import SceneCutDetector, TemporalConfig
from ..temporal.config import TemporalPreset
from ..wire.messages import EndReason, FeedState
from .config import EngineConfig
from .engine import Engine
from .feeds import FeedReport
from .metrics import Progress
from .rate import Rate
from .sharing import SharedModel

FIRST_RETRY_SECONDS = 0.5
"""How long a lost connection is left alone at first; twice as long after each failure."""
LONGEST_RETRY_SECONDS = 10.0
"""The longest such pause."""
_KEPT_PTS = 16
_USUAL_PICTURE_HW = (720, 1280)
"""What a camera's pictures are taken for until the first one comes."""


@dataclass(frozen=True, slots=True)
class Network:
    """What makes depth of pictures."""

    model: DepthModel
    """On its device. What several feeds share is a ``SharedModel``."""
    size: int | None = None
    """The size it works at; None is the family's own."""
    temporal: TemporalPreset = "default"
    """How depth is steadied over time."""

    @property
    def smoothing(self) -> str | None:
        """Name of what steadies depth outside the network; None where nothing does."""
        return None if self.model.info.temporal or self.temporal == "off" else self.temporal


class EnginePlayer:
    """Plays a source through the engine into a publisher.

    What comes live is opened again when its connection is lost, for as long as it takes; each time is a new session,
    and so is each change of the network. So is a source that is away at first. A file that fails ends the feed.

    Args:
        name: The feed's name.
        open_source: Opens the source; called once here, and again where it is away or its connection was lost.
        make_sink: Makes the sink of a session, given the smoothing's name or None.
        network: What makes depth.
        location: What is played, fit to be shown; told until the source is there and says so itself.
        config: How the engine runs for such a source; size and smoothing are taken from ``network``.
        camera: The camera that the user described for such a source, if any.

    Raises:
        SourceError: The source cannot be opened, and it would not help to wait.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], Playback],
        make_sink: Callable[[str | None], ZmqSink],
        network: Network,
        *,
        location: str = "",
        config: Callable[[SourceInfo], EngineConfig] = lambda _: EngineConfig(),
        camera: Callable[[SourceInfo], Intrinsics | None] = lambda _: None,
    ) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._open_source, self._make_sink, self._camera = open_source, make_sink, camera
        self._network, self._config, self._location = network, config, location
        self._source: Playback | None = None
        self._note = ""
        self._retry_at: float | None = None
        try:
            self._source = open_source()
        except SourceAwayError as error:
            self._note, self._retry_at = describe(error), 0.0
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._sink: ZmqSink | None = None
        self._stopping = threading.Event()
        self._changing = False
        self._paused = False
        self._state: FeedState = "waiting"
        self._rate = Rate()
        self._before = self._now = _Counts()
        self._latency_ms: tuple[float, float] | None = None
        self._sessions = 0
        self._thread = threading.Thread(target=self._play, name=f"dptstream-{name}", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """End after the frames in flight."""
        self._stopping.set()
        with self._lock:
            if self._engine is not None:
                self._engine.stop()

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def pause(self, *, paused: bool) -> None:
        """Pause or go on."""
        with self._lock:
            self._paused = paused
            if self._engine is not None:
                self._engine.pause(paused=paused)

    def seek(self, seconds: float) -> None:
        """Jump; raises ValueError where that cannot be."""
        self._opened().seek(seconds)

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not; raises ValueError for what comes live."""
        self._opened().set_loop(enabled=enabled)

    def change(self, *, model: DepthModel | None = None, **settings: object) -> None:
        """Go on with another network as a new session, from the next frame."""
        with self._lock:
            changed = replace(self._network, model=model or self._network.model, **settings)  # type: ignore[arg-type]
            _check(changed, None if self._source is None else self._source.info)
            self._network = changed
            self._changing = True
            if self._engine is not None:
                self._engine.stop()

    def report(self) -> FeedReport:
        """Return how the feed goes."""
        with self._lock:
            counts, network, (fps_in, fps_out) = self._now, self._network, self._rate.per_second()
            p50, p95 = self._latency_ms or (None, None)
            source, retry_at = self._source, self._retry_at
            info = None if source is None else source.info
            return FeedReport(
                feed=self.name,
                location=self._location if info is None else info.location,
                state=self._state,
                width=0 if info is None else info.width,
                height=0 if info is None else info.height,
                live=info is None or info.live,
                paused=self._paused,
                loop=source is not None and source.loop,
                model=network.model.info.name,
                size=network.size,
                temporal=network.smoothing or "off",
                frames=counts.frames,
                dropped=counts.dropped,
                late=counts.late,
                fps_in=fps_in,
                fps_out=fps_out,
                latency_ms_p50=p50,
                latency_ms_p95=p95,
                sessions=self._sessions,
                note=self._note,
                dropped_pts=counts.dropped_pts,
                retry_seconds=None if retry_at is None else max(0.0, retry_at - time.monotonic()),
            )

    def _opened(self) -> Playback:
        """Return the source; raises ValueError where it never was there."""
        with self._lock:
            if self._source is None:
                raise ValueError(f"{self.name} waits for its source: {self._note}")
            return self._source

    def _play(self) -> None:
        reason: EndReason = "finished"
        try:
            self._play_on()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the feed's end
            self.failure, reason = error, "failed"
            self._note = describe(error)
        finally:
            if self._source is not None:
                self._source.close()
            self._state, self._retry_at = "ended", None
        if self._stopping.is_set() and self.failure is None:
            reason = "stopped"
        if self._sink is not None:
            self._sink.end(reason, self._note)

    def _play_on(self) -> None:
        retry = FIRST_RETRY_SECONDS
        if self._source is None:
            self._sink = self._make_sink(self._network.smoothing)
            retry = self._reconnect(retry)
        while not self._stopping.is_set():
            source, frames_before = self._opened(), self._now.frames
            lost = self._run_and_say_what_was_lost(source)
            if self._stopping.is_set() or not (self._changing or source.info.live):
                return
            # A run and what it failed with refer to one another; left to Python's collector, which in a loop that makes
            # little garbage hardly ever looks, each session would leave its buffers and its decoder's threads behind.
            gc.collect()
            if self._changing:
                continue
            self._note = lost
            if self._now.frames > frames_before:
                retry = FIRST_RETRY_SECONDS
            source.close()
            retry = self._reconnect(retry)

    def _run_and_say_what_was_lost(self, source: Playback) -> str:
        """Play one session; return why what comes live came no longer, and raise any other failure."""
        try:
            self._run_once(source)
        except (SourceError, EngineError) as error:
            lost = error if isinstance(error, SourceError) else error.__cause__
            if not source.info.live or not isinstance(lost, SourceError):
                raise
            return describe(lost)
        return "the connection ended"

    def _run_once(self, source: Playback) -> None:
        """Play one session."""
        with self._lock:
            network, self._changing = self._network, False
            if self._stopping.is_set():
                return
            self._sink = self._make_sink(network.smoothing)
            self._sink.another_follows = True
            self._engine = self._make_engine(source, network, self._sink)
            self._engine.pause(paused=self._paused)
            self._before = self._now
            self._sessions += 1
        try:
            self._engine.run(self._watch)
        finally:
            with self._lock:
                self._engine = None

    def _make_engine(self, source: Playback, network: Network, sink: ZmqSink) -> Engine:
        model, backend, config = network.model, None, self._config(source.info)
        if isinstance(model, SharedModel):
            backend, model = model.new_backend(), model.new_feed()
            config = replace(config, batch=1)  # passes are filled with other feeds' frames, one of each
        camera = self._camera(source.info) or source.info.intrinsics
        return Engine(
            source,
            model if camera is None else model.with_field_of_view(camera.fov_x_rad),
            [sink],
            config=replace(config, size=network.size, temporal=TemporalConfig.preset(network.temporal)),
            intrinsics=camera,
            cut_detector=SceneCutDetector(),
            backend=backend,
        )

    def _reconnect(self, retry: float) -> float:
        """Open the source, however long that takes; return the next pause, seconds."""
        self._wait_for_source(retry)
        while not self._stopping.wait(retry):
            retry = min(2 * retry, LONGEST_RETRY_SECONDS)
            try:
                opened = self._open_source()
            except SourceError as error:
                self._note = describe(error)
                self._wait_for_source(retry)
                continue
            with self._lock:
                self._source, self._note, self._retry_at = opened, "", None
            if self._stopping.is_set():
                opened.close()
            break
        return retry

    def _wait_for_source(self, seconds: float) -> None:
        """Tell everybody that the source is away, why, and when it is tried again."""
        self._state, self._retry_at = "waiting", time.monotonic() + seconds
        if self._sink is not None:
            self._sink.announce("waiting", f"{self._note}; trying again")

    def _watch(self, progress: Progress) -> None:
        """Take up how the run goes; called by the engine ten times a second."""
        with self._lock:
            before, frames_before = self._before, self._now.frames
            self._now = _Counts(
                frames=before.frames + progress.frames,
                received=before.received + progress.received,
                dropped=before.dropped + progress.drops.total,
                late=before.late + progress.drops.late,
                dropped_pts=progress.drops.recent_pts[-_KEPT_PTS:] or before.dropped_pts,
            )
            self._rate.take(self._now.received, self._now.frames)
            self._latency_ms = progress.latency_ms or self._latency_ms
            moved = self._now.frames > frames_before
            state: FeedState = "paused" if self._paused and not moved else "playing" if moved else self._state
            if state == "paused" and self._state != "paused" and self._sink is not None:
                self._sink.announce("paused")
            self._state = state


@dataclass(frozen=True, slots=True)
class _Counts:
    """Sums over all sessions, and the last frames dropped."""

    frames: int = 0
    received: int = 0
    dropped: int = 0
    late: int = 0
    dropped_pts: tuple[int, ...] = ()


def _check(network: Network, info: SourceInfo | None) -> None:
    """Refuse what the next session could not run with; raises ValueError or a DptStreamError."""
    TemporalConfig.preset(network.temporal)
    picture_hw = _USUAL_PICTURE_HW if info is None else (info.height, info.width)
    try:
        network.model.input_size_hw(picture_hw, size=network.size)
    except DptStreamError as error:
        raise ValueError(describe(error)) from error
