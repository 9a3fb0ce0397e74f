"""Cuts between scenes that look alike in brightness, as the filter must meet them."""

import numpy as np
import pytest

from dptstream.sources.synthetic import SyntheticSettings, SyntheticSource
from dptstream.temporal import SceneCutDetector


@pytest.mark.parametrize("seed", [4711, 4712])
def test_cuts_between_rooms_of_one_style_are_found_and_no_others(seed: int) -> None:
    random, detector = np.random.default_rng(seed), SceneCutDetector()
    with SyntheticSource(SyntheticSettings(width=192, height=108, frames=30, cuts=6, seed=seed)) as source:
        found = [
            frame.sequence
            for frame in source
            if detector.step(np.clip(frame.image + random.normal(0, 2.5, frame.image.shape), 0, 255).astype(np.uint8))
        ]
    assert found == [6, 12, 18, 24]
