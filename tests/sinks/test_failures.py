"""What a user sees when files cannot be written: one line, and nothing lost."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dptstream.errors import SinkError
from dptstream.frames import DepthFrame
from dptstream.geometry import Intrinsics
from dptstream.sinks import DepthFolder, FolderOptions, files, read_manifest

from .clips import digests, run, toy_feed, toy_frame

NOISY_HW = (64, 96)


def noisy_frame(sequence: int) -> DepthFrame:
    """A frame that does not compress, so that small disks fill up."""
    noise = np.random.default_rng(sequence).normal(5, 1, NOISY_HW).astype(np.float32)
    return toy_frame(sequence, depth=noise, size_hw=NOISY_HW)


def write_all(folder: DepthFolder, count: int = 60) -> None:
    """Write until the end or the first failure, then close as the engine does."""
    height, width = NOISY_HW
    complete = False
    try:
        folder.open(toy_feed(width=width, height=height, intrinsics=Intrinsics.default(width, height)))
        for sequence in range(folder.next_sequence or 0, count):
            folder.write(noisy_frame(sequence))
        complete = True
    finally:
        folder.close(complete=complete)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root on Linux can mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("formats", [("exr",), ("npy",), ("preview",), ("ffv1", "png16"), ("ply",)])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    options = FolderOptions(small_disk / "out", formats, range=(1.0, 9.0))  # type: ignore[arg-type]
    with pytest.raises(SinkError, match=r"^cannot write .*: the disk is full; free some space .* --resume$"):
        write_all(DepthFolder(options))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    write_all(DepthFolder(replace(options, resume=True)))
    write_all(DepthFolder(replace(options, directory=tmp_path / "whole")))
    assert digests(small_disk / "out") == digests(tmp_path / "whole")


def test_on_a_full_disk_every_file_with_a_final_name_is_whole(small_disk: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError):
        write_all(DepthFolder(FolderOptions(small_disk / "out", ("exr",))))
    write_all(DepthFolder(FolderOptions(tmp_path / "whole", ("exr",))))
    whole = digests(tmp_path / "whole")
    found = {name: digest for name, digest in digests(small_disk / "out").items() if name.endswith(".exr")}
    assert len(found) > 5
    assert found.items() <= whole.items()


def test_a_read_only_file_system_is_one_line(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SinkError, match=r"^cannot write .*: the file system is read-only; choose another folder$"):
        DepthFolder(FolderOptions(small_disk / "out")).open(toy_feed())


def test_a_limit_on_the_size_of_files_is_one_line(tmp_path: Path) -> None:
    """RLIMIT_FSIZE fails a write as a full disk does, and needs no root."""
    resource = pytest.importorskip("resource")
    import signal

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = DepthFolder(FolderOptions(tmp_path / "out", ("npy",)))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(
            SinkError, match=r"^cannot write .*toy\.1001\.npy: the file would be larger than is allowed"
        ):
            write_all(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert not list((tmp_path / "out").glob("*.npy"))


def test_no_permission_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(
        SinkError, match=r"^cannot write .*out: no permission; choose another folder or change its rights$"
    ):
        DepthFolder(FolderOptions(tmp_path / "out")).open(toy_feed())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SinkError, match="no permission"):
            DepthFolder(FolderOptions(tmp_path / "out")).open(toy_feed())
    finally:
        tmp_path.chmod(0o700)


@pytest.fixture
def fails_at_frame_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing any file of frame 3 fails, as on a network folder that has gone."""
    write_file = files.write_file

    def failing(path: Path, *args: object, **choices: object) -> int:
        if "1004" in path.name:
            raise files.sink_error(path, OSError(errno.EIO, os.strerror(errno.EIO)))
        return write_file(path, *args, **choices)  # type: ignore[arg-type]

    monkeypatch.setattr("dptstream.sinks.frame_writer.write_file", failing)
    monkeypatch.setattr("dptstream.sinks.renderer.write_file", failing)


