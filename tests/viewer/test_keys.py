import pytest

from dptstream.viewer.keys import FILTERS, KEYS, key_lines, key_table, words
from dptstream.viewer.settings import ViewSettings

BY_NAME = {key.name: key for key in KEYS}
START = ViewSettings()


def press(settings: ViewSettings, name: str, times: int = 1, way: int = 1) -> ViewSettings:
    for _ in range(times):
        settings = BY_NAME[name].change(settings, way)
    return settings


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
@pytest.mark.parametrize("way", [1, -1])
def test_no_key_leads_to_settings_that_cannot_be_shown(key: object, way: int) -> None:
    settings = START
    for _ in range(120):
        settings = key.change(settings, way)  # type: ignore[attr-defined]  # ViewSettings checks itself


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_changes_something(key: object) -> None:
    assert key.change(START, 1) != START  # type: ignore[attr-defined]


def test_c_goes_round_the_three_ways_to_colour() -> None:
    seen = [press(START, "C", times) for times in range(4)]
    assert [(some.color, some.color_range) for some in seen[:3]] == [
        ("picture", "equalized"),
        ("depth", "equalized"),
        ("depth", "fixed"),
    ]
    assert seen[3].color == "picture"


def test_keys_1_to_5_switch_realsenses_filters() -> None:
    for number, name in enumerate(FILTERS, start=1):
        on = press(START, str(number))
        assert [other for other in FILTERS if getattr(on.filters, other).enabled] == [name]
        assert press(on, str(number)) == START


def test_shift_undoes_what_a_key_does() -> None:
    for name in "NFTP":
        back = press(press(START, name), name, way=-1)
        assert back.near == pytest.approx(START.near)
        assert back.far == pytest.approx(START.far)
        assert back.edge_threshold == pytest.approx(START.edge_threshold)
        assert back.point_size == START.point_size


def test_every_key_is_listed() -> None:
    lines = key_lines()
    assert all(any(line.startswith(f"{key.name} ") for line in lines) for key in KEYS)


def test_in_a_terminal_what_keys_do_stands_in_a_column() -> None:
    table = key_table()
    where = {line.index(key.does) for key in KEYS for line in table if line.split() == [key.name, *key.does.split()]}
    assert len(where) == 1
    assert len(table) == len(key_lines()) + 2  # the mouse has a line for each of three
    assert max(map(len, table)) < 80


def test_words_tell_what_was_changed() -> None:
    assert "surface" in words(press(START, "M"))
    assert "depth (fixed, jet)" in words(press(START, "C", 2))
    assert "edges whole" in words(press(START, "E"))
    assert "filters: spatial" in words(press(START, "3"))
