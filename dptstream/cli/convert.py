"""``dptstream convert``: any video into a depth sequence that 3-D tools open."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import DptStreamError
from .card import CardFlags
from .flags import CameraFlags, ModelFlags, SourceFlags
from .screen import EXIT_FAILED, EXIT_STOPPED, Screen
from .takes import is_take, refuse_network_flags

if TYPE_CHECKING:
    from ..engine import Engine, RunReport
    from ..models import DepthModel
    from ..sinks import DepthFolder, FolderOptions
    from ..sources import Source

Format = Literal["exr", "png16", "ffv1", "npz", "npy", "ply", "preview"]


@dataclass(frozen=True)
class OutputFlags:
    """What is written, and how."""

    format: tuple[Format, ...] = ("exr", "preview")
    """One or several: exr (float, the model's own values), png16, ffv1 (16-bit video), npz, npy, ply (points), preview."""
    range: Annotated[str, tyro.conf.arg(metavar="shot|clip|LO,HI|frame")] = "shot"
    """Over what the range of png16, ffv1 and preview is taken; over a shot, nothing pumps."""
    numbering: Literal["vfx", "blender"] = "vfx"
    """Number of the first frame: vfx 1001, blender 1."""
    start_frame: Annotated[int | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Number of the first frame, instead of the preset's."""
    half: bool = False
    """EXR as 16-bit floats."""
    exr_channel: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """EXR channel; the default is Z for metric depth, and a name of its own for relative depth."""
    compression: Literal["zip", "zips", "piz", "none"] = "zip"
    """How EXR files are compressed; all lossless."""
    encode: Literal["native", "inverse"] = "native"
    """native: the model's own values; inverse: depth as 1/depth."""
    color_map: Literal["turbo", "inferno", "magma", "viridis", "plasma", "cividis", "gray"] = "inferno"
    """Colours of the preview; near is bright."""
    invert: bool = False
    """Near dark instead of near bright."""
    side_by_side: bool = False
    """Picture and depth next to one another in the preview."""
    no_audio: bool = False
    """Leave the input's sound out of the preview."""
    overwrite: Annotated[bool, tyro.conf.arg(aliases=["-y"])] = False
    """Remove an earlier run's files first; files of others are never touched."""
    resume: bool = False
    """Go on with a run that was interrupted."""
    workers: int = 2
    """Threads that write files."""

    def options(self, directory: Path) -> "FolderOptions":
        """Return the folder's options; raises ValueError naming what is allowed."""
        from ..sinks import FolderOptions, parse_range

        return FolderOptions(
            directory=directory,
            formats=self.format,
            half=self.half,
            exr_channel=self.exr_channel,
            compression=self.compression,
            numbering=self.numbering,
            start_frame=self.start_frame,
            encode=self.encode,
            range=parse_range(self.range),
            color_map=self.color_map,
            invert=self.invert,
            side_by_side=self.side_by_side,
            audio=not self.no_audio,
            overwrite=self.overwrite,
            resume=self.resume,
            workers=self.workers,
        )


@dataclass(frozen=True)
class Convert:
    """Convert videos, picture sequences, cameras or addresses into depth sequences.

    With one input, --output is its folder; with several, each gets a folder of its own inside.
    """

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT...")]
    """Files, folders, patterns (frames/%05d.png), pictures, URLs, cameras (/dev/video0), or synthetic: for a test scene."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results; made where it is missing."""
    result: OutputFlags = field(default_factory=OutputFlags)
    network: ModelFlags = field(default_factory=ModelFlags)
    selection: SourceFlags = field(default_factory=SourceFlags)
    card: CardFlags = field(default_factory=CardFlags)
    camera: CameraFlags = field(default_factory=CameraFlags)
    temporal: Literal["off", "minimal", "light", "default", "strong", "offline"] = "default"
    """How depth is steadied over time: off leaves the network's own values untouched, offline looks at whole shots."""
    causal: bool = False
    """Let a video network see no later frames, as it would live; it otherwise sees whole windows, as its authors do."""
    sequential: bool = False
    """Run the stages one after the other, to compare with."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False
    """Print errors only."""
    json: bool = False
    """Print one JSON object per input on stdout, and nothing else."""

    def run(self) -> int:
        """Convert every input; return the exit code of the worst one."""
        if not self.inputs:
            raise ValueError("no input given: name a video, picture, camera or address")
        screen = Screen(quiet=self.quiet, json_lines=self.json)
        from ..sources.locations import expand_location

        inputs = tuple(found for location in self.inputs for found in expand_location(location))
        folders = output_folders(inputs, self.output)
        for folder in folders:
            self.result.options(folder)  # complain about wrong flags before the model is loaded
        self.selection.options()
        refuse_network_flags(inputs, self.network, self)
        models: dict[ModelFlags, DepthModel] = {}
        codes = []
        for location, folder in zip(inputs, folders, strict=True):
            if is_take(location):
                codes.append(self._convert_take(location, folder, screen))
            else:
                network = self._network_for(folder)
                if network not in models:
                    fault = self._fault(location, folder)
                    if fault is not None:
                        codes.append(screen.failure(location, fault))
                        continue
                    models[network] = network.load()
                    screen.model(models[network], chosen=self.network.model)
                codes.append(self._convert_one(location, folder, models[network], screen))
            if codes[-1] == EXIT_STOPPED:
                break
        return max(codes, key=lambda code: (code == EXIT_STOPPED, code == EXIT_FAILED, code))

    def _fault(self, location: str, folder: Path) -> Exception | None:
        """Return what speaks against an input that is at hand, before a model is loaded or even downloaded for it."""
        from ..sinks.opening import refuse_earlier_run
        from ..sources import open_source
        from ..sources.locations import may_come_later

        try:
            refuse_earlier_run(self.result.options(folder))
            if not may_come_later(location):
                with open_source(location, self.selection.options()):
                    pass
        except (DptStreamError, OSError, ValueError) as error:
            return error
        return None

    def _network_for(self, folder: Path) -> ModelFlags:
        """Return the network's flags; a run that goes on keeps its runtime, whatever would be chosen today."""
        if not self.result.resume or self.network.runtime != "auto":
            return self.network
        from ..sinks.opening import earlier_settings

        earlier = earlier_settings(folder)
        runtime, precision = earlier.get("runtime"), earlier.get("precision")
        if earlier.get("device") != "cpu" or runtime not in ("torch", "openvino") or not isinstance(precision, str):
            return self.network
        kept: Any = {"runtime": runtime}
        if self.network.precision == "auto" and precision in ("float32", "float16", "bfloat16"):
            kept["precision"] = precision
        return replace(self.network, **kept)

    def _convert_one(self, location: str, folder: Path, model: "DepthModel", screen: "Screen") -> int:
        from ..sinks import DepthFolder
        from ..sources import open_source

        try:
            with open_source(location, self.card.source(self.selection.options(), model.device)) as source:
                sink = DepthFolder(self.result.options(folder))
                report = self._run_engine(source, sink, model, screen)
                return screen.result(source, sink, report, model)
        except (DptStreamError, OSError, ValueError) as error:
            return screen.failure(location, error)

    def _convert_take(self, location: str, folder: Path, screen: "Screen") -> int:
        """Write a recording's depth as it was sent; no network runs."""
        from ..engine import write_take
        from ..sinks import DepthFolder

        try:
            sink = DepthFolder(self.result.options(folder))
            report = write_take(Path(location), sink, self.selection.options(), camera=self.camera.intrinsics)
            return screen.take(location, folder, report)
        except (DptStreamError, OSError, ValueError) as error:
            return screen.failure(location, error)

    def _run_engine(self, source: "Source", sink: "DepthFolder", model: "DepthModel", screen: "Screen") -> "RunReport":
        from ..engine import Engine, EngineConfig, LookaheadSink
        from ..models.runtime import prepare
        from ..sources import open_source
        from ..temporal import SceneCutDetector, TemporalConfig

        camera = self.camera.intrinsics(source.info) or source.info.intrinsics
        if camera is not None:
            model = model.with_field_of_view(camera.fov_x_rad)
        runtime = prepare(model, self._input_hw(source, model))
        sink.note("runtime", asdict(runtime))
        screen.device(model)
        live = source.info.live
        lookahead: LookaheadSink | None = None
        if self.temporal == "offline" and not model.info.temporal:
            if live:
                raise ValueError(f"{source.info.location} is live and cannot be read twice: choose another --temporal")
            lookahead = LookaheadSink(
                sink, lambda: open_source(source.info.location, self.selection.options()), TemporalConfig()
            )
        engine = Engine(
            source,
            model,
            [lookahead or sink],
            config=self.card.engine(
                EngineConfig(
                    size=self.network.size,
                    pipelined=not self.sequential,
                    windows=not (self.causal or live),
                    temporal=None if self.temporal == "offline" else TemporalConfig.preset(self.temporal),
                )
            ),
            intrinsics=camera,
            settings=self._settings(source, model),
            cut_detector=SceneCutDetector(),
        )
        with interruptible(engine), screen.progress(source, self._input_hw(source, model)) as on_progress:
            report = engine.run(on_progress)
        return report if lookahead is None else replace(report, flicker=lookahead.flicker)

    def _settings(self, source: "Source", model: "DepthModel") -> dict[str, object]:
        """Return what decides the depth values, beside the output's own options, which the folder records itself."""
        from ..models.runtime import runtime_of

        runtime = runtime_of(model)
        return {
            "network_size_hw": list(self._input_hw(source, model)),
            "fit": self.network.fit,
            "tile": self.network.tile,
            "causal": self.causal,
            "temporal": "cuts only" if model.info.temporal else self.temporal,
            "device": model.device.type,
            "runtime": runtime.name,
            "precision": runtime.precision,
            "start": self.selection.start,
            "end": self.selection.end,
            "every": self.selection.every,
            "fps": self.selection.fps,
            "crop": self.selection.crop,
            "picture_rate": self.selection.picture_rate,
            **self.card.settings(model.device),
        }

    def _input_hw(self, source: "Source", model: "DepthModel") -> tuple[int, int]:
        return model.input_size_hw((source.info.height, source.info.width), size=self.network.size)


def output_folders(inputs: tuple[str, ...], output: Path) -> list[Path]:
    """Return a folder for each input: ``output`` itself for one, else folders inside named after the inputs."""
    if len(inputs) == 1:
        return [output]
    from ..sources.locations import short_name

    folders: list[Path] = []
    for location in inputs:
        name = short_name(location)
        same = sum(folder.name == name or folder.name.startswith(f"{name}_") for folder in folders)
        folders.append(output / (f"{name}_{same + 1}" if same else name))
    return folders


@contextmanager
def interruptible(engine: "Engine") -> Iterator[None]:
    """Let the first Ctrl-C (or a polite kill) end the run cleanly; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        engine.stop()
        signal.signal(number, signal.default_int_handler)

    numbers = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
