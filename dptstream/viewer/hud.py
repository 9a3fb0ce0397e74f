"""Words on the screen of a window that knows no text: lettering as small rectangles in front of the eye. Needs Pillow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT_PIXELS = 14
_LINE_PIXELS = 19
_MARGIN = 8
_INK, _PAPER = (0.93, 0.93, 0.93), (0.07, 0.07, 0.09)
_DEPTH_PAPER, _DEPTH_INK = 0.0202, 0.0200
"""Distances from the eye at which paper and ink lie, scene units: in front of everything that is looked at."""
_Box = tuple[float, float, float, float]
NEAREST = 0.01
"""Nothing nearer than this is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Lettering:
    """Rectangles on the screen."""

    corners: NDArray[np.float64]
    """(N, 4) left, top, right, bottom in pixels."""
    depths: NDArray[np.float64]
    """(N,) distance from the eye."""
    colors: NDArray[np.float64]
    """(N, 3) RGB, 0 to 1."""

    def mesh(
        self, matrix: NDArray[np.float64], scene_from_eye: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
        """Return (4N, 3) vertices in the scene, their colours and (2N, 3) triangles.

        Args:
            matrix: (3, 3) camera of the window, pixels; whole numbers are pixels' middles.
            scene_from_eye: (4, 4) pose of the eye.
        """
        x = self.corners[:, [0, 0, 2, 2]] - 0.5 - matrix[0, 2]
        y = self.corners[:, [1, 3, 3, 1]] - 0.5 - matrix[1, 2]
        depth = self.depths[:, None].repeat(4, axis=1)
        eye = np.stack([x / matrix[0, 0] * depth, y / matrix[1, 1] * depth, depth], axis=-1).reshape(-1, 3)
        vertices = eye @ scene_from_eye[:3, :3].T + scene_from_eye[:3, 3]
        first = np.arange(len(self.corners), dtype=np.int32)[:, None] * 4
        triangles = (first + np.array([0, 1, 2, 0, 2, 3], np.int32)).reshape(-1, 3)
        return np.ascontiguousarray(vertices), self.colors.repeat(4, axis=0), triangles


def lettering(top: Sequence[str], bottom: Sequence[str], size_wh: tuple[int, int]) -> Lettering | None:
    """Return lines in both corners at the left of a window; None where Pillow is not installed.

    Args:
        top: Lines at the top, in as many columns as it takes to leave the bottom free.
        bottom: Lines at the bottom; what is too long goes on in the next line after a ``|``.
        size_wh: Width and height of the window, pixels.
    """
    try:
        from PIL import ImageFont
    except ImportError:
        return None
    font = ImageFont.load_default(TEXT_PIXELS)
    width, height = size_wh
    bottom = _wrapped(bottom, width - 4 * _MARGIN, font.getlength)
    free = height - 3 * _MARGIN - (len(bottom) * _LINE_PIXELS + 2 * _MARGIN if bottom else 0)
    rows = max(1, free // _LINE_PIXELS)
    boxes, inked, left = [], [], _MARGIN
    for first in range(0, len(top), rows):
        box, runs = _block(top[first : first + rows], left, _MARGIN, font)
        boxes.append(box)
        inked += runs
        left = round(box[2])
    if bottom:
        box, runs = _block(bottom, _MARGIN, height - len(bottom) * _LINE_PIXELS - 2 * _MARGIN, font)
        boxes.append(box)
        inked += runs
    corners = np.array([*boxes, *inked], float).reshape(-1, 4)
    papers = np.arange(len(corners)) < len(boxes)
    return Lettering(
        corners, np.where(papers, _DEPTH_PAPER, _DEPTH_INK), np.where(papers[:, None], _PAPER, _INK).astype(float)
    )


def _wrapped(lines: Sequence[str], width: float, length: Callable[[str], float]) -> list[str]:
    wrapped: list[str] = []
    for line in lines:
        row = ""
        for part in line.split(" | "):
            longer = f"{row} | {part}" if row else part
            if row and length(longer) > width:
                wrapped.append(row)
                longer = part
            row = longer
        wrapped.append(row)
    return wrapped


def _block(lines: Sequence[str], left: int, top: int, font: Any) -> tuple[_Box, list[_Box]]:
    """Return the paper of some lines and the ink on it: left, top, right, bottom in pixels."""
    from PIL import Image, ImageDraw

    width = max(1, *(round(font.getlength(line)) for line in lines)) + 2
    tall = len(lines) * _LINE_PIXELS
    image = Image.new("1", (width, tall))
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    for number, line in enumerate(lines):
        draw.text((1, number * _LINE_PIXELS + 1), line, fill=1, font=font)
    paper = (left, top, left + 2 * _MARGIN + width, top + tall + _MARGIN)
    return paper, _runs(np.asarray(image), left + _MARGIN, top + _MARGIN // 2)


def _runs(mask: NDArray[np.bool_], left: float, top: float) -> list[_Box]:
    """Return one rectangle for each run of set pixels in a row."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, begins = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return [
        (left + begin, top + row, left + end, top + row + 1)
        for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True)
    ]
