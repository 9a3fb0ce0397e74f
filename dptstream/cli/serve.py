"""``dptstream serve``: live depth for any number of consumers."""

import gc
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .card import CardFlags
from .flags import CameraFlags, ModelFlags, SourceFlags
from .leaving import end_if_left, stop_now
from .listening import ending_by_signal
from .offered import OfferedModels
from .serving import StatusLines, serve_until_the_end

if TYPE_CHECKING:
    from ..engine import EngineConfig
    from ..engine.feeds import Player
    from ..engine.player import Network
    from ..models import DepthModel
    from ..sinks.messages import MessageOptions
    from ..sinks.zmq import ZmqSink
    from ..sources.base import SourceInfo
    from ..sources.playback import Playback
    from ..wire.control import ControlServer
    from ..wire.keys import ServerKeys
    from ..wire.publisher import Publisher
    from .prometheus import PrometheusServer

_NAMED = re.compile(r"([A-Za-z0-9._-]{1,64})=(.+)", re.DOTALL)
_PORT = re.compile(r"(.*:)(\d+)")


@dataclass(frozen=True)
class PlayFlags:
    """How the input is played."""

    loop: bool = False
    """Begin again at the end of a file."""
    live: bool = False
    """Infer the newest frame and drop older ones, before inference; a file then plays at its own speed. Cameras and
    streams are live by themselves."""
    lossless: bool = False
    """Infer every frame; files are lossless by themselves. A camera's frames then queue up, and grow old."""
    pace: bool = False
    """Play a file at its own speed. Recordings always do."""
    deadline_ms: Annotated[float | None, tyro.conf.arg(aliases=["--deadline"], metavar="MS")] = None
    """With live input, also drop frames older than this before inference."""

    def config(self, *, live: bool, workers: int | None) -> "EngineConfig":
        """Return how the engine runs for a source; raises ValueError for flags that contradict one another."""
        from ..engine import EngineConfig

        latest_wins = self.live or (live and not self.lossless)
        return EngineConfig(
            policy="live" if latest_wins else "lossless",
            pace=self.pace,
            deadline_ms=self.deadline_ms,
            workers=workers,
        )

    def check(self) -> None:
        """Raise ValueError where flags contradict one another."""
        if self.live and self.lossless:
            raise ValueError("--live drops frames and --lossless does not: give one of them")
        if self.lossless and self.deadline_ms is not None:
            raise ValueError("--deadline-ms drops frames and --lossless does not: give one of them")
        if self.deadline_ms is not None and not self.deadline_ms > 0:
            raise ValueError(f"--deadline-ms must be positive; got {self.deadline_ms:g}")


@dataclass(frozen=True)
class WireFlags:
    """What is sent, and to whom."""

    bind: Annotated[str, tyro.conf.arg(metavar="tcp://HOST:PORT")] = "tcp://127.0.0.1:5577"
    """Where to serve; other machines reach tcp://0.0.0.0:PORT."""
    control: Annotated[str | None, tyro.conf.arg(metavar="tcp://HOST:PORT|off")] = None
    """Where `dptstream ctl` is answered; the default is the port after that of --bind."""
    curve: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder of keys, as `dptstream keys` makes it: encrypt, and let in those on its list alone."""
    insecure: bool = False
    """Serve other machines without keys: anybody who reaches the address may watch and steer."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the feed; the default is the input's. With several inputs write NAME=INPUT."""
    depth: Literal["float16", "uint16", "float32"] = "float16"
    """How depth is sent; uint16 is millimetres, or 15 bits over a shot's range."""
    color: Literal["rgb", "jpeg", "none"] = "rgb"
    """The picture that goes with the depth, at its size."""
    jpeg_quality: int = 85
    """1 to 100."""
    compression: Literal["none", "delta-zlib"] = "none"
    """For thin links; lossless, and slow."""

    def keys(self) -> "ServerKeys | None":
        """Read the keys."""
        from ..wire.keys import load_server_keys

        return None if self.curve is None else load_server_keys(self.curve)

    def options(self) -> "MessageOptions":
        """Return how frames are put into messages; raises ValueError."""
        from ..sinks.messages import MessageOptions

        return MessageOptions(depth=self.depth, color=self.color, jpeg_quality=self.jpeg_quality)

    def control_endpoint(self, bound: str) -> str | None:
        """Return where requests are taken; ``bound`` is where frames are sent, with its true port."""
        if self.control is not None:
            return None if self.control == "off" else self.control
        port = _PORT.fullmatch(bound)
        if port is None:
            return f"{bound}-control"
        if self.bind.endswith(":*") or int(port[2]) == 65535:
            return f"{port[1]}*"
        return f"{port[1]}{int(port[2]) + 1}"


