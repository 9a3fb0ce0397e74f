import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dptstream.sources.timeline import Stamp, Timeline

MILLISECONDS = Fraction(1, 1000)


def stamps(stated: list[int | None], *, duration: int | None = None) -> list[Stamp]:
    timeline = Timeline(MILLISECONDS, frame_ticks=40)
    return [timeline.stamp(pts, duration) for pts in stated]


def test_increasing_times_are_kept_as_they_are():
    assert stamps([7, 47, 90, 5000]) == [Stamp(7), Stamp(47), Stamp(90), Stamp(5000)]


def test_a_missing_time_follows_from_the_frame_before():
    assert [stamp.pts for stamp in stamps([100, None, None])] == [100, 140, 180]


def test_a_missing_time_follows_from_the_stated_duration():
    assert [stamp.pts for stamp in stamps([100, None], duration=33)] == [100, 133]


def test_times_that_are_all_missing_count_from_zero():
    assert [stamp.pts for stamp in stamps([None, None, None])] == [0, 40, 80]


def test_a_repeated_time_moves_by_one_tick_and_the_next_one_is_true_again():
    assert stamps([0, 40, 40, 80]) == [Stamp(0), Stamp(40), Stamp(41, repaired=True), Stamp(80)]


def test_a_jump_back_goes_on_in_time_and_is_marked():
    assert stamps([9000, 9040, 0, 40]) == [
        Stamp(9000),
        Stamp(9040),
        Stamp(9080, discontinuity=True, repaired=True),
        Stamp(9120),
    ]


@given(st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9)), max_size=50))
def test_times_always_increase(stated):
    given_pts = [stamp.pts for stamp in stamps(stated)]
    assert all(before < after for before, after in itertools.pairwise(given_pts))
