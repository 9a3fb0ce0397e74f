"""Measure a checkpoint beside two baselines, a constant and the best vertical ramp: prints a table, writes JSON.

Held-out scenes are rendered on the first call (a few minutes) and kept; their seeds are never trained on.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from dptstream.models import dpt_tiny

from . import metrics, pictures, pool
from .train import normalise

HELD_OUT_SEED = 900_000_000
"""Training seeds stay far below."""
SCENES_HW = (192, 320)
"""Size of the held-out scenes."""
NEAR_M, FAR_M = 20.0, 80.0
"""Alignment and errors are over pixels nearer than these, in turn."""
BASELINES = ("constant", "ramp")
Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Row:
    """Means over a set of pictures for the model or a baseline."""

    who: str
    """model, constant or ramp."""
    abs_rel_near: float
    """AbsRel over pixels nearer than 20 m."""
    abs_rel_near_median: float
    """The same, the median over pictures."""
    delta1_near: float
    """Share within 25 %, nearer than 20 m."""
    abs_rel: float
    """AbsRel over pixels nearer than 80 m."""
    delta1: float
    """Share within 25 %, nearer than 80 m."""
    ordered: float
    """Share of random pairs ordered rightly."""
    edge_px: float
    """Median distance from predicted depth steps to true ones; NaN for a baseline."""
    edges_within_3px: float
    """Share of predicted depth steps within 3 px of true ones."""


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a safetensors file, or the averaged ones of a training state."""
    if checkpoint.suffix == ".safetensors":
        return load_file(checkpoint)
    weights: dict[str, Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    return weights


def load_predictor(checkpoint: Path, base_size: int | None = None) -> Predictor:
    """Return a function from a picture (H, W, 3) uint8 to inverse depth (H, W).

    Args:
        checkpoint: a safetensors file, or a training state, of which the averaged weights are taken.
        base_size: The shorter side of the network's input; None for the family's own.
    """
    weights = read_weights(checkpoint)
    config = dpt_tiny.config_from_shapes({key: tuple(value.shape) for key, value in weights.items()})
    network = dpt_tiny.Model(config)
    network.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    )
    network.eval()

    def predict(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = rgb.shape[:2]
        picture = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255.0
        size = input_size_hw(height, width, base_size or config.base_size, config.size_multiple)
        resized = F.interpolate(picture, size=size, mode="bicubic", align_corners=False, antialias=True)
        with torch.inference_mode():
            small = network(normalise(resized.clamp(0, 1)))
        full = F.interpolate(small[:, None], size=(height, width), mode="bilinear", align_corners=False)
        return np.asarray(full[0, 0].numpy(), dtype=np.float32)

    return predict


def input_size_hw(height: int, width: int, base: int, multiple: int) -> tuple[int, int]:
    """Return the network's input size: the shorter side becomes the base size, the aspect is kept."""
    scale = base / min(height, width)
    return max(multiple, round(height * scale / multiple) * multiple), max(
        multiple, round(width * scale / multiple) * multiple
    )


def measure(who: str, depth: metrics.FloatMap, guess: metrics.FloatMap, rng: np.random.Generator) -> Row:
    """Return the scores of one picture."""
    near, far = (depth > 1e-3) & (depth < NEAR_M), (depth > 1e-3) & (depth < FAR_M)
    near_aligned, far_aligned = (metrics.align(guess, depth, valid) for valid in (near, far))
    near_scores = metrics.score(near_aligned, depth, near, NEAR_M)
    far_scores = metrics.score(far_aligned, depth, far, FAR_M)
    edge_px, within = metrics.edge_distance(near_aligned, depth, NEAR_M) if who == "model" else (math.nan, math.nan)
    return Row(
        who,
        near_scores.abs_rel,
        near_scores.abs_rel,
        near_scores.delta1,
        far_scores.abs_rel,
        far_scores.delta1,
        metrics.ordered_share(guess, depth, far, rng),
        edge_px,
        within,
    )


def measure_all(predict: Predictor, examples: list[tuple[NDArray[np.uint8], metrics.FloatMap]]) -> list[Row]:
    """Return a row for the model and one for each baseline: means over pictures that have enough near pixels."""
    rows: dict[str, list[Row]] = {who: [] for who in ("model", *BASELINES)}
    for number, (rgb, depth) in enumerate(examples):
        near = (depth > 1e-3) & (depth < NEAR_M)
        if near.mean() < 0.1:
            continue
        guesses = {"model": predict(rgb), "constant": np.ones_like(depth), "ramp": metrics.vertical_ramp(depth)}
        for who, guess in guesses.items():
            rows[who].append(measure(who, depth, guess, np.random.default_rng(number)))
    return [_mean(who, entries) for who, entries in rows.items()]


def held_out(folder: Path, setting: str, batches: int) -> list[tuple[NDArray[np.uint8], metrics.FloatMap]]:
    """Return pictures and depths of held-out scenes, rendered now where they are not in the folder yet."""
    options = argparse.Namespace(
        seed=HELD_OUT_SEED,
        batches=batches,
        minutes=1e9,
        scenes=8,
        height=SCENES_HW[0],
        width=SCENES_HW[1],
        setting=setting,
        device="cpu",
    )
    pool.fill(folder / setting, options)
    examples = []
    for name in pool.batch_names(folder / setting)[:batches]:
        batch = pool.read_batch(folder / setting, name)
        for view in range(0, len(batch.rgb), 2):
            inverse = batch.inverse[view].astype(np.float64)
            examples.append((batch.rgb[view], np.where(inverse > 0, 1.0 / np.maximum(inverse, 1e-6), np.inf)))
    return examples


def judge_photographs(predict: Predictor) -> dict[str, float | list[str]]:
    """Return the shares of hand-labelled pairs that are right, and of depth steps at the pictures' own edges."""
    found, missing = pictures.labelled_pictures()
    right: dict[str, list[bool]] = {"model": [], "ramp": []}
    at_edges, by_chance = [], []
    for picture in found:
        guess = predict(picture.rgb)
        ramp = metrics.vertical_ramp(guess)
        for who, values in (("model", guess), ("ramp", ramp)):
            near, far = (_values_at(values, picture.pairs[:, start : start + 2]) for start in (0, 2))
            right[who] += (near > far).tolist()
        distance = metrics.distances_to(metrics.strongest_slopes(picture.rgb.mean(axis=2), 0.04))
        steps = metrics.strongest_slopes(guess, 0.01)
        at_edges.append(float((distance[steps] <= 3).mean()))
        by_chance.append(float((distance <= 3).mean()))
    return {
        "pairs": float(len(right["model"])),
        "pairs_right": float(np.mean(right["model"])),
        "pairs_right_ramp": float(np.mean(right["ramp"])),
        "steps_within_3px_of_picture_edges": float(np.mean(at_edges)),
        "steps_by_chance": float(np.mean(by_chance)),
        "pictures_missing": missing,
    }


def evaluate(checkpoint: Path, scenes: Path, batches: int, base_size: int | None = None) -> dict[str, object]:
    """Return all measurements of a checkpoint."""
    predict = load_predictor(checkpoint, base_size)
    result: dict[str, object] = {}
    for setting in pool.SETTINGS:
        result[f"synthetic, {setting}"] = measure_all(predict, held_out(scenes, setting, batches))
    pair = pictures.motorcycle()
    if pair is not None:
        result["motorcycle"] = measure_all(predict, [pair])
    result["photographs"] = judge_photographs(predict)
    return result


def table(result: dict[str, object]) -> str:
    """Return the measurements as a Markdown table and two lines."""
    lines = [
        "| set | who | AbsRel < 20 m (median) | δ1 < 20 m | AbsRel | δ1 | pairs | edges: px, within 3 px |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in result.items():
        if not isinstance(rows, list):
            continue
        for row in rows:
            edges = "" if math.isnan(row.edge_px) else f"{row.edge_px:.1f}, {row.edges_within_3px:.2f}"
            lines.append(
                f"| {name} | {row.who} | {row.abs_rel_near:.3f} ({row.abs_rel_near_median:.3f}) | {row.delta1_near:.3f} "
                f"| {row.abs_rel:.3f} | {row.delta1:.3f} | {row.ordered:.3f} | {edges} |"
            )
    photographs = result["photographs"]
    assert isinstance(photographs, dict)
    lines.append("")
    lines.append(
        f"Hand-labelled pairs on photographs: {photographs['pairs_right']:.3f} of {photographs['pairs']:.0f} right "
        f"(ramp {photographs['pairs_right_ramp']:.3f}). Depth steps within 3 px of the pictures' own edges: "
        f"{photographs['steps_within_3px_of_picture_edges']:.2f} (by chance {photographs['steps_by_chance']:.2f})."
    )
    if photographs["pictures_missing"]:
        lines.append(f"Not installed, so not judged: {', '.join(photographs['pictures_missing'])}.")
    return "\n".join(lines)


def _values_at(values: metrics.FloatMap, points: NDArray[np.float64]) -> metrics.FloatMap:
    height, width = values.shape
    columns = np.minimum((points[:, 0] * width).astype(int), width - 1)
    rows = np.minimum((points[:, 1] * height).astype(int), height - 1)
    return values[rows, columns]


def _mean(who: str, rows: list[Row]) -> Row:
    columns = {key: [asdict(row)[key] for row in rows] for key in asdict(rows[0]) if key != "who"}
    means = {
        key: float(np.nanmean(values)) if np.isfinite(values).any() else math.nan for key, values in columns.items()
    }
    means["abs_rel_near_median"] = float(np.median(columns["abs_rel_near"]))
    return Row(who=who, **means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="safetensors, or a training state")
    parser.add_argument("--scenes", type=Path, default=Path("held_out"), help="folder the held-out scenes are kept in")
    parser.add_argument("--batches", type=int, default=20, help="of 8 scenes, for each setting")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    parser.add_argument(
        "--base-size", type=int, help="shorter side of the network's input; the family's own if not given"
    )
    options = parser.parse_args()
    result = evaluate(options.checkpoint, options.scenes, options.batches, options.base_size)
    print(table(result))
    if options.json:
        plain = {
            name: [asdict(row) for row in rows] if isinstance(rows, list) else rows for name, rows in result.items()
        }
        options.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