@pytest.mark.usefixtures("fails_at_frame_3")
def test_the_failure_of_a_frame_surfaces_at_a_later_write_with_file_and_reason(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",)))
    folder.open(toy_feed())
    with pytest.raises(SinkError, match=r"^cannot write .*toy\.1004\.npy: Input/output error$"):  # noqa: PT012
        for sequence in range(12):
            folder.write(toy_frame(sequence))
    folder.close(complete=False)
    assert (tmp_path / "toy.1003.npy").exists()


@pytest.mark.usefixtures("fails_at_frame_3")
@pytest.mark.parametrize("formats", [("npy",), ("png16",), ("ply",)])
def test_the_failure_of_one_of_the_last_frames_surfaces_at_close(tmp_path: Path, formats: tuple[str, ...]) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, formats, workers=8))  # type: ignore[arg-type]
    folder.open(toy_feed())
    with pytest.raises(SinkError, match=r"toy\.1004"):  # noqa: PT012 - a fast pool may tell it one frame earlier
        for sequence in range(4):
            folder.write(toy_frame(sequence))
        folder.close(complete=True)
    folder.close(complete=False)


@pytest.mark.usefixtures("fails_at_frame_3")
def test_a_failure_in_a_shot_that_has_ended_surfaces_at_a_later_write(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("png16",)))
    folder.open(toy_feed())
    with pytest.raises(SinkError, match=r"toy\.1004\.png"):  # noqa: PT012 - which later write depends on the threads
        for sequence in range(1000):
            folder.write(toy_frame(sequence, cuts=(5,)))
            time.sleep(0.02 if sequence > 6 else 0)
    folder.close(complete=False)


@pytest.mark.usefixtures("fails_at_frame_3")
def test_after_a_failure_no_later_frame_counts_as_written(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path, ("npy",), workers=4))
    folder.open(toy_feed())
    with pytest.raises(SinkError, match="toy"):  # noqa: PT012 - which later write depends on the threads
        for sequence in range(12):
            folder.write(toy_frame(sequence))
    with pytest.raises(SinkError, match="toy"):
        folder.write(toy_frame(11))
    folder.close(complete=False)
    frames = read_manifest(tmp_path)["frames"]
    assert isinstance(frames, list)
    assert [frame["sequence"] for frame in frames] == [0, 1, 2]


def test_after_a_failure_the_run_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = FolderOptions(tmp_path / "out", ("exr", "png16", "preview"))
    with monkeypatch.context() as patched:
        patched.setattr("dptstream.sinks.frame_writer.write_file", _refuse_after(tmp_path, 9))
        folder = DepthFolder(options)
        folder.open(toy_feed())
        with pytest.raises(SinkError):  # noqa: PT012 - which later write depends on the threads
            for sequence in range(12):
                folder.write(toy_frame(sequence))
        folder.close(complete=False)
    run(replace(options, resume=True))
    run(replace(options, directory=tmp_path / "whole"))
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def _refuse_after(_: Path, allowed: int):  # type: ignore[no-untyped-def]
    left = [allowed]

    def write(path: Path, *args: object, **choices: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise files.sink_error(path, OSError(errno.ENOSPC, "full"))
        return files.write_file(path, *args, **choices)  # type: ignore[arg-type]

    return write


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "denied")

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SinkError, match=r"^cannot write .*a\.bin: no permission"):
        files.write_file(tmp_path / "a.bin", b"abc", scratch=tmp_path / "scratch")
    assert not list(tmp_path.rglob("a.bin*"))


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    assert files.write_file(tmp_path / "a.bin", b"newer", scratch=tmp_path, durable=True) == 5
    assert (tmp_path / "a.bin").read_bytes() == b"newer"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_damaged_scratch_is_one_line_and_leaves_no_thread(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("png16",))
    folder = DepthFolder(options)
    folder.open(toy_feed())
    for sequence in range(9):
        folder.write(toy_frame(sequence, cuts=()))
    folder.close(complete=False)
    waiting = tmp_path / ".dptstream" / "frame.0000002.depth"
    waiting.write_bytes(b"x" * waiting.stat().st_size)
    before = threading.active_count()
    folder = DepthFolder(replace(options, resume=True))
    folder.open(toy_feed())
    with pytest.raises(SinkError, match=r"frame\.0000002\.depth is damaged; run again with --overwrite"):
        folder.close(complete=True)
    folder.close(complete=False)
    assert threading.active_count() == before
