"""Folders of pictures with measured depth. Knows no network.

::

    rgb/     or color/   pictures, sorted by name
    depth/               16-bit PNG, or TIFF, of one channel, as many, in the same order; 0 is unknown
    intrinsics.txt       optional: fx fy cx cy, pixels of the depth pictures
    poses.txt            optional: a line a frame, the 12 or 16 numbers of world_from_camera by rows
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..geometry import Intrinsics
from .truth import TruthFrame

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DEPTHS = (".png", ".tif", ".tiff")


def is_rgbd_folder(folder: Path) -> bool:
    """Return whether ``folder`` looks like pictures with depth."""
    return (folder / "depth").is_dir() and _picture_folder(folder) is not None


def read_rgbd(
    folder: Path, *, units_per_metre: float = 1000.0, fps: float = 25.0, limit: int = 300
) -> list[TruthFrame]:
    """Return the frames of an RGB-D folder; the pictures are brought to the depth's size.

    Args:
        folder: Laid out as this module says.
        units_per_metre: What the depth pictures count in: 1000 for millimetres, 5000 for the TUM data sets.
        fps: Frames per second.
        limit: Most frames to read.

    Raises:
        SourceError: The folder lacks something, or the parts do not match.
    """
    pictures_folder = _picture_folder(folder)
    if pictures_folder is None or not (folder / "depth").is_dir():
        raise SourceError(f"{folder} is no RGB-D folder: it needs rgb/ (or color/) and depth/")
    pictures, depths = _sorted_files(pictures_folder, PICTURES), _sorted_files(folder / "depth", DEPTHS)
    if not pictures or len(pictures) != len(depths):
        raise SourceError(
            f"{folder} holds {len(pictures)} pictures and {len(depths)} depth pictures; it takes as many of both, at least one"
        )
    poses = _read_poses(folder / "poses.txt", len(pictures))
    frames = []
    for number, (picture, depth) in enumerate(zip(pictures[:limit], depths[:limit], strict=True)):
        inverse = _read_inverse(depth, units_per_metre)
        height, width = inverse.shape
        frames.append(
            TruthFrame(
                _read_picture(picture, (width, height)),
                inverse,
                number / fps,
                first_of_shot=number == 0,
                world_from_camera=None if poses is None else poses[number],
                intrinsics=_read_intrinsics(folder / "intrinsics.txt", width, height),
            )
        )
    return frames


def _picture_folder(folder: Path) -> Path | None:
    return next((folder / name for name in ("rgb", "color") if (folder / name).is_dir()), None)


def _sorted_files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _read_picture(path: Path, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    image = _decode(path, cv2.IMREAD_COLOR)
    if (image.shape[1], image.shape[0]) != size_wh:
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _read_inverse(path: Path, units_per_metre: float) -> NDArray[np.float32]:
    depth = _decode(path, cv2.IMREAD_UNCHANGED)
    if depth.ndim != 2:
        raise SourceError(f"{path} has {depth.shape[2]} channels; depth has one")
    metres = depth.astype(np.float32) / np.float32(units_per_metre)
    known = np.isfinite(metres) & (metres > 0)
    return np.where(known, 1 / np.where(known, metres, 1), 0).astype(np.float32)


def _decode(path: Path, flags: int) -> cv2.typing.MatLike:
    # Read by Python, not by OpenCV, which cannot open every path on Windows.
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    if image is None:
        raise SourceError(f"{path} is no picture that can be read")
    return image


def _read_intrinsics(path: Path, width: int, height: int) -> Intrinsics | None:
    if not path.is_file():
        return None
    numbers = _numbers(path)
    if numbers.size != 4:
        raise SourceError(f"{path} holds {numbers.size} numbers; it takes four: fx fy cx cy")
    fx, fy, cx, cy = numbers.tolist()
    return Intrinsics(fx, fy, cx, cy, width, height, "file")


def _read_poses(path: Path, count: int) -> NDArray[np.float64] | None:
    if not path.is_file():
        return None
    numbers = _numbers(path)
    if numbers.size not in (12 * count, 16 * count):
        raise SourceError(f"{path} holds {numbers.size} numbers; it takes 12 or 16 for each of the {count} frames")
    poses = np.tile(np.eye(4), (count, 1, 1))
    rows = numbers.size // count // 4
    poses[:, :rows] = numbers.reshape(count, rows, 4)
    return poses


def _numbers(path: Path) -> NDArray[np.float64]:
    try:
        return np.array(path.read_text().replace(",", " ").split(), np.float64)
    except ValueError as error:
        raise SourceError(f"{path} does not hold numbers alone: {error}") from error
