import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from dptstream.cli import run
from dptstream.cli.convert import Format, OutputFlags, output_folders
from dptstream.cli.flags import SourceFlags
from dptstream.sinks import FolderOptions, read_manifest
from dptstream.sinks.options import FORMATS
from dptstream.sources import SourceOptions
from tests.waiting import wait_until

CLIP = Path(__file__).parents[2] / "examples" / "media" / "big_buck_bunny.mp4"


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments)])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of what the user saw as an error; there must be no traceback."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    complaints = [line for line in err.splitlines() if line.startswith("dptstream: ")]
    assert len(complaints) == 1
    return complaints[0]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_clip_becomes_numbered_exr_files_a_preview_and_a_manifest(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(clip, "-o", tmp_path / "d", "--model", model_file, "--size", 64, "--end", "3f") == 0
    names = sorted(path.name for path in (tmp_path / "d").iterdir())
    assert names == [
        "big_buck_bunny.1001.exr",
        "big_buck_bunny.1002.exr",
        "big_buck_bunny.1003.exr",
        "manifest.json",
        "preview.mp4",
    ]
    manifest = read_manifest(tmp_path / "d")
    assert manifest["complete"] is True
    assert [frame["pts"] for frame in manifest["frames"]] == [0, 512, 1024]
    seen = capsys.readouterr().err
    assert "relative inverse depth" in seen
    assert "licence of the weights: unknown" in seen
    assert "60.0° across" in seen
    assert "limited by" in seen


def test_json_gives_one_object_and_nothing_else(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (clip, "-o", tmp_path / "d", "--model", model_file, "--size", 64, "--end", "2f", "--format", "npy")
    assert convert(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert (record["frames"], record["complete"], record["exit_code"]) == (2, True, 0)
    assert err == ""


def test_quiet_prints_nothing(clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file, "--size", 64, "--end", "1f", "-q") == 0
    assert capsys.readouterr() == ("", "")


def test_several_inputs_get_a_folder_each_and_one_failure_does_not_stop_the_others(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 60, 3), 90, np.uint8))
    inputs = (clip, tmp_path / "absent.mp4", tmp_path / "photo.png")
    code = convert(*inputs, "-o", tmp_path / "out", "-m", model_file, "--size", 32, "--end", "1f", "--format", "npy")
    assert code == 1
    assert "absent.mp4" in one_line(capsys)
    assert (tmp_path / "out" / "big_buck_bunny" / "big_buck_bunny.1001.npy").exists()
    assert (tmp_path / "out" / "photo" / "photo.1001.npy").exists()


def test_equal_names_get_folders_of_their_own() -> None:
    folders = output_folders(("a/clip.mp4", "b/clip.mp4", "c/clip.mov"), Path("out"))
    assert [folder.name for folder in folders] == ["clip", "clip_2", "clip_3"]


def test_the_pipeline_changes_no_byte(clip: str, model_file: str, tmp_path: Path) -> None:
    arguments = ("-m", model_file, "--size", 64, "--end", "8f", "--format", "exr", "png16", "preview", "-q")
    assert convert(clip, "-o", tmp_path / "a", *arguments) == 0
    assert convert(clip, "-o", tmp_path / "b", *arguments, "--sequential") == 0
    first, second = files(tmp_path / "a"), files(tmp_path / "b")
    # Rounding differs with the number of threads that share one frame, so values agree closely, names exactly.
    assert first.keys() == second.keys()
    for name in (name for name in first if name.endswith(".png")):
        one, other = (cv2.imread(str(tmp_path / folder / name), cv2.IMREAD_UNCHANGED) for folder in "ab")
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 2


def test_a_finished_run_is_not_done_again(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (clip, "-o", tmp_path / "d", "-m", model_file, "--size", 64, "--end", "2f", "--format", "npy")
    assert convert(*arguments) == 0
    before = files(tmp_path / "d")
    assert convert(*arguments, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames_this_run"] == 0
    assert files(tmp_path / "d") == before


WITH_STATE = ("--size", 64, "--end", "40f", "--format", "exr", "png16", "ffv1", "preview")


@pytest.fixture(scope="module")
def uninterrupted(model_file: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nobody killed leaves behind."""
    folder = tmp_path_factory.mktemp("whole") / "whole"
    assert convert(CLIP, "-m", model_file, *WITH_STATE, "-o", folder, "-q") == 0
    return files(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.4, 0.9])
def test_a_killed_run_resumes_to_the_bytes_of_an_uninterrupted_one(
    seconds: float, model_file: str, tmp_path: Path, uninterrupted: dict[str, bytes]
) -> None:
    arguments = (CLIP, "-m", model_file, *WITH_STATE, "-o", tmp_path / "killed")
    process = subprocess.Popen(
        [sys.executable, "-m", "dptstream", "convert", *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    journal = tmp_path / "killed" / ".dptstream" / "journal.jsonl"
    wait_until(lambda: journal.exists() or process.poll() is not None)
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert convert(*arguments, "--resume", "-q") == 0
    assert files(tmp_path / "killed") == uninterrupted
    assert not (tmp_path / "killed" / ".dptstream").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for child processes")
def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(model_file: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dptstream", "convert", "synthetic:width=96,height=64,frames=100000"]
    command += ["-o", str(tmp_path / "d"), "--model", model_file, "--size", "32", "--format", "npy"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "d").glob("*.npy")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "--resume" in err
    assert read_manifest(tmp_path / "d")["complete"] is False


def test_what_is_no_video_is_named(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.mp4").write_text("these are my notes\n" * 50)
    assert convert(tmp_path / "notes.mp4", "-o", tmp_path / "d", "-m", model_file) == 1
    assert "notes.mp4" in one_line(capsys)
    assert not (tmp_path / "d").exists()


def test_an_absent_file_is_named(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path / "none.mp4", "-o", tmp_path / "d", "-m", model_file) == 1
    assert re.search(r"none\.mp4.*(no such|does not exist)", one_line(capsys), re.IGNORECASE)


def test_no_model_is_loaded_for_an_input_that_cannot_be_converted(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("-m", model_file, "--size", 64, "--end", "1f", "--format", "npy")
    assert convert(clip, "-o", tmp_path / "d", *flags) == 0
    capsys.readouterr()

    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded, which may mean a long download")

    monkeypatch.setattr("dptstream.models.load_model", load)
    assert convert(clip, "-o", tmp_path / "d", *flags) == 1
    assert "holds a finished run" in one_line(capsys)
    assert convert(tmp_path / "none.mp4", "-o", tmp_path / "e", *flags) == 1
    assert "none.mp4: no such file" in one_line(capsys)
    assert not (tmp_path / "e").exists()


def test_a_size_of_nothing_is_refused(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file, "--size", 0) == 1
    assert "size is 0; it must be a positive number of pixels" in one_line(capsys)


def test_a_file_in_the_folders_place_is_named(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d").write_text("precious")
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file, "--overwrite") == 1
    assert "it is a file, not a folder" in one_line(capsys)
    assert (tmp_path / "d").read_text() == "precious"


def test_how_large_the_network_sees_a_picture_is_said_and_whether_that_is_much(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = "synthetic:width=320,height=32,frames=1"
    flags = ("-m", model_file, "--size", 32, "--format", "npy")
    assert convert(wide, "-o", tmp_path / "d", *flags) == 0
    seen = capsys.readouterr().err
    assert "320x32, 25 fps, pictures; the network sees 320x32\n" in seen
    assert "done     1 frame in" in seen
    assert "warning" not in seen
    monkeypatch.setattr("dptstream.cli.screen.MUCH_PIXELS", 20_000)
    assert convert(wide, "-o", tmp_path / "e", *flags[:-4], "--size", 80, "--format", "npy") == 0
    assert "sees 6 times the picture's pixels" in capsys.readouterr().err


def test_a_camera_that_is_not_there_is_named(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert("/dev/video97", "-o", tmp_path / "d", "-m", model_file) == 1
    assert "/dev/video97" in one_line(capsys)


def test_a_range_without_frames_says_so(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (clip, "-o", tmp_path / "d", "-m", model_file, "--size", 64, "--format", "npy")
    assert convert(*flags, "--start", "100s") == 1
    assert "no frame" in one_line(capsys)
    assert convert(*flags, "--end", "1f") == 0, "and what was wrong can be put right"


def test_a_clip_cut_off_in_the_middle_gives_what_it_has_and_exit_code_3(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import av

    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    with av.open(clip) as source, av.open(str(whole), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    code = convert(cut, "-o", tmp_path / "d", "-m", model_file, "--size", 32, "--format", "npy")
    seen = capsys.readouterr().err
    assert code == 3
    assert "warning" in seen
    assert "Traceback" not in seen
    assert 20 < read_manifest(tmp_path / "d")["counts"]["frames"] < 110


def test_a_picture_of_one_pixel_converts_or_is_refused_in_one_line(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "dot.png"), np.full((1, 1, 3), 200, np.uint8))
    code = convert(tmp_path / "dot.png", "-o", tmp_path / "d", "-m", model_file, "--size", 32)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert code == 0
    assert (tmp_path / "d" / "dot.1001.exr").exists()


def test_a_folder_with_other_content_is_left_alone(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    arguments = (clip, "-o", tmp_path, "-m", model_file, "--size", 32, "--end", "1f", "--format", "npy")
    assert convert(*arguments) == 1
    assert str(tmp_path) in one_line(capsys)
    assert files(tmp_path) == {"thesis.txt": b"years of work"}
    assert convert(*arguments, "--overwrite") == 0
    assert files(tmp_path)["thesis.txt"] == b"years of work"


def test_a_folder_that_cannot_be_made_is_named(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert convert(clip, "-o", tmp_path / "file" / "d", "-m", model_file) == 1
    assert "file" in one_line(capsys)


def test_a_full_disk_ends_in_one_line_and_loses_nothing(model_file: str, tmp_path: Path, clip: str) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit to limit what a process may write")
    # A limit on the size of a file stands in for a full disk: the write fails in the same place.
    arguments = [clip, "-o", str(tmp_path / "d"), "-m", model_file, "--size", "64", "--end", "5f", "--format", "npy"]
    command = ["prlimit", "--fsize=200000", sys.executable, "-m", "dptstream", "convert", *arguments]
    failed = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONSAFEPATH": "1"}
    )
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert re.search(r"dptstream: .*\.npy: the file would be larger", failed.stderr)
    assert not list((tmp_path / "d").glob("*.npy"))
    assert run(["convert", *arguments, "--resume", "-q"]) == 0


def test_cuda_where_there_is_none_is_a_clear_error(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file, "--device", "cuda") == 1
    assert "--device cpu" in one_line(capsys)


def test_running_out_of_memory_says_what_to_do(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from dptstream.models.network import NetworkModel

    def exhausted(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(NetworkModel, "__call__", exhausted)
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file) == 1
    assert "use a smaller --size or a smaller --model" in one_line(capsys)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--range", "wide"), "range must be shot, clip, frame or LO,HI; got 'wide'"),
        (("--start", "soon"), "cannot read the time 'soon'"),
        (("--fps", "fast"), "cannot read the rate 'fast'"),
        (("--crop", "1,2"), "cannot read the crop '1,2'"),
        (("--focal-px", "500", "--fov-x-deg", "60"), "--fov-x-deg and --focal-px say the same thing twice"),
        (("--fov-x-deg", "190"), "field of view must lie between 0 and 180 degrees; got 190"),
        (("--size", "-5"), "size is -5"),
        (("--overwrite", "--resume"), "overwrite and resume exclude each other"),
    ],
)
def test_wrong_flags_say_what_is_allowed(
    flags: tuple[str, ...], words: str, clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(clip, "-o", tmp_path / "d", "-m", model_file, *flags) == 1
    assert words in one_line(capsys)
    assert not (tmp_path / "d").exists()


def test_flags_and_library_offer_the_same_choices_and_defaults(tmp_path: Path) -> None:
    assert get_args(Format) == FORMATS
    assert OutputFlags().options(tmp_path) == FolderOptions(tmp_path)
    assert SourceFlags().options() == SourceOptions()
    assert {field.name for field in fields(OutputFlags)} - {"format", "no_audio"} <= {
        field.name for field in fields(FolderOptions)
    }


def test_help_imports_no_torch() -> None:
    code = "import sys; from dptstream.cli import run\ntry: run(['--help'])\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "False"


def test_memory_stays_flat_over_5000_frames(model_file: str, tmp_path: Path) -> None:
    import psutil

    command = [sys.executable, "-m", "dptstream", "convert", "synthetic:scene=wall,width=64,height=48,frames=5000"]
    command += ["-o", str(tmp_path / "d"), "--model", model_file, "--size", "32", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    resident: list[tuple[int, int]] = []

    def watch() -> None:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                done = sum(path.suffix == ".exr" for path in (tmp_path / "d").glob("*"))
                resident.append((done, watched.memory_info().rss))
            except psutil.NoSuchProcess:
                return
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out = process.communicate(timeout=800)[0]
    watcher.join()
    assert json.loads(out)["frames"] == 5000
    second_tenth = [rss for done, rss in resident if 500 <= done < 1000]
    last_tenth = [rss for done, rss in resident if 4500 <= done < 5000]
    assert np.median(last_tenth) <= 1.05 * np.median(second_tenth)
