"""``dptstream evaluate``: how accurate and how steady depth is, and what smoothing changes."""

import json
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .flags import ModelFlags

if TYPE_CHECKING:
    from ..evaluation import Clip, Report
    from ..evaluation.methods import Float

Method = Literal["off", "minimal", "light", "default", "strong", "offline"]


@dataclass(frozen=True)
class Evaluate:
    """Measure depth video: accuracy, flicker, lag and ghosts, before and after smoothing.

    Without an input, synthetic scenes with exact depth are spoiled as a network would (or given to --model). An RGB-D
    folder (rgb/, depth/, and intrinsics.txt, poses.txt if there are) is measured against its depth, anything else that
    shows pictures without a truth.
    """

    input: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT")] = ""
    """A video, an RGB-D folder, or nothing for synthetic scenes."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for scores.json, scores.md and pictures; without it the table is printed only."""
    methods: tuple[Method, ...] = ("minimal", "light", "default", "strong", "offline")
    """What to compare with the raw depth; offline looks ahead."""
    rival: Method | Literal["none"] = "default"
    """Print a plain EMA beside, as steady as this one."""
    network: ModelFlags = field(default_factory=ModelFlags)
    clips: int = 4
    """How many synthetic clips."""
    seeds: tuple[int, ...] = ()
    """Their seeds; fresh ones are drawn otherwise, and printed."""
    frames: int = 60
    """Frames of a synthetic shot (a clip has two); of other inputs, at most five times as many are taken."""
    width: int = 224
    """Width of synthetic pictures, pixels."""
    height: int = 126
    """Height of synthetic pictures, pixels."""
    units_per_metre: float = 1000.0
    """What the depth of an RGB-D folder counts in: 1000 for millimetres, 5000 for TUM."""
    fps: float = 25.0
    """Frames per second of an RGB-D folder."""
    max_depth: float = 70.0
    """Metres beyond which the truth does not count: 10 is usual indoors, 80 on roads."""
    no_plots: bool = False
    """Write no pictures, which need matplotlib."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Measure, print and write."""
        from ..evaluation import as_record, evaluate, rich_table

        if self.frames < 2 or self.clips < 1:
            raise ValueError(f"--frames must be at least 2 and --clips at least 1; got {self.frames} and {self.clips}")
        pictures = self.output is not None and not self.no_plots
        if pictures:
            from ..evaluation.plots import require_matplotlib

            require_matplotlib()
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
        report = evaluate(
            self._clips(),
            self.methods,
            rival=None if self.rival == "none" else self.rival,
            keep=self._draw if pictures else None,
        )
        if self.json:
            print(json.dumps(as_record(report)))
        else:
            from rich.console import Console

            # Lines too long for a narrow window wrap there; numbers cut short would say nothing.
            Console(width=max(Console().width, 100)).print(rich_table(report))
        if self.output is not None:
            self._write(report, pictures=pictures)
        return 0

    def _clips(self) -> Iterator["Clip"]:
        from ..evaluation.rgbd import is_rgbd_folder

        if not self.input:
            yield from self._synthetic()
        elif is_rgbd_folder(Path(self.input)):
            yield self._rgbd()
        else:
            yield self._unseen()

    def _synthetic(self) -> Iterator["Clip"]:
        from ..evaluation import film_truth, predicted_truth, spoiled_clip
        from ..sources.synthetic import SyntheticSettings

        model = self.network.load() if self.network.model else None
        seeds: Sequence[int] = self.seeds or [secrets.randbelow(1_000_000) for _ in range(self.clips)]
        for seed in seeds:
            self._say(f"seed {seed}")
            settings = SyntheticSettings(
                width=self.width, height=self.height, frames=2 * self.frames, cuts=self.frames, seed=seed
            )
            if model is None:
                yield spoiled_clip(settings, max_depth=self.max_depth)
            else:
                truth = film_truth(settings)
                yield predicted_truth(f"seed {seed}", truth, model, size=self.network.size, max_depth=self.max_depth)

    def _rgbd(self) -> "Clip":
        from ..evaluation import predicted_truth
        from ..evaluation.rgbd import read_rgbd

        folder = Path(self.input)
        truth = read_rgbd(folder, units_per_metre=self.units_per_metre, fps=self.fps, limit=5 * self.frames)
        return predicted_truth(
            folder.name, truth, self.network.load(), size=self.network.size, max_depth=self.max_depth
        )

    def _unseen(self) -> "Clip":
        from ..evaluation import predicted_clip
        from ..sources import open_source

        with open_source(self.input) as source:
            return predicted_clip(source, self.network.load(), size=self.network.size, limit=5 * self.frames)

    def _draw(self, clip: "Clip", results: dict[str, list["Float"]]) -> None:
        from ..evaluation.plots import draw_slices

        assert self.output is not None
        name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in clip.name)
        draw_slices(clip, results, self.output / f"slices_{name}.png")

    def _write(self, report: "Report", *, pictures: bool) -> None:
        from ..evaluation import as_record, markdown_table

        assert self.output is not None
        (self.output / "scores.json").write_text(json.dumps(as_record(report), indent=2) + "\n", encoding="utf-8")
        (self.output / "scores.md").write_text(markdown_table(report), encoding="utf-8")
        if pictures:
            from ..evaluation.plots import draw_bars

            draw_bars(report, self.output / "scores.png")

    def _say(self, line: str) -> None:
        if not self.json:
            print(line, file=sys.stderr)
