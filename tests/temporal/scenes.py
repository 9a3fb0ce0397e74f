"""Short made-up shots for the tests of smoothing: exact, spoiled, or a single picture held still."""

from fractions import Fraction

import numpy as np

from dptstream.frames import DepthFrame, VideoFrame
from dptstream.geometry import DepthKind
from dptstream.temporal import CausalFilter, FilterState


def picture(seed: int = 0, height: int = 48, width: int = 80) -> np.ndarray:
    """A picture with structure at every size."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(40, 200, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(coarse + random.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def slope(height: int = 48, width: int = 80) -> np.ndarray:
    """An inverse depth with a floor and a box on it."""
    depth = np.linspace(0.2, 1.0, height, dtype=np.float32)[:, None].repeat(width, 1)
    depth[10:24, 20:44] = 1.4
    return depth


def depth_frame(
    depth: np.ndarray,
    image: np.ndarray,
    number: int,
    *,
    kind: DepthKind = DepthKind.RELATIVE_INVERSE,
    time_base: Fraction = Fraction(1, 25),
    pts: int | None = None,
    scene_cut: bool = False,
) -> DepthFrame:
    video = VideoFrame(image, number, number if pts is None else pts, time_base)
    return DepthFrame(depth.astype(np.float32), kind, video, scene_cut=scene_cut)


def run(
    smoother: CausalFilter, frames: list[DepthFrame], state: FilterState | None = None
) -> tuple[list[np.ndarray], FilterState | None]:
    results = []
    for frame in frames:
        depth, state = smoother.step(frame, state)
        results.append(depth)
    return results, state
