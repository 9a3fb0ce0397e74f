"""The display's range: calm, but never far from the values."""

import numpy as np
import pytest

from dptstream.temporal.display_range import RangeState, step_range


def ramp(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 64 * 64, dtype=np.float32).reshape(64, 64)


def after(seconds: float, depth: np.ndarray, state: RangeState) -> RangeState:
    for _ in range(round(seconds * 25)):
        state = step_range(depth, state.pts_seconds + 0.04, state)
    return state


def test_the_first_frame_sets_the_range() -> None:
    state = step_range(ramp(0, 100), 0.0, None)
    assert (state.low, state.high) == pytest.approx((2, 98), abs=4)


def test_small_changes_leave_it_alone() -> None:
    first = step_range(ramp(0, 100), 0.0, None)
    for scale in (0.97, 1.03):
        state = step_range(ramp(0, 100 * scale), 0.04, first)
        assert (state.low, state.high) == (first.low, first.high)


def test_it_widens_within_a_second_and_narrows_within_ten() -> None:
    first = step_range(ramp(0, 100), 0.0, None)
    wide = after(1, ramp(0, 200), first)
    assert wide.high > 170
    narrowing = after(1, ramp(0, 100), wide)
    assert narrowing.high > 150
    assert after(10, ramp(0, 100), wide).high < 120


def test_the_rate_of_frames_does_not_matter() -> None:
    first = step_range(ramp(0, 100), 0.0, None)
    fine, coarse = first, first
    for number in range(1, 21):
        fine = step_range(ramp(0, 200), number * 0.02, fine)
    for number in range(1, 6):
        coarse = step_range(ramp(0, 200), number * 0.08, coarse)
    assert fine.high == pytest.approx(coarse.high, rel=0.05)


def test_a_cut_begins_anew() -> None:
    first = step_range(ramp(0, 100), 0.0, None)
    assert step_range(ramp(300, 400), 0.04, first, fresh=True).low > 300


def test_what_is_no_number_does_not_count() -> None:
    depth = ramp(0, 100)
    depth[:32] = np.nan
    depth[0, 0] = np.inf
    state = step_range(depth, 0.0, None)
    assert state.low > 49
    assert step_range(np.full((8, 8), np.nan, np.float32), 0.04, state) == state
    assert step_range(np.full((8, 8), 3, np.float32), 0.0, None).high > 3
