"""Runs that end in every possible way, and what a resumed run makes of them."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dptstream.sinks import DepthFolder, FolderOptions
from dptstream.sinks.journal import Journal

from .clips import digests, run, toy_feed, toy_frame

ALL = ("exr", "png16", "ffv1", "npz", "npy", "ply", "preview")
KILLER = """
import os, signal, sys, time
from pathlib import Path
from dptstream.sinks import FolderOptions, journal
from tests.sinks.clips import run, toy_frames

def deadly(original, countdown):
    left = countdown
    def step(*args, **choices):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **choices)
    return step

def slowly():
    for frame in toy_frames():
        time.sleep(0.02)
        yield frame

def child(directory, event, countdown):
    if event == "append":
        journal.Journal.append = deadly(journal.Journal.append, countdown)
    elif event != "time":
        setattr(Path, event, deadly(getattr(Path, event), countdown))
    run(FolderOptions(Path(directory), formats, resume=True, side_by_side=True), frames=slowly())

formats = tuple(sys.argv[1].split(","))
for line in sys.stdin:
    directory, event, number = line.split()
    process = os.fork()
    if process == 0:
        try:
            child(directory, event, int(number))
        finally:
            os._exit(0)
    if event == "time":
        time.sleep(int(number) / 1000)
        os.kill(process, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed_run() -> Iterator[Callable[[Path, str, int], bool]]:
    """Give a function that runs the toy clip into a folder in another process, and kills that with -9.

    Its event is ``time`` and the number in milliseconds, or else a step on the disk and how many to let pass; it
    returns whether the run was killed before it had finished. All runs are forked from one process that has
    loaded everything and has no threads.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", KILLER, ",".join(ALL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def kill(directory: Path, event: str, number: int) -> bool:
            print(directory, event, number, file=requests, flush=True)
            return int(answers.readline()) == -9

        yield kill
        requests.close()


def resume(options: FolderOptions) -> DepthFolder:
    return run(replace(options, resume=True))


def interrupted(options: FolderOptions, count: int) -> None:
    """Give a run up after ``count`` frames, once the first shot is worked off if it has ended by then."""
    folder = DepthFolder(options)
    folder.open(toy_feed())
    for sequence in range(count):
        folder.write(toy_frame(sequence))
    deadline = time.monotonic() + 60
    while count > 8 and not _segments(options.directory) and time.monotonic() < deadline:
        time.sleep(0.01)
    folder.close(complete=False)


def _segments(directory: Path) -> list[object]:
    return list(Journal(directory / ".dptstream" / "journal.jsonl").entries("segment"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of an uninterrupted run in every format."""
    directory = tmp_path_factory.mktemp("whole")
    run(FolderOptions(directory, ALL, side_by_side=True))
    return digests(directory)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 11, 12])
def test_a_run_given_up_after_any_frame_is_resumed_to_the_same_bytes(
    tmp_path: Path, whole: dict[str, str], count: int
) -> None:
    options = FolderOptions(tmp_path, ALL, side_by_side=True)
    interrupted(options, count)
    resume(options)
    assert digests(tmp_path) == whole


@pytest.mark.parametrize("policy", ["clip", "frame", (1.0, 9.0)])
def test_every_range_policy_is_resumed_to_the_same_bytes(tmp_path: Path, policy: object) -> None:
    options = FolderOptions(tmp_path / "a", ("png16", "ffv1", "ply"), range=policy)  # type: ignore[arg-type]
    run(replace(options, directory=tmp_path / "b"))
    interrupted(options, 7)
    resume(options)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_resumed_run_asks_for_frames_from_the_first_unfinished_one(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr", "preview"))
    interrupted(options, 7)
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.next_sequence == 7
    folder.close(complete=False)


def test_a_run_interrupted_many_times_still_comes_to_the_same_bytes(tmp_path: Path, whole: dict[str, str]) -> None:
    options = FolderOptions(tmp_path, ALL, side_by_side=True, resume=True)
    for count in (2, 4, 5, 9):
        folder = DepthFolder(options)
        folder.open(toy_feed())
        for sequence in range(folder.next_sequence, count):
            folder.write(toy_frame(sequence))
        folder.close(complete=False)
    resume(options)
    assert digests(tmp_path) == whole


@pytest.mark.parametrize("seed", range(3))
def test_after_kill_9_at_any_moments_a_resumed_run_has_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, whole: dict[str, str], killed_run: Callable[[Path, str, int], bool], seed: int
) -> None:
    moments = random.Random(seed)
    kills = 0
    for _ in range(5):
        kills += killed_run(tmp_path, "time", moments.randrange(20, 400))
        _only_whole_files_bear_final_names(tmp_path, whole)
    assert kills
    resume(FolderOptions(tmp_path, ALL, side_by_side=True))
    assert digests(tmp_path) == whole


