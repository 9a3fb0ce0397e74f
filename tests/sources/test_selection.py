from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from dptstream.sources import SourceOptions, parse_time
from dptstream.sources.selection import FrameSelector, Verdict, expected_count


def kept(options: SourceOptions, times: list[Fraction]) -> list[int]:
    selector = FrameSelector(options)
    numbers = []
    for number, seconds in enumerate(times):
        verdict = selector.judge(number, seconds)
        if verdict is Verdict.STOP:
            break
        if verdict is Verdict.KEEP:
            numbers.append(number)
    return numbers


def even_times(count: int, rate: int) -> list[Fraction]:
    return [Fraction(number, rate) for number in range(count)]


def test_everything_is_kept_by_default():
    assert kept(SourceOptions(), even_times(5, 25)) == [0, 1, 2, 3, 4]


def test_the_start_belongs_to_the_range_and_the_end_does_not():
    options = SourceOptions(start=parse_time("0.2"), end=parse_time("0.4"))
    assert kept(options, even_times(20, 10)) == [2, 3]


def test_start_and_end_may_count_frames():
    assert kept(SourceOptions(start=parse_time("3f"), end=parse_time("6f")), even_times(20, 10)) == [3, 4, 5]


def test_every_counts_from_the_first_frame_wanted():
    options = SourceOptions(start=parse_time("3f"), every=4)
    assert kept(options, even_times(16, 25)) == [3, 7, 11, 15]


def test_fps_takes_frames_evenly():
    assert kept(SourceOptions(fps=Fraction(10)), even_times(10, 50)) == [0, 5]


def test_fps_keeps_all_frames_of_a_slower_source():
    assert kept(SourceOptions(fps=Fraction(60)), even_times(9, 24)) == list(range(9))


def test_fps_keeps_all_frames_of_a_source_of_the_same_rate_whose_times_are_rounded_to_milliseconds():
    times = [Fraction(round(number * 1000 / 30), 1000) for number in range(90)]
    assert kept(SourceOptions(fps=Fraction(30)), times) == list(range(90))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 30))
def test_fps_never_exceeds_the_rate_however_frames_are_spread(gaps_ms, fps):
    times = [Fraction(sum(gaps_ms[:number]), 1000) for number in range(len(gaps_ms))]
    numbers = kept(SourceOptions(fps=Fraction(fps)), times)
    assert numbers[0] == 0
    span = times[numbers[-1]] - times[0]
    # A frame may come a tenth of a turn early, so that rounded times do not lose it.
    assert len(numbers) - 1 <= span * fps + Fraction(1, 10)


@given(
    st.integers(1, 200),
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 40)),
    st.integers(0, 50),
    st.integers(51, 300),
)
def test_the_expected_count_is_what_is_kept_of_an_even_source(total, every, fps, start, end):
    options = SourceOptions(
        start=parse_time(f"{start}f"), end=parse_time(f"{end}f"), every=every, fps=Fraction(fps) if fps else None
    )
    expected = expected_count(total, Fraction(25), options)
    actual = len(kept(options, even_times(total, 25)))
    if fps is None:
        assert expected == actual
    else:
        assert expected is not None
        assert abs(expected - actual) <= max(1, 0.25 * actual)


def test_the_expected_count_is_unknown_without_a_total():
    assert expected_count(None, Fraction(25), SourceOptions()) is None


def test_the_expected_count_of_an_endless_source_with_an_end_is_known():
    assert expected_count(None, Fraction(25), SourceOptions(end=parse_time("2s"))) == 50
