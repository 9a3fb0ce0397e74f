"""A row of frames above their depth.

Converts a clip with ``dptstream convert``'s own parts, then lays the pictures of its preview below the frames they belong
to: a quick look at what a model makes of a shot. Uses ``DepthFolder``, ``read_manifest`` and ``open_source``.

    python examples/05_contact_sheet.py [CLIP] [SHEET.jpg] [MODEL]
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from dptstream.engine import Engine
from dptstream.models import load_model
from dptstream.sinks import DepthFolder, FolderOptions, read_manifest
from dptstream.sources import SourceOptions, open_source

CLIP = Path(__file__).parent / "media" / "big_buck_bunny.mp4"
COLUMNS, WIDTH = 4, 320


def pictures_of(path: str | Path, options: SourceOptions | None = None) -> list[np.ndarray]:
    """Return ``COLUMNS`` pictures spread evenly over a clip."""
    with open_source(str(path), options) as source:
        pictures = [frame.image.copy() for frame in source]
    return [pictures[index] for index in np.linspace(0, len(pictures) - 1, COLUMNS).round().astype(int)]


def row_of(pictures: list[np.ndarray]) -> np.ndarray:
    height, width = pictures[0].shape[:2]
    return np.hstack([cv2.resize(picture, (WIDTH, WIDTH * height // width)) for picture in pictures])


def main(clip: str = str(CLIP), sheet: str = "contact_sheet.jpg", model: str = "tiny") -> None:
    part = SourceOptions(every=8)
    with tempfile.TemporaryDirectory() as parent, open_source(clip, part) as source:
        options = FolderOptions(Path(parent) / "depth", formats=("preview",), audio=False)
        Engine(source, load_model(model), [DepthFolder(options)]).run()
        manifest = read_manifest(options.directory)
        rows = np.vstack([row_of(pictures_of(clip, part)), row_of(pictures_of(options.directory / "preview.mp4"))])
    cv2.imwrite(sheet, cv2.cvtColor(rows, cv2.COLOR_RGB2BGR))
    print(f"{sheet}: {COLUMNS} of {manifest['counts']['frames']} frames; {manifest['values']['meaning']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