def _only_whole_files_bear_final_names(directory: Path, whole: dict[str, str]) -> None:
    for name, digest in digests(directory).items():
        if not name.startswith(".dptstream") and name != "manifest.json":
            assert digest == whole[name], name


@pytest.mark.parametrize("event", ["replace", "unlink", "append"])
def test_a_kill_right_before_any_step_on_the_disk_does_no_harm(
    tmp_path: Path, whole: dict[str, str], killed_run: Callable[[Path, str, int], bool], event: str
) -> None:
    """Steps are what other processes can see: a file that appears, one that goes, a line in the journal."""
    for countdown in (1, 2, 7, 13, 20, 34):
        directory = tmp_path / str(countdown)
        killed = killed_run(directory, event, countdown)
        _only_whole_files_bear_final_names(directory, whole)
        resume(FolderOptions(directory, ALL, side_by_side=True))
        assert digests(directory) == whole
        if not killed:
            assert countdown > 10, "this run has fewer steps than expected"
            return


def test_a_torn_last_line_of_the_journal_costs_one_frame(tmp_path: Path, whole: dict[str, str]) -> None:
    options = FolderOptions(tmp_path, ALL, side_by_side=True)
    interrupted(options, 3)
    journal = tmp_path / ".dptstream" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.next_sequence == 2
    folder.close(complete=False)
    resume(options)
    assert digests(tmp_path) == whole


@pytest.mark.parametrize("lost", ["toy.1002.exr", "toy.1008.npy", "toy.1003.png", ".dptstream/frame.0000006.depth"])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_files_that_got_lost_are_made_again(tmp_path: Path, whole: dict[str, str], lost: str, how: str) -> None:
    """As after a power cut, which may empty files that had been renamed, or after somebody tidied up."""
    options = FolderOptions(tmp_path, ALL, side_by_side=True)
    interrupted(options, 9)
    assert (tmp_path / lost).exists()
    (tmp_path / lost).unlink() if how == "removed" else (tmp_path / lost).write_bytes(b"")
    resume(options)
    assert digests(tmp_path) == whole


def test_a_lost_segment_of_a_video_is_made_again_from_its_shot_on(tmp_path: Path, whole: dict[str, str]) -> None:
    options = FolderOptions(tmp_path, ALL, side_by_side=True)
    interrupted(options, 9)
    (tmp_path / ".dptstream" / "segment.0000000.ffv1.nut").unlink()
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.next_sequence == 0
    folder.close(complete=False)
    resume(options)
    assert digests(tmp_path) == whole


def test_the_engine_gets_back_the_state_it_saved(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr",))
    folder = DepthFolder(options)
    folder.open(toy_feed())
    assert folder.load_state() is None
    for sequence in range(9):
        if sequence % 3 == 0:
            folder.save_state(sequence, f"before {sequence}".encode())
        folder.write(toy_frame(sequence))
    folder.close(complete=False)
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.next_sequence == 6
    assert folder.load_state() == (6, b"before 6")
    folder.close(complete=False)


def test_frames_that_are_finished_already_are_taken_and_ignored(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr", "preview"))
    folder = DepthFolder(options)
    folder.open(toy_feed())
    folder.save_state(0, b"start")
    for sequence in range(7):
        folder.write(toy_frame(sequence))
    folder.close(complete=False)
    run(replace(options, resume=True))
    run(FolderOptions(tmp_path / "other", ("exr", "preview")))
    assert digests(tmp_path / "other") == {
        name: digest for name, digest in digests(tmp_path).items() if not name.startswith("other")
    }


def test_a_state_ahead_of_the_finished_frames_is_not_gone_back_to(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr",))
    folder = DepthFolder(options)
    folder.open(toy_feed())
    for sequence in range(6):
        if sequence in (2, 5):
            folder.save_state(sequence, bytes([sequence]))
        folder.write(toy_frame(sequence))
    folder.close(complete=False)
    (tmp_path / "toy.1004.exr").unlink()
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert folder.load_state() == (2, bytes([2]))
    folder.close(complete=False)


def test_without_a_usable_state_a_run_that_has_states_begins_at_its_first_frame(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("exr",))
    folder = DepthFolder(options)
    folder.open(toy_feed())
    for sequence in range(6):
        if sequence == 4:
            folder.save_state(4, b"late")
        folder.write(toy_frame(sequence))
    folder.close(complete=False)
    (tmp_path / "toy.1002.exr").unlink()
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    assert (folder.next_sequence, folder.load_state()) == (0, None)
    folder.close(complete=False)


def test_states_that_nobody_will_go_back_to_are_removed(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",)))
    folder.open(toy_feed())
    for sequence in range(200):
        if sequence % 10 == 0:
            folder.save_state(sequence, b"state")
        folder.write(toy_frame(sequence))
    assert len(list((tmp_path / ".dptstream").glob("state.*"))) < 15
    folder.close(complete=True)
    assert not (tmp_path / ".dptstream").exists()
