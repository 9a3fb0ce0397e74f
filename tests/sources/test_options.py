import re
from fractions import Fraction

import pytest

from dptstream.sources import Crop, SourceOptions, Time, parse_crop, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("1:02.5", Fraction("62.5")), ("1:00:00", 3600), (".5", Fraction(1, 2)), ("0", 0)],
)
def test_a_time_is_read_as_exact_seconds(text, seconds):
    assert parse_time(text) == Time(Fraction(seconds), "seconds")


def test_a_time_ending_in_f_counts_frames():
    assert parse_time(" 120f ") == Time(Fraction(120), "frames")


@pytest.mark.parametrize("text", ["", "s", "-3", "1:2:3:4", "1.5f", "ten", "1:", "3 s x"])
def test_a_time_rejects_what_it_cannot_read_and_says_how_to_write_it(text):
    with pytest.raises(ValueError, match=re.escape("write 90, 30s, 1:02.5, 1:00:00 or 120f")):
        parse_time(text)


def test_a_crop_is_read_as_x_y_width_height():
    assert parse_crop("0, 60,1920,960") == Crop(0, 60, 1920, 960)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,4,4", "1.5,0,4,4"])
def test_a_crop_rejects_what_it_cannot_read(text):
    with pytest.raises(ValueError, match="write x,y,width,height"):
        parse_crop(text)


def test_a_crop_rejects_an_empty_window():
    with pytest.raises(ValueError, match="width, height > 0"):
        parse_crop("0,0,0,5")


@pytest.mark.parametrize("name", ["every", "fps", "picture_rate", "open_timeout_s", "read_timeout_s"])
def test_options_reject_numbers_that_are_not_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive; got 0"):
        SourceOptions(**{name: 0})


def test_options_reject_an_end_before_the_start():
    with pytest.raises(ValueError, match="start must lie before end; got 5s and 5s"):
        SourceOptions(start=parse_time("5"), end=parse_time("5"))
