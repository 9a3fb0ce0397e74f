"""``dptstream convert``: any video into a depth sequence that 3-D tools open."""

import json
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import DptStreamError, describe
from .card import CardFlags
from .flags import CameraFlags, ModelFlags, SourceFlags, device_words
from .takes import is_take, refuse_network_flags

if TYPE_CHECKING:
    from ..engine import Engine, Progress, RunReport, TakeReport
    from ..models import DepthModel
    from ..sinks import DepthFolder, FolderOptions
    from ..sources import Source
    from ..temporal import FlickerScore

CERTAIN = {"keys", "shapes", "metadata", "sha256", "catalog"}
"""Grounds for a decision about a checkpoint that leave no doubt, so that only the others are shown."""

EXIT_FAILED, EXIT_DAMAGED, EXIT_STOPPED = 1, 3, 130

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
                    models[network] = network.load()
                    screen.model(models[network], chosen=self.network.model)
                codes.append(self._convert_one(location, folder, models[network], screen))
            if codes[-1] == EXIT_STOPPED:
                break
        return max(codes, key=lambda code: (code == EXIT_STOPPED, code == EXIT_FAILED, code))

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
        with interruptible(engine), screen.progress(source) as on_progress:
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


class Screen:
    """What the user sees: people get lines and a bar on stderr, machines get JSON on stdout."""

    def __init__(self, *, quiet: bool, json_lines: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, quiet=quiet or json_lines, highlight=False)
        self._json_lines = json_lines
        self._device = ""

    def model(self, model: "DepthModel", *, chosen: str | None) -> None:
        """Say which model runs where, what its numbers mean and who may use it."""
        info = model.info
        unit = f"{info.kind.value.replace('_', ' ')} depth" + (f" in {info.kind.unit}" if info.kind.unit else "")
        what = (info.family, info.variant, f"{info.parameters / 1e6:.1f} M weights")
        self._say(
            f"model    {info.name} ({', '.join(part for part in what if part)}): {unit}; "
            f"licence of the weights: {info.license}"
        )
        doubtful = {point: by for point, by in info.decided_by.items() if by not in CERTAIN}
        if doubtful:
            self._say("         " + ", ".join(f"{point} by {by}" for point, by in doubtful.items()))
        if info.name == "tiny" and chosen is None:
            self._say(
                "         tiny is for trying out; for work that matters: --model depth-anything-v2-small "
                "(Apache-2.0, downloads 99 MB)"
            )
        if info.canonical_focal_px is not None:
            self._say("         gives metres once the camera is known: --fov-x-deg, --focal-px or --focal-mm")
        if info.temporal:
            self._say("         steady in time by itself: --temporal only finds cuts and ranges for it")

    def device(self, model: "DepthModel") -> None:
        """Say where, by what and in which precision the network runs, unless that was said last."""
        words = device_words(model)
        if words != self._device:
            self._say(f"device   {words}")
        self._device = words

    @contextmanager
    def progress(self, source: "Source") -> Iterator[Any]:
        """Show a bar while the block runs; yields the engine's ``on_progress``."""
        from rich.progress import BarColumn, Progress, TextColumn

        info = source.info
        rate = f", {float(info.average_rate):.4g} fps" if info.average_rate else ""
        self._say(f"input    {info.location}: {info.width}x{info.height}{rate}, {info.codec or 'pictures'}")
        if not self._console.is_terminal:
            yield None
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("convert ", total=info.frame_count, words="starting")

            def show(progress: "Any") -> None:
                bar.update(task, completed=progress.frames, total=progress.frame_count, words=progress_words(progress))

            yield show

    def result(self, source: "Source", sink: "DepthFolder", report: "RunReport", model: "DepthModel") -> int:
        """Sum up one input; return its exit code."""
        from ..sinks import ASSUMED_CAMERA, read_manifest

        stopped = report.stopped and not source.info.live
        code = EXIT_STOPPED if stopped else EXIT_DAMAGED if source.stats.damaged else 0
        folder = sink.options.directory
        manifest: dict[str, Any] = read_manifest(folder)
        warnings = list(dict.fromkeys([*report.warnings, *manifest["warnings"]]))
        if self._json_lines:
            progress = report.progress
            line = {
                "input": source.info.location,
                "output": str(folder),
                "complete": manifest["complete"],
                "frames": manifest["counts"]["frames"],
                "frames_this_run": progress.frames,
                "seconds": round(progress.elapsed_seconds, 3),
                "fps": round(progress.frames_per_second, 3),
                "limiting_stage": progress.limiting_stage,
                "busy_ms": {stage: round(ms, 3) for stage, ms in progress.busy_ms.items()},
                "shots": manifest["counts"]["scene_cuts"] + 1,
                "flicker": None if report.flicker is None else asdict(report.flicker),
                "corrupt": source.stats.corrupt,
                "warnings": warnings,
                "model": model.info.name,
                "model_license": model.info.license,
                "exit_code": code,
            }
            print(json.dumps(line), flush=True)
        self._sum_up(report, manifest, folder)
        for text in warnings:
            if text != ASSUMED_CAMERA:  # said above, with what to do about it
                self._warn(text)
        if stopped:
            self._warn("stopped; go on with the same command and --resume")
        return code

    def take(self, location: str, folder: Path, report: "TakeReport") -> int:
        """Sum up a recording; return its exit code."""
        from ..sinks import read_manifest

        manifest: dict[str, Any] = read_manifest(folder)
        if self._json_lines:
            line = {
                "input": location,
                "output": str(folder),
                "complete": manifest["complete"],
                "frames": manifest["counts"]["frames"],
                "frames_this_run": report.frames,
                "model": report.model,
                "model_license": report.model_license,
                "exit_code": 0,
            }
            print(json.dumps(line), flush=True)
        self._say(
            f"input    {location}: a recording of {report.model or 'an unnamed model'}, "
            f"licence of the weights: {report.model_license or 'unknown'}; no network runs"
        )
        self._say(f"done     {report.frames} frames, values and times as recorded")
        self._say(f"written  {folder}: {written_files(manifest)}")
        return 0

    def _sum_up(self, report: "RunReport", manifest: dict[str, Any], folder: Path) -> None:
        camera, progress = manifest["intrinsics"], report.progress
        origin = {
            "default": "assumed, since nobody said; give --fov-x-deg, --focal-px or --focal-mm",
            "file": "from the file's tags",
            "model": "estimated by the model",
            "user": "as given",
        }[camera["origin"]]
        fov_x_deg = math.degrees(2 * math.atan(camera["width"] / 2 / camera["fx"]))
        self._say(f"camera   {fov_x_deg:.1f}° across, focal length {camera['fx']:.0f} px ({origin})")
        if report.flicker is not None:
            self._say(f"flicker  {flicker_words(report.flicker)}")
        shots = manifest["counts"]["scene_cuts"] + 1
        if progress.frames == 0 and manifest["complete"]:
            self._say(f"done     nothing was left to do: all {manifest['counts']['frames']} frames are there")
            return
        self._say(
            f"done     {progress.frames} frames in {progress.elapsed_seconds:.1f} s, "
            f"{progress.frames_per_second:.1f} frames/s, limited by {progress.limiting_stage}; "
            f"{shots} shot{'s' if shots != 1 else ''}"
        )
        self._say(f"written  {folder}: {written_files(manifest)}")

    def failure(self, location: str, error: Exception) -> int:
        """Report one input that could not be converted."""
        if self._json_lines:
            print(json.dumps({"input": location, "error": describe(error), "exit_code": EXIT_FAILED}), flush=True)
        print(f"dptstream: {describe(error)}", file=sys.stderr)
        return EXIT_FAILED

    def _say(self, line: str) -> None:
        from rich.markup import escape

        self._console.print(escape(line), soft_wrap=True)

    def _warn(self, line: str) -> None:
        from rich.markup import escape

        self._console.print(f"[yellow]warning[/]  {escape(line)}", soft_wrap=True)


