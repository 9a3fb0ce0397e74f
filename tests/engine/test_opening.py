"""Sources opened at the same time, so that one that does not answer holds up nobody."""

import threading
from collections.abc import Callable

import pytest

from dptstream.engine import opening as opening_module
from dptstream.engine.opening import Opening, look_at
from dptstream.errors import SourceAwayError, SourceError
from dptstream.sources import open_source
from dptstream.sources.playback import Playback

CLIP = "synthetic:scene=wall,width=16,height=12,frames=4"


def clip() -> Playback:
    return Playback(lambda options: open_source(CLIP, options))


def failing(error: Exception) -> Callable[[], Playback]:
    def fail() -> Playback:
        raise error

    return fail


def test_what_is_there_is_given_once_and_then_opened_anew() -> None:
    opening = Opening("cam1", clip)
    first = opening.look(60)
    assert first is not None
    assert opening() is first
    assert opening() is not first


def test_what_is_away_says_why_and_is_tried_again() -> None:
    plugged_in = threading.Event()

    def open_camera() -> Playback:
        if not plugged_in.is_set():
            raise SourceAwayError("cam1: Connection refused")
        return clip()

    opening = Opening("cam1", open_camera)
    assert opening.look(60) is None
    with pytest.raises(SourceAwayError, match="Connection refused"):
        opening()
    plugged_in.set()
    assert opening().info.width == 16


def test_one_that_does_not_answer_holds_up_nobody_and_may_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_module, "FIRST_LOOK_SECONDS", 0.2)
    answered, opened = threading.Event(), []

    def open_slowly() -> Playback:
        answered.wait(60)
        opened.append(clip())
        return opened[-1]

    slow, quick = Opening("cam1", open_slowly), Opening("cam2", clip)
    found = look_at({"cam1": slow, "cam2": quick})
    assert found["cam1"] is None
    with pytest.raises(SourceAwayError, match="cam1: no answer yet"):
        slow()
    answered.set()
    assert slow() is opened[0]
    assert len(opened) == 1  # the attempt under way was waited for: a camera is not asked twice at once


@pytest.mark.parametrize("error", [SourceError("cam1: user or password is wrong"), ValueError("no rate")])
def test_what_time_does_not_mend_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        look_at({"cam2": Opening("cam2", clip), "cam1": Opening("cam1", failing(error))})
