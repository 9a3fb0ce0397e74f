"""The display's range: calm, but never far from the values."""

import numpy as np
import pytest

from dptstream.geometry import RangeState, step_range


def ramp(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 4096, dtype=np.float32)


def first(values: np.ndarray) -> RangeState:
    state = step_range(values, 0.0, None)
    assert state is not None
    return state


def after(seconds: float, values: np.ndarray, state: RangeState, *, rate: int = 25) -> RangeState:
    for _ in range(round(seconds * rate)):
        following = step_range(values, state.pts_seconds + 1 / rate, state)
        assert following is not None
        state = following
    return state


def test_the_first_frame_sets_the_range() -> None:
    state = first(ramp(0, 100))
    assert (state.low, state.high) == pytest.approx((2, 98), abs=0.1)


def test_small_changes_leave_it_alone() -> None:
    state = first(ramp(0, 100))
    for scale in (0.97, 1.03):
        later = after(2, ramp(0, 100 * scale), state)
        assert (later.low, later.high) == (state.low, state.high)


def test_it_widens_within_a_second_and_narrows_within_ten() -> None:
    wide = after(1, ramp(0, 200), first(ramp(0, 100)))
    assert wide.high > 170
    assert after(1, ramp(0, 100), wide).high > 150
    assert after(10, ramp(0, 100), wide).high < 120


def test_it_never_jumps_however_far_the_values_do() -> None:
    state = first(ramp(0, 100))
    for values in (ramp(0, 1000), ramp(-1000, -900), ramp(5, 6), ramp(800, 1600)):
        for _ in range(12):
            later = after(0.04, values, state)
            assert later.low < later.high
            reach = max(
                abs(float(end) - held) for end, held in zip(values[[0, -1]], (state.low, state.high), strict=True)
            )
            assert max(abs(later.low - state.low), abs(later.high - state.high)) < 0.13 * reach
            state = later


def test_the_rate_of_frames_does_not_matter() -> None:
    state = first(ramp(0, 100))
    fine, coarse = (after(0.4, ramp(0, 200), state, rate=rate) for rate in (50, 10))
    assert fine.high == pytest.approx(coarse.high, rel=0.02)


def test_time_that_stands_still_or_runs_back_moves_nothing() -> None:
    state = first(ramp(0, 100))
    for pts_seconds in (0.0, -3.0):
        later = step_range(ramp(0, 200), pts_seconds, state)
        assert later is not None
        assert (later.low, later.high) == (state.low, state.high)


def test_frames_without_values_are_passed_over() -> None:
    nothing = np.empty(0, np.float32)
    assert step_range(nothing, 0.0, None) is None
    state = first(ramp(0, 100))
    assert step_range(nothing, 1.0, state) == state


def test_values_that_are_all_equal_have_a_range() -> None:
    for value in (3.0, 0.0, -2.0):
        state = first(np.full(8, value, np.float32))
        assert state.low < state.high
