"""Lay pictures and the depth a checkpoint gives them side by side, as one JPEG or PNG to look at."""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .evaluate import load_predictor
from .pictures import load_picture

REDISTRIBUTABLE = (
    "bigbuckbunny:10",
    "bigbuckbunny:60",
    "bigbuckbunny:120",
    "skimage:astronaut",
    "skimage:coffee",
    "skimage:chelsea",
    "skimage:camera",
    "skimage:rocket",
)
"""What the model card shows: Big Buck Bunny is CC-BY 3.0 (Blender Foundation), the photographs are CC0 or public domain."""
TILE_WH = (320, 200)


def sheet(checkpoint: Path, names: tuple[str, ...], columns: int = 2) -> NDArray[np.uint8]:
    """Return one picture (H, W, 3) BGR: each tile a picture beside its depth, nearer is brighter."""
    predict = load_predictor(checkpoint)
    tiles = []
    for name in names:
        rgb = load_picture(name)
        if rgb is None:
            continue
        depth = predict(rgb)
        low, high = np.percentile(depth, (1.0, 99.0))
        shade = (np.clip((depth - low) / max(float(high - low), 1e-6), 0.0, 1.0) * 255.0).astype(np.uint8)
        pair = np.concatenate([rgb[..., ::-1], cv2.applyColorMap(shade, cv2.COLORMAP_INFERNO)], axis=1)
        tiles.append(_fitted(pair, (2 * TILE_WH[0], TILE_WH[1])))
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=0)


def _fitted(picture: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture scaled into the size, its aspect kept, on black."""
    height, width = picture.shape[:2]
    scale = min(size_wh[0] / width, size_wh[1] / height)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    top, left = (size_wh[1] - small.shape[0]) // 2, (size_wh[0] - small.shape[1]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--pictures", nargs="*", default=REDISTRIBUTABLE, help="names as in pairs.json")
    options = parser.parse_args()
    cv2.imwrite(str(options.target), sheet(options.checkpoint, tuple(options.pictures)), [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
