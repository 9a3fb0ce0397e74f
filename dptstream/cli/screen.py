"""What the user of ``convert`` sees: the model, the input, a bar, and what came of it."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import describe
from .flags import device_words

if TYPE_CHECKING:
    from ..engine import Progress, RunReport, TakeReport
    from ..models import DepthModel
    from ..sinks import DepthFolder
    from ..sources import Source
    from ..temporal import FlickerScore

CERTAIN = {"keys", "shapes", "metadata", "sha256", "catalog"}
"""Grounds for a decision about a checkpoint that leave no doubt, so that only the others are shown."""

EXIT_FAILED, EXIT_DAMAGED, EXIT_STOPPED = 1, 3, 130

MUCH_PIXELS, MUCH_ENLARGED = 1_000_000, 4
"""Pixels of the network's input, and how many times the picture's, from which on a user is told that there is a choice."""


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
    def progress(self, source: "Source", input_hw: tuple[int, int]) -> Iterator[Any]:
        """Show a bar while the block runs; yields the engine's ``on_progress``."""
        from rich.progress import BarColumn, Progress, TextColumn

        info = source.info
        rate = f", {float(info.average_rate):.4g} fps" if info.average_rate else ""
        self._say(
            f"input    {info.location}: {info.width}x{info.height}{rate}, {info.codec or 'pictures'}; "
            f"the network sees {input_hw[1]}x{input_hw[0]}"
        )
        enlarged = input_hw[0] * input_hw[1] / (info.width * info.height)
        if input_hw[0] * input_hw[1] > MUCH_PIXELS and enlarged > MUCH_ENLARGED:
            self._warn(
                f"the network sees {enlarged:.0f} times the picture's pixels, as its authors would do it: "
                "--size, --crop or --fit stretch make it quicker"
            )
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
        self._say(f"done     {counted(report.frames, 'frame')}, values and times as recorded")
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
            f"done     {counted(progress.frames, 'frame')} in {progress.elapsed_seconds:.1f} s, "
            f"{progress.frames_per_second:.1f} frames/s, limited by {progress.limiting_stage}; "
            f"{counted(shots, 'shot')}"
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


def counted(count: int, thing: str) -> str:
    """Return a number of things in words: "1 frame", "2 frames"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def flicker_words(flicker: "FlickerScore") -> str:
    """Return the clip's flicker before and after smoothing in one line."""
    if flicker.before is None or flicker.after is None:
        return "not measured: nothing stood still in this clip"
    reduction = flicker.reduction
    change = "" if reduction is None else f", {abs(reduction):.0%} {'less' if reduction >= 0 else 'more'}"
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
