"""What ``convert`` tells of a run."""

import pytest

from dptstream.cli.screen import counted, flicker_words
from dptstream.temporal import FlickerScore


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.02, 0.005, "0.50% after smoothing, 75% less (where"),
        (0.01, 0.018, "1.80% after smoothing, 80% more (where"),
        (0.01, 0.01, "1.00% after smoothing, 0% less (where"),
        (0.0, 0.0, "0.00% after smoothing (where"),
    ],
)
def test_flicker_is_told_as_less_or_more(before: float, after: float, said: str) -> None:
    assert said in flicker_words(FlickerScore(before, after, 0.5))


def test_flicker_that_nobody_could_see_is_not_made_up() -> None:
    assert flicker_words(FlickerScore(None, None, 0.0)) == "not measured: nothing stood still in this clip"


def test_one_is_no_plural() -> None:
    assert [counted(count, "shot") for count in (0, 1, 2)] == ["0 shots", "1 shot", "2 shots"]
