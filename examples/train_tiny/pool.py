"""A folder of rendered scenes: one process writes batches, another reads them in any order.

A batch of B scenes is three arrays that can be mapped into memory: ``N.rgb.npy`` (2B, H, W, 3) uint8,
``N.inverse.npy`` (2B, H, W) float16 in 1/m, ``N.flow.npy`` (B, H, W, 2) float16 in pixels from view 0
to view 1, NaN where hidden. Views of scene i are 2i and 2i + 1. The flow is written last: where it is,
the batch is whole.
"""

import argparse
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from .draw import draw_batch
from .places import TRAINING, UNFAMILIAR, Setting
from .render import Renderer
from .shading import develop

LOGGER = logging.getLogger("train_tiny.pool")
SETTINGS = {"training": TRAINING, "unfamiliar": UNFAMILIAR}


@dataclass(frozen=True, slots=True)
class RenderedBatch:
    """Two views of each of B scenes."""

    rgb: NDArray[np.uint8]
    """(2B, H, W, 3)."""
    inverse: NDArray[np.float16]
    """(2B, H, W) inverse depth, 1/m; 0 for the sky."""
    flow: NDArray[np.float16]
    """(B, H, W, 2) pixels; NaN where view 1 does not show the point."""


def render_batch(renderer: Renderer, seed: int, count: int, setting: Setting, device: torch.device) -> RenderedBatch:
    """Return ``count`` scenes decided by the seed, rendered on the device."""
    with torch.no_grad():
        scenes = draw_batch(seed, count, setting, device)
        views = [renderer.render(scenes, which) for which in range(2)]
        flow = renderer.flow(scenes, views[0], views[1])
        rng = Random(f"exposure {seed}")  # noqa: S311
        aim = torch.tensor([rng.uniform(0.14, 0.55) for _ in range(count)], device=device)
        linear = torch.stack([view.rgb for view in views], dim=1)  # (B, 2, 3, H, W)
        wide = torch.cat([linear[:, 0], linear[:, 1]], dim=3)  # one exposure for both views
        pictures = torch.stack(develop(wide, aim).chunk(2, dim=3), dim=1).flatten(0, 1)
        inverse = 1.0 / torch.stack([view.depth for view in views], dim=1).flatten(0, 1)
    return RenderedBatch(
        (pictures.permute(0, 2, 3, 1) * 255.0 + 0.5).byte().cpu().numpy(),
        inverse.clamp(0.0, 100.0).half().cpu().numpy(),
        flow.permute(0, 2, 3, 1).clamp(-2000.0, 2000.0).half().cpu().numpy(),
    )


def write_batch(folder: Path, name: str, batch: RenderedBatch) -> None:
    """Write a batch so that a reader never meets half of it."""
    for part in ("rgb", "inverse", "flow"):
        unfinished = folder / f"{name}.{part}.part"
        with unfinished.open("wb") as file:
            np.save(file, getattr(batch, part))
        os.replace(unfinished, folder / f"{name}.{part}.npy")


def batch_names(folder: Path) -> list[str]:
    """Return the names of all whole batches, oldest first."""
    return sorted(path.name.removesuffix(".flow.npy") for path in folder.glob("*.flow.npy"))


def read_batch(folder: Path, name: str) -> RenderedBatch:
    """Map a batch into memory."""
    rgb, inverse, flow = (np.load(folder / f"{name}.{part}.npy", mmap_mode="r") for part in ("rgb", "inverse", "flow"))
    return RenderedBatch(rgb, inverse, flow)


def fill(folder: Path, options: argparse.Namespace) -> None:
    """Render batches into the folder, going on after those that are there, until enough or too late."""
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    renderer = Renderer(options.height, options.width)
    end = time.monotonic() + 60.0 * options.minutes
    done = len(batch_names(folder))
    started, first = time.monotonic(), done
    while done < options.batches and time.monotonic() < end:
        batch = render_batch(renderer, options.seed + done, options.scenes, SETTINGS[options.setting], device)
        write_batch(folder, f"{options.seed + done:08d}", batch)
        done += 1
        if done % 20 == 0:
            rate = 2 * options.scenes * (done - first) / (time.monotonic() - started)
            LOGGER.info("%d batches, %.1f pictures/s", done, rate)


def main() -> None:
    """Fill a pool from the command line."""
    parser = argparse.ArgumentParser(description=fill.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first batch")
    parser.add_argument("--batches", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--scenes", type=int, default=8, help="per batch")
    parser.add_argument("--height", type=int, default=160)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="training")
    parser.add_argument("--device", default="cpu")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = parser.parse_args()
    fill(options.folder, options)


if __name__ == "__main__":
    main()