@dataclass(frozen=True)
class Serve:
    """Serve live depth of files, cameras and addresses to any number of consumers; Ctrl-C ends it.

    Watch it with `dptstream tap`, steer it with `dptstream ctl`, keep it with `dptstream record`. A recording plays as
    the live feed it was. Several inputs share one network; each is a feed of its own. A camera or address that is away
    is waited for.
    """

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME=]INPUT...")]
    """Files, recordings, cameras (/dev/video0), addresses (rtsp://...), or synthetic: for a test scene."""
    play: PlayFlags = field(default_factory=PlayFlags)
    wire: WireFlags = field(default_factory=WireFlags)
    network: ModelFlags = field(default_factory=ModelFlags)
    selection: SourceFlags = field(default_factory=SourceFlags)
    card: CardFlags = field(default_factory=CardFlags)
    camera: CameraFlags = field(default_factory=CameraFlags)
    temporal: Literal["off", "minimal", "light", "default", "strong"] = "default"
    """How depth is steadied over time."""
    offer: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE|DIR...")] = ()
    """Checkpoint files, or folders of them, that `dptstream ctl model` may ask for besides names of the catalogue."""
    prometheus: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Show how the feeds go at http://HOST:PORT/metrics, for Prometheus."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False
    """No status lines."""
    json: bool = False
    """Print one JSON object per second and feed on stdout, instead of status lines on stderr."""

    def run(self) -> int:
        """Serve until the feeds end, somebody asks to quit, or Ctrl-C; exit code 1 when a feed failed."""
        feeds = self._feeds()
        self.play.check()
        self._offered.check()
        options = self.wire.options()
        lines = StatusLines(quiet=self.quiet, json_lines=self.json, keys=self.wire.curve)
        from ..wire.publisher import Publisher

        publisher = Publisher(self.wire.bind, keys=self.wire.keys(), insecure=self.wire.insecure)
        players: list[Player] = []
        metrics = self._metrics(players, publisher, lines)
        with ExitStack() as exits:
            with ending_by_signal(stop_now):  # opening and loading may take long, and cannot be broken off
                players += self._players(feeds, exits.enter_context(publisher), options, lines)
            control = self._open_control(players, publisher.endpoint, lines)
            if metrics is not None:
                lines.say(f"metrics  at {exits.enter_context(metrics).url}")
            # All that was loaded stays: looking through it for garbage, as Python does now and then, stops every feed for
            # a tenth of a second.
            gc.collect()
            gc.freeze()
            code = serve_until_the_end(players, publisher, control, lines)
        end_if_left(code)
        return code

    def _open_control(
        self, players: "list[Player]", bound: str, lines: StatusLines
    ) -> "Callable[[Callable[[], None]], ControlServer] | None":
        """Return what makes the control server, given what ends the run; None where there shall be none."""
        endpoint = self.wire.control_endpoint(bound)
        if endpoint is None:
            return None
        from ..engine.player import EnginePlayer
        from ..engine.steering import Steering
        from ..wire.control import ControlServer

        keys, insecure, offered = self.wire.keys(), self.wire.insecure, self._offered
        share = sum(isinstance(player, EnginePlayer) for player in players)

        def load(name: str) -> "DepthModel":
            if share == 0:
                raise ValueError("only recordings are played: their depth is what it was, and no network runs")
            found = offered.find(name)
            variant = self.network.variant if found == offered.first else None
            model = replace(self.network, model=found, variant=variant).load(live=True)
            lines.model(model)
            return self._shared(model, share)

        return lambda end: ControlServer(Steering(players, load, end), endpoint, keys=keys, insecure=insecure)

    @property
    def _offered(self) -> OfferedModels:
        from ..models.catalog import default_model_name

        return OfferedModels(self.network.model or default_model_name(), self.offer)

    def _metrics(
        self, players: "list[Player]", publisher: "Publisher", lines: StatusLines
    ) -> "PrometheusServer | None":
        if self.prometheus is None:
            return None
        from .prometheus import PrometheusServer, feed_metrics

        return PrometheusServer(
            self.prometheus,
            lambda: feed_metrics([player.report() for player in players], publisher.subscribers, lines.gpu()),
            insecure=self.wire.insecure,
        )

    def _feeds(self) -> dict[str, str]:
        """Return the feeds' names and locations."""
        from ..sources.locations import short_name
        from ..wire.messages import feed_name

        if not self.inputs or not all(text.strip() for text in self.inputs):
            raise ValueError("no input given: name a video, camera, address or recording")
        if self.wire.name is not None and len(self.inputs) > 1:
            raise ValueError("--name is for one input; with several write NAME=INPUT")
        feeds: dict[str, str] = {}
        for text in self.inputs:
            named = None if Path(text).exists() else _NAMED.fullmatch(text)
            location = named[2] if named else text
            name = named[1] if named else self.wire.name or short_name(location)
            if feed_name(name) in feeds:
                raise ValueError(f"two feeds would be called {feed_name(name)}; write NAME=INPUT")
            feeds[feed_name(name)] = location
        return feeds

    def _players(
        self, feeds: dict[str, str], publisher: "Publisher", options: "MessageOptions", lines: StatusLines
    ) -> "list[Player]":
        from ..engine.player import EnginePlayer
        from ..engine.replay import RecordingPlayer
        from ..sources.locations import without_secrets
        from ..sources.recording import is_recording

        paths = {name: Path(location) for name, location in feeds.items()}
        recordings = {name for name, path in paths.items() if path.is_file() and is_recording(path)}
        if recordings and self.selection != SourceFlags():
            raise ValueError(
                f"{', '.join(sorted(recordings))} is a recording, which plays whole: leave out --start, --end, --every, "
                "--fps, --crop and --picture-rate, or go to a moment with `dptstream ctl seek`"
            )
        self._config(None, workers=None)  # refuses flags that make no sense, before anything is opened
        # What cannot be opened is said before the network is loaded; what may come later is waited for.
        openers = self._openers({name: location for name, location in feeds.items() if name not in recordings})
        network: Network | None = None
        if openers:
            network = self._network(len(openers))
            lines.model(network.model)
        players: list[Player] = []
        for name, location in feeds.items():
            if network is not None and name in openers:
                players.append(
                    EnginePlayer(
                        name,
                        openers[name],
                        self._sink_maker(name, publisher, options),
                        network,
                        location=without_secrets(location),
                        config=partial(self._config, workers=None if len(openers) == 1 else 1),
                        camera=self.camera.intrinsics,
                    )
                )
            else:
                players.append(RecordingPlayer(name, paths[name], publisher, loop=self.play.loop))
        return players

    def _config(self, info: "SourceInfo | None", workers: int | None) -> "EngineConfig":
        return self.card.engine(self.play.config(live=info is not None and info.live, workers=workers))

    def _openers(self, feeds: dict[str, str]) -> "dict[str, Callable[[], Playback]]":
        """Return what opens each source: for files, and what else answered, at once; raises what time does not mend."""
        from ..engine.opening import Opening, look_at
        from ..sources.locations import check_address, comes_live, may_come_later, without_secrets

        away = [name for name, location in feeds.items() if may_come_later(location)]
        for name in away:
            check_address(feeds[name])
            if self.play.loop and comes_live(feeds[name]):
                raise ValueError(f"{without_secrets(feeds[name])} is live: it cannot be played in a loop")
        openers = {name: self._opener(location) for name, location in feeds.items()}
        openers |= {name: _first(openers[name](), openers[name]) for name in feeds if name not in away}
        openings = {name: Opening(without_secrets(feeds[name]), openers[name]) for name in away}
        look_at(openings)
        return {**openers, **openings}

    def _sink_maker(
        self, name: str, publisher: "Publisher", options: "MessageOptions"
    ) -> "Callable[[str | None], ZmqSink]":
        from ..sinks.zmq import ZmqSink

        compression = self.wire.compression
        return lambda smoothing: ZmqSink(publisher, options, name=name, compression=compression, smoothing=smoothing)

    def _opener(self, location: str) -> "Callable[[], Playback]":
        from ..engine.device import choose_device
        from ..sources import open_source
        from ..sources.playback import Playback

        options = self.card.source(self.selection.options(), choose_device(self.network.device))
        return partial(Playback, partial(open_source, location), options, loop=self.play.loop)

    def _network(self, share: int) -> "Network":
        from ..engine.player import Network

        return Network(self._shared(self.network.load(live=True), share), self.network.size, self.temporal)

    @staticmethod
    def _shared(model: "DepthModel", share: int) -> "DepthModel":
        """Return the model for ``share`` feeds."""
        from ..engine.batching import BatchPolicy
        from ..engine.sharing import SharedModel

        return model if share == 1 else SharedModel(model, BatchPolicy.for_feeds(model, share))


def _first(opened: "Playback", reopen: "Callable[[], Playback]") -> "Callable[[], Playback]":
    """Return what gives ``opened`` at its first call, and opens anew at later ones."""
    waiting = [opened]
    return lambda: waiting.pop() if waiting else reopen()
