"""Pictures of flicker: time slices before and after, and the measures as bars. Needs matplotlib, when used."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from .clips import Clip, inverse_at
from .methods import Float
from .suite import RAW, Report

Number = TypeVar("Number", np.float32, np.uint8)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def require_matplotlib() -> None:
    """Raise MissingExtraError where no pictures can be drawn."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('pictures of the scores need matplotlib: pip install "dptstream[evaluate]"') from error


def busiest_row(maps: Sequence[Float]) -> int:
    """Return the row, away from the borders, along which depth varies most: where flicker shows best."""
    spread = np.mean([np.abs(np.diff(map_, axis=1)).mean(axis=1) for map_ in maps[:: max(1, len(maps) // 20)]], axis=0)
    height = spread.size
    return int(height // 8 + np.argmax(spread[height // 8 : max(height // 8 + 1, 7 * height // 8)]))


def time_slice(maps: Sequence[NDArray[Number]], row: int) -> NDArray[Number]:
    """Return one row of every frame, the first frame at the top: (frames, width[, 3])."""
    return np.stack([map_[row] for map_ in maps])


def draw_slices(clip: Clip, results: Mapping[str, Sequence[Float]], path: Path) -> None:
    """Save an x-t picture: one row of the film over time, as filmed and as each method gives its depth.

    A steady surface draws a smooth streak; flicker shows as horizontal stripes, lag as bent outlines.

    Args:
        clip: What was smoothed.
        results: Depth maps by method.
        path: PNG to write.
    """
    first = clip.frames[0]
    size_hw = (first.depth.shape[0], first.depth.shape[1])
    maps = {
        name: [inverse_at(d, f, size_hw) for d, f in zip(depths, clip.frames, strict=True)]
        for name, depths in results.items()
    }
    row = busiest_row(maps[RAW])
    low, high = np.percentile(time_slice(maps[RAW], row), (1, 99))
    figure = _new_figure(3.2 * (len(maps) + 1), 4.2)
    axes = np.atleast_1d(figure.subplots(1, len(maps) + 1, sharey=True))
    scale = clip.frames[0].video.height / size_hw[0]
    picture_row = min(int((row + 0.5) * scale), clip.frames[0].video.height - 1)
    axes[0].imshow(time_slice([frame.video.image for frame in clip.frames], picture_row), aspect="auto")
    axes[0].set_title("picture")
    axes[0].set_ylabel("frame")
    for axis, (name, depths) in zip(axes[1:], maps.items(), strict=True):
        axis.imshow(
            time_slice(depths, row), aspect="auto", cmap="inferno", vmin=low, vmax=high, interpolation="nearest"
        )
        axis.set_title(name)
    for axis in axes:
        axis.set_xticks([])
    figure.suptitle(f"{clip.name}: row {row} over time; stripes are flicker")
    figure.savefig(path, dpi=110)


def draw_bars(report: Report, path: Path) -> None:
    """Save what each method leaves of the raw depth's errors, as bars: 1 is no better than raw."""
    names = [
        ("excess_flicker", "excess flicker"),
        ("static_flicker", "flicker of still things"),
        ("scale_jitter", "scale jitter"),
        ("abs_rel", "AbsRel"),
        ("abs_rel_per_frame", "AbsRel per frame"),
        ("moving_edges", "moving edges"),
        ("ghosting", "ghosting"),
    ]
    raw = report.rows[0].mean
    names = [(name, label) for name, label in names if getattr(raw, name)]
    figure = _new_figure(1.6 * max(len(names), 3) + 3, 4.2)
    axis = figure.subplots()
    rows = report.rows[1:]
    width = 0.8 / max(len(rows), 1)
    for index, row in enumerate(rows):
        left = np.arange(len(names)) + (index - (len(rows) - 1) / 2) * width
        shares = [(getattr(row.mean, name) or 0) / getattr(raw, name) for name, _ in names]
        axis.bar(left, shares, width, label=row.method)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks(range(len(names)), [label for _, label in names], rotation=20)
    axis.set_ylabel("share of raw; lower is better")
    axis.legend()
    figure.savefig(path, dpi=110)


def _new_figure(width: float, height: float) -> "Figure":
    require_matplotlib()
    # The figure alone, without pyplot: no window system is asked for and nothing global is kept.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