def flicker_words(flicker: "FlickerScore") -> str:
    """Return the clip's flicker before and after smoothing in one line."""
    if flicker.before is None or flicker.after is None:
        return "not measured: nothing stood still in this clip"
    change = f", {flicker.reduction:.0%} less" if flicker.reduction is not None else ""
    return (
        f"{flicker.before:.2%} of the range a frame in the network's depth, {flicker.after:.2%} after smoothing{change} "
        f"(where the picture stands still: {flicker.still_share:.0%} of it)"
    )


def written_files(manifest: dict[str, Any]) -> str:
    """Return the names of what lies in a folder, a sequence as its first and last file."""
    frames = manifest["frames"]
    names = []
    if frames:
        for name in frames[0]["files"]:
            first, last = frames[0]["files"][name], frames[-1]["files"][name]
            names.append(first if first == last else f"{first} to {last}")
    return ", ".join([*names, *(video["file"] for video in manifest["videos"].values()), "manifest.json"])


def progress_words(progress: "Progress") -> str:
    """Return the bar's text: frames, rate, time left and the stage that limits."""
    of = f"/{progress.frame_count}" if progress.frame_count else ""
    left = progress.seconds_left
    time_left = f", {left // 60:.0f}:{left % 60:02.0f} left" if left is not None else ""
    return f"{progress.frames}{of} frames, {progress.frames_per_second:.1f}/s{time_left}, limited by {progress.limiting_stage}"
