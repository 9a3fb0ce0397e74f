"""Labelled sheets of pictures: maps of numbers coloured, tiled and captioned. Knows no network and writes no file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""

PAPER, INK, FAINT = (24, 24, 28), (236, 236, 236), (160, 160, 168)
MARGIN, CAPTION, HEADER_LINE = 14, 46, 30
SHEET_WIDTH = 1880
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of a sheet."""

    title: str
    """What is shown."""
    image: Image
    """The picture, any size; it is brought to the sheet's width of a panel."""
    note: str = ""
    """A second line, such as the range of the values."""


def sheet(title: str, subtitle: str, panels: Sequence[Panel], *, columns: int) -> Image:
    """Lay panels out in rows under a title, each under its caption and in the shape of the first."""
    width = (SHEET_WIDTH - MARGIN * (columns + 1)) // columns
    height = max(1, round(panels[0].image.shape[0] * width / panels[0].image.shape[1]))
    row_count = math.ceil(len(panels) / columns)
    top, row_height = MARGIN + 2 * HEADER_LINE, CAPTION + height + MARGIN
    canvas = np.full((top + row_count * row_height + MARGIN, SHEET_WIDTH, 3), PAPER, np.uint8)
    _write(canvas, title, (MARGIN, MARGIN + 20), scale=0.85, color=INK, width=SHEET_WIDTH - 2 * MARGIN)
    _write(canvas, subtitle, (MARGIN, MARGIN + 48), scale=0.55, color=FAINT, width=SHEET_WIDTH - 2 * MARGIN)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left, upper = MARGIN + column * (width + MARGIN), top + row * row_height
        _write(canvas, panel.title, (left, upper + 17), scale=0.52, color=INK, width=width)
        _write(canvas, panel.note, (left, upper + 36), scale=0.44, color=FAINT, width=width)
        upper += CAPTION
        canvas[upper : upper + height, left : left + width] = _scaled(panel.image, (width, height))
    return canvas


def heat(values_hw: NDArray[np.float32], *, span: tuple[float, float] | None = None) -> Image:
    """Colour numbers from dark (low) to bright; ``span`` is theirs, without the outermost hundredth, unless given."""
    low, high = span or (float(np.quantile(values_hw, 0.005)), float(np.quantile(values_hw, 0.995)))
    scaled_hw = np.clip((values_hw - low) / max(high - low, 1e-12), 0, 1)
    colored: Image = cv2.applyColorMap((scaled_hw * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colored[..., ::-1])


def overlay(picture: Image, values_hw: NDArray[np.float32]) -> Image:
    """Lay coloured numbers over a picture in grey, each over the cells it stands for."""
    height, width = picture.shape[:2]
    colored = cv2.resize(
        heat(values_hw, span=(0.0, float(values_hw.max()))), (width, height), interpolation=cv2.INTER_NEAREST
    )
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(gray, 0.35, colored, 0.75, 0), np.uint8)


def principal_colors(features_chw: NDArray[np.float32]) -> Image:
    """Show many channels as colours: red, green and blue are the three directions in which they vary most."""
    channels, height, width = features_chw.shape
    centred_nc = features_chw.reshape(channels, -1).T.astype(np.float64)
    centred_nc -= centred_nc.mean(axis=0)
    _, vectors = np.linalg.eigh(centred_nc.T @ centred_nc)  # ascending
    main_n3 = centred_nc @ vectors[:, ::-1][:, :3]
    spread_3 = 4 * main_n3.std(axis=0) + 1e-12
    colors = np.clip(main_n3 / spread_3 + 0.5, 0, 1) * 255
    if colors.shape[1] < 3:
        colors = np.repeat(colors[:, :1], 3, axis=1)
    return np.asarray(colors.round().reshape(height, width, 3), np.uint8)


def mark(picture: Image, point: tuple[float, float]) -> Image:
    """Draw a ring around a point (x, y) in [0, 1) of a picture."""
    marked = picture.copy()
    height, width = picture.shape[:2]
    centre = (int(point[0] * width), int(point[1] * height))
    radius = max(4, round(0.02 * max(height, width)))
    for thickness, color in ((radius // 2 + 2, (0, 0, 0)), (max(2, radius // 4), (90, 255, 90))):
        cv2.circle(marked, centre, radius, color, thickness, cv2.LINE_AA)
    return marked


def span_note(values: NDArray[np.float32]) -> str:
    """Return the range of numbers as a note."""
    return f"{float(values.min()):.3g} .. {float(values.max()):.3g}"


def _scaled(image: Image, size_wh: tuple[int, int]) -> Image:
    # Enlarged cells keep their edges: one sees which patch a number belongs to.
    way = cv2.INTER_AREA if size_wh[0] < image.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size_wh, interpolation=way), np.uint8)


def _write(
    canvas: Image, text: str, at: tuple[int, int], *, scale: float, color: tuple[int, int, int], width: int
) -> None:
    """Write one line of ASCII, made smaller where it would be longer than ``width`` pixels."""
    if not text:
        return
    length = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    cv2.putText(canvas, text, at, FONT, scale * min(1.0, width / length), color, 1, cv2.LINE_AA)
