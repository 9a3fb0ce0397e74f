import pytest

from dptstream.viewer.hud import Lettering, lettering
from dptstream.viewer.keys import key_lines

STATUS = ["cam1 at tcp://127.0.0.1:5577 | playing | 924x518 metric | 478,632 points | " * 3 + "x", "points | near 1"]


def lettered(top: list[str], bottom: list[str], size_wh: tuple[int, int]) -> tuple[Lettering, list[list[float]]]:
    """Return the lettering and its papers: left, top, right, bottom."""
    pytest.importorskip("PIL")
    found = lettering(top, bottom, size_wh)
    assert found is not None
    return found, found.corners[found.depths == found.depths.max()].tolist()


@pytest.mark.parametrize("size_wh", [(1280, 800), (960, 640), (1280, 400)])
def test_keys_and_status_stay_in_the_window_and_cover_nothing_of_each_other(size_wh: tuple[int, int]) -> None:
    found, papers = lettered(key_lines(), STATUS, size_wh)
    assert found.corners.min() >= 0
    assert (found.corners[:, 2:] <= size_wh).all()
    for number, (left, top, right, bottom) in enumerate(papers):
        for other in papers[number + 1 :]:
            assert right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3]


def test_keys_stand_in_one_column_where_there_is_room() -> None:
    assert len(lettered(key_lines(), ["short"], (1280, 800))[1]) == 2
    assert len(lettered(key_lines(), ["short"], (1280, 400))[1]) == 3


def test_a_window_too_small_for_a_letter_has_its_words_all_the_same() -> None:
    lettered(key_lines(), STATUS, (64, 64))


def test_no_words_need_no_paper() -> None:
    found, papers = lettered(["one"], [], (200, 100))
    assert len(papers) == 1
    assert len(found.corners) > 1
