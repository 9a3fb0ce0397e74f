import threading
from fractions import Fraction
from pathlib import Path

import pytest

from dptstream.errors import SourceError
from dptstream.sources import SourceOptions, Time, open_source
from dptstream.sources.playback import Playback

CLIP = "synthetic:scene=wall,width=16,height=12,frames=10,fps=10"


def playback(options: SourceOptions | None = None, *, loop: bool = False) -> Playback:
    return Playback(lambda chosen: open_source(CLIP, chosen), options, loop=loop)


def take(source: Playback, count: int) -> list[tuple[int, int, bool]]:
    frames = iter(source)
    taken = [next(frames) for _ in range(count)]
    return [(frame.sequence, frame.pts, frame.discontinuity) for frame in taken]


def test_a_clip_played_once_is_the_clip() -> None:
    with playback() as source:
        assert [(frame.sequence, frame.pts) for frame in source] == [(number, number) for number in range(10)]
        assert list(source) == []


def test_a_loop_begins_again_with_a_jump_and_counts_on() -> None:
    with playback(loop=True) as source:
        taken = take(source, 25)
    assert [sequence for sequence, _, _ in taken] == list(range(25))
    assert [pts for _, pts, _ in taken] == [number % 10 for number in range(25)]
    assert [sequence for sequence, _, jumped in taken if jumped] == [10, 20]


def test_a_loop_ends_at_the_next_end_once_it_is_switched_off() -> None:
    with playback(loop=True) as source:
        assert len(take(source, 12)) == 12
        source.set_loop(enabled=False)
        assert [frame.pts for frame in source] == list(range(2, 10))


def test_another_iteration_goes_on_where_the_last_one_stopped() -> None:
    with playback() as source:
        assert take(source, 3) == [(0, 0, False), (1, 1, False), (2, 2, False)]
        assert take(source, 2) == [(3, 3, False), (4, 4, False)]


def test_seeking_jumps_to_the_frame_of_that_time() -> None:
    with playback() as source:
        take(source, 2)
        source.seek(0.7)
        assert take(source, 1) == [(2, 7, True)]
        source.seek(0)
        assert take(source, 2) == [(3, 0, True), (4, 1, False)]


def test_a_loop_after_a_jump_begins_at_the_beginning_of_the_part_asked_for() -> None:
    with playback(SourceOptions(start=Time(Fraction(1, 5))), loop=True) as source:
        source.seek(0.8)
        assert [pts for _, pts, _ in take(source, 4)] == [8, 9, 2, 3]


@pytest.mark.parametrize("seconds", [1.0, 99.0])
def test_seeking_rejects_a_moment_behind_the_end(seconds: float) -> None:
    with playback() as source, pytest.raises(ValueError, match=r"ends at 1.00 s; cannot go to"):
        source.seek(seconds)


def test_what_is_live_rejects_seeking_and_loops() -> None:
    options = SourceOptions(live=True)
    with playback(options) as source:
        with pytest.raises(ValueError, match="is live: it cannot be sought in"):
            source.seek(0)
        with pytest.raises(ValueError, match="is live: it cannot be played in a loop"):
            source.set_loop(enabled=True)
    with pytest.raises(ValueError, match="played in a loop"):
        playback(options, loop=True)


def test_closing_ends_the_iteration_from_another_thread() -> None:
    with playback(loop=True) as source:
        threading.Timer(0.2, source.close).start()
        assert sum(1 for _ in source) > 10


def test_two_readers_at_once_are_refused() -> None:
    with playback() as source:
        source._reading.acquire()  # as a reader does that sits in a read
        with pytest.raises(SourceError, match="gone silent"):
            next(iter(source))


def test_a_video_file_can_be_sought_and_looped() -> None:
    clip = str(Path(__file__).parents[2] / "examples" / "media" / "big_buck_bunny.mp4")
    with Playback(lambda options: open_source(clip, options), loop=True) as source:
        first = next(iter(source)).pts_seconds
        source.seek(3.0)
        frames = iter(source)
        sought = next(frames)
        assert sought.discontinuity
        assert 3.0 <= sought.pts_seconds - first < 3.1
        rest = [next(frames) for _ in range(90)]
        again = [frame for frame in rest if frame.discontinuity]
        assert [frame.pts_seconds for frame in again] == [first]
