"""The small parts of the output folder: pool, spans, journal, waiting frames, options."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dptstream.errors import SinkError
from dptstream.sinks.journal import FrameRecord, Journal
from dptstream.sinks.pool import OrderedWindow
from dptstream.sinks.spans import Span, SpanPlanner
from dptstream.sinks.waiting import WaitingFrame, pack_waiting, unpack_waiting

from .clips import toy_depth, toy_picture


def record(sequence: int, *, cut: bool = False, low: float | None = 1.0, high: float | None = 2.0) -> FrameRecord:
    return FrameRecord(sequence, sequence * 40, 4, 3, low, high, 0, 0, 0, cut, {"exr": 10})


def test_results_come_in_the_order_of_submission() -> None:
    with ThreadPoolExecutor(4) as executor:
        window = OrderedWindow[int](executor, 4)
        results: list[int] = []
        for number in range(20):
            results += window.submit(lambda number=number: time.sleep(0.002 * (number % 3)) or number)  # type: ignore[misc]
        results += window.drain()
    assert results == list(range(20))


def test_no_more_jobs_are_in_flight_than_allowed() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.003)
        with lock:
            running -= 1

    with ThreadPoolExecutor(16) as executor:
        window = OrderedWindow[None](executor, 3)
        for _ in range(15):
            list(window.submit(job))
        list(window.drain())
    assert most <= 4  # three waiting and the one just submitted


def test_the_first_failure_is_raised_where_its_result_would_have_come() -> None:
    def fail(text: str) -> int:
        raise SinkError(text)

    with ThreadPoolExecutor(2) as executor:
        window = OrderedWindow[int](executor, 8)
        results = list(window.submit(lambda: 1))
        results += list(window.submit(lambda: 2))
        for text in ("first", "second"):
            window._jobs.append(executor.submit(fail, text))
        with pytest.raises(SinkError, match="first"):  # noqa: PT012
            for result in window.drain():
                results.append(result)
        window.abandon()
    assert results == [1, 2]


def test_spans_are_split_at_cuts() -> None:
    planner = SpanPlanner(split_at_cuts=True, largest=None)
    closed = [planner.add(record(n, cut=n in (0, 3), low=-n, high=n)) for n in range(5)]
    assert closed == [None, None, None, Span(0, 3, -2, 2), None]
    assert planner.finish() == Span(3, 5, -4, 4)
    assert planner.finish() is None


def test_spans_need_not_be_split_at_cuts() -> None:
    planner = SpanPlanner(split_at_cuts=False, largest=None)
    assert not any(planner.add(record(n, cut=True)) for n in range(5))
    assert planner.finish() == Span(0, 5, 1.0, 2.0)


def test_spans_have_a_largest_size_where_no_range_is_waited_for() -> None:
    planner = SpanPlanner(split_at_cuts=True, largest=2)
    closed = [planner.add(record(n)) for n in range(5)]
    assert [(span.first, span.end) for span in closed if span] == [(0, 2), (2, 4)]


def test_frames_without_values_do_not_count_for_a_spans_range() -> None:
    planner = SpanPlanner(split_at_cuts=True, largest=None)
    planner.add(record(0, low=None, high=None))
    planner.add(record(1, low=3.0, high=4.0))
    assert planner.finish() == Span(0, 2, 3.0, 4.0)


def test_a_journal_gives_its_lines_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.create({"source": {"name": "toy"}})
    journal.append(record(0).entry())
    journal.append({"kind": "reserved", "below": 64})
    run = journal.run()
    assert run is not None
    assert run["source"] == {"name": "toy"}
    assert [FrameRecord.from_entry(entry) for entry in journal.entries("frame")] == [record(0)]


@pytest.mark.parametrize("torn", [b'{"kind":"fra', b'{"kind":"frame"}', b"\x00\x00\x00\n", b"[1]\n"])
def test_a_torn_end_of_a_journal_is_dropped(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.create({})
    journal.append(record(0).entry())
    with journal.path.open("ab") as file:
        file.write(torn)
    journal.repair(lambda _: True)
    journal.append(record(1).entry())
    assert [entry["sequence"] for entry in journal.entries("frame")] == [0, 1]


def test_lines_added_by_several_threads_stay_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.create({})
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda n: journal.append(record(n).entry()), range(100)))
    assert sorted(int(str(entry["sequence"])) for entry in journal.entries("frame")) == list(range(100))


def test_no_journal_is_no_run(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal.jsonl").run() is None


@pytest.mark.parametrize("picture", [None, toy_picture(1)])
def test_a_waiting_frame_comes_back_as_it_was(picture: np.ndarray | None) -> None:
    waiting = WaitingFrame(toy_depth(3), (18, 26), "bicubic", picture)
    back = unpack_waiting(pack_waiting(waiting, lossless=True))
    np.testing.assert_array_equal(back.depth, waiting.depth)
    assert (back.size_hw, back.output_resize) == ((18, 26), "bicubic")
    if picture is None:
        assert back.picture is None
    else:
        np.testing.assert_array_equal(back.picture, picture)


def test_a_waiting_frame_that_lost_its_end_is_noticed() -> None:
    content = pack_waiting(WaitingFrame(toy_depth(0), (18, 26), "bilinear", None), lossless=False)
    with pytest.raises(ValueError, match="buffer"):
        unpack_waiting(content[:-1])
