import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dptstream.cli import run
from dptstream.cli.flags import ModelFlags
from dptstream.cli.view import View
from dptstream.cli.view_feeds import (
    ServeChild,
    SourcePictures,
    as_arguments,
    can_loop,
    is_endpoint,
    is_folder,
    once_through,
    open_folder,
    open_played,
)
from dptstream.cli.view_films import OpenCvFilm, PyAvFilm, can_film, recorder
from dptstream.cli.view_flags import SaveFlags
from dptstream.errors import MissingExtraError, SinkError, SourceError
from dptstream.sources.recording import read_recording
from dptstream.viewer import graphics
from dptstream.viewer.settings import ViewSettings
from dptstream.wire import FrameMessage, RawColor
from dptstream.wire.subscriber import Subscriber
from tests.waiting import wait_until
from tests.wire.feeding import numbered_frame, publisher_process

SIZE = ("--window", "160x96")


@pytest.fixture(scope="module")
def drawn() -> None:
    """Ask for a graphics stack."""
    try:
        graphics.check_graphics()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_file: str) -> Path:
    """Frames 20 to 25 of the bundled clip, converted."""
    clip = Path(__file__).parents[2] / "examples" / "media" / "big_buck_bunny.mp4"
    out = tmp_path_factory.mktemp("converted") / "depth"
    words = ["convert", str(clip), "-o", str(out), "--model", model_file, "--size", "32", "--format", "png16"]
    assert run([*words, "--start", "20f", "--end", "26f", "--quiet"]) == 0
    return out


def first_line(captured: pytest.CaptureFixture[str]) -> str:
    return captured.readouterr().err.strip().splitlines()[-1]


@pytest.mark.usefixtures("drawn")
def test_a_folder_becomes_a_picture_a_film_and_files(folder: Path, tmp_path: Path) -> None:
    saved = ["--snapshot", str(tmp_path / "out.png"), "--orbit", str(tmp_path / "turn.mp4"), "--orbit-seconds", "0.4"]
    files = ["--export-ply", str(tmp_path / "ply"), "--export-glb", str(tmp_path / "glb"), "--mode", "surface"]
    assert run(["view", str(folder), *saved, *files, "--frames", "3", "--yaw", "20", *SIZE]) == 0
    assert cv2.imread(str(tmp_path / "out.png")).shape == (96, 160, 3)
    with av.open(str(tmp_path / "turn.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 10
    assert pictures[0].std() > 10
    assert np.abs(pictures[2].astype(int) - pictures[7]).mean() > 3
    names = sorted(path.name for path in (tmp_path / "ply").iterdir())
    assert names == [f"big_buck_bunny.{number:04d}.ply" for number in (1, 2, 3)]
    assert b"element face" in (tmp_path / "ply" / names[0]).read_bytes()[:500]
    assert len(list((tmp_path / "glb").glob("*.glb"))) == 3


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
@pytest.mark.usefixtures("drawn")
def test_a_window_opens_on_a_display_and_closes_after_its_frames(folder: Path) -> None:
    screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(screen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            environment = os.environ | {"DISPLAY": f":{server.stdout.readline().strip()}", "XDG_RUNTIME_DIR": ""}
            words = [sys.executable, "-m", "dptstream", "view", str(folder), "--frames", "2", *SIZE]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert "XDG_RUNTIME_DIR" not in done.stderr
    assert "M points or surface" in " ".join(done.stdout.split())


def test_a_folders_colours_are_those_of_its_clip_at_its_times(folder: Path, clip: str) -> None:
    feed = open_folder(str(folder))
    with av.open(clip) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][20:26]
    for index in (0, 1, 5, 2, 0):
        color = feed.sequence.frame(index).color
        assert isinstance(color, RawColor)
        assert np.abs(color.pixels.astype(int) - decoded[index]).mean() < 2
    assert feed.status().note == ""
    feed.close()


def test_where_the_clip_is_gone_colours_go_by_depth_and_that_is_said(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "depth"
    moved.mkdir()
    for path in folder.iterdir():
        text = path.read_bytes()
        if path.name == "manifest.json":
            text = text.replace(b"big_buck_bunny.mp4", b"gone.mp4")
        (moved / path.name).write_bytes(text)
    feed = open_folder(str(moved))
    assert feed.sequence.frame(0).color is None
    assert "coloured by depth: the clip gone.mp4 was not found" in feed.status().note
    feed.close()


def test_pictures_are_found_forwards_backwards_and_not_where_there_are_none(clip: str) -> None:
    pictures = SourcePictures(clip, {"start": None, "crop": "0,0,64,32"})
    first, last = pictures.at(0), pictures.at(109 * 512)
    assert first is not None
    assert last is not None
    assert first.shape == (32, 64, 3)
    again = pictures.at(0)
    assert again is not None
    np.testing.assert_array_equal(first, again)
    assert pictures.at(100) is None
    assert pictures.at(110 * 512) is None
    pictures.close()


def test_a_clip_is_computed_at_once_and_each_frame_saved(clip: str, model_file: str, tmp_path: Path) -> None:
    network = ["--model", model_file, "--size", "32", "--end", "3f", "--fov-x-deg", "70"]
    assert run(["view", clip, *network, "--export-ply", str(tmp_path / "ply")]) == 0
    assert len(list((tmp_path / "ply").iterdir())) == 3


def test_what_cannot_be_played_is_told_in_the_words_of_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["view", str(tmp_path / "no.mp4"), "--export-ply", str(tmp_path / "ply")]) == 1
    assert first_line(capsys).endswith("no.mp4: no such file or folder")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tcp://127.0.0.1:9", "--web", "--snapshot", "x.png"], "a page saves nothing by itself"),
        (["tcp://127.0.0.1:9", "--focal-mm", "35"], "say --fov-x-deg"),
        (["tcp://127.0.0.1:9", "--window", "big"], "write WIDTHxHEIGHT"),
        (["tcp://127.0.0.1:9", "--color-range", "1"], "write equalized, fixed or NEAR,FAR"),
        (["tcp://127.0.0.1:9", "--frames", "0"], "at least 1"),
        (["tcp://127.0.0.1:9", "--near", "20"], "0 < near < far"),
        (["tcp://127.0.0.1:9", "--timeout", "0.3", "--export-ply", "x"], "is dptstream serving there?"),
        (["tcp://127.0.0.1:9", "--far", "inf"], "both finite"),
        (["tcp://127.0.0.1:9", "--stride", "0"], "stride must be at least 1"),
        (["tcp://127.0.0.1:9", "--yaw", "nan"], "--yaw and --pitch are degrees"),
        (["tcp://127.0.0.1:9", "--snapshot", "x.jpg"], "a picture is saved as .png; got x.jpg"),
        (["tcp://127.0.0.1:9", "--orbit", "x.gif"], "a film is saved as .mp4; got x.gif"),
        (["tcp://127.0.0.1:9", "--orbit", "x.mp4", "--orbit-seconds", "0"], "must be positive"),
        (["/nowhere/manifest.json"], "cannot read"),
    ],
)
def test_what_cannot_be_viewed_is_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphics, "check_graphics", lambda: None)
    assert run(["view", *words]) == 1
    captured = capsys.readouterr()
    assert complaint in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err


def test_a_missing_graphics_stack_is_told_before_anything_opens(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(graphics, "_PROBE", "import os; os.abort()")
    assert run(["view", str(folder)]) == 1
    assert "apt-get install" in first_line(capsys)


def test_help_lists_the_keys_and_loads_neither_torch_nor_open3d() -> None:
    program = (
        "import sys\nfrom dptstream.cli import run\ntry:\n    run(['view', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'open3d', 'av', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for key in ("M points or surface", "E edge cut on or off", "S save a picture (PNG)", "Drag turn"):
        assert key.split() in lines  # each on a line of its own


def test_a_word_is_known_as_address_folder_or_clip(folder: Path, clip: str) -> None:
    assert is_endpoint("tcp://10.0.0.1:5577")
    assert is_endpoint("ipc:///run/depth")
    assert not is_endpoint("rtsp://camera/1")
    assert is_folder(str(folder))
    assert is_folder(str(folder / "manifest.json"))
    assert not is_folder(clip)


def test_what_cannot_be_played_leaves_what_was_played_before_going_on(
    clip: str, model_file: str, tmp_path: Path
) -> None:
    (tmp_path / "letter.mp4").write_text("no film")
    child = ServeChild(["--model", model_file, "--size", "32"])
    with closing(open_played(clip, child, ["--loop"], capacity=1)) as feed:
        with pytest.raises(SourceError, match=r"letter\.mp4"):
            child.play(str(tmp_path / "letter.mp4"))
        assert child.running
        wait_until(lambda: (message := feed.newest(1)) and message.source.name == Path(clip).stem)
    assert not child.running


def test_only_what_has_an_end_is_played_in_a_loop(clip: str, tmp_path: Path) -> None:
    assert can_loop(clip)
    assert can_loop("synthetic:frames=3")
    assert can_loop(str(tmp_path / "frame.%04d.png"))
    assert not can_loop("/dev/null")  # a device, as cameras are
    assert not can_loop("rtsp://camera/stream")


def passage(*moments: tuple[int, int, bool]) -> list[FrameMessage]:
    frame = numbered_frame(0, "0" * 32)
    return [replace(frame, sequence=number, pts=pts, discontinuity=jump) for number, pts, jump in moments]


def test_each_frame_of_a_loop_is_taken_once() -> None:
    loop = passage((0, 5, False), (1, 6, False), (2, 7, True), (3, 5, True), (4, 6, False))
    assert [message.sequence for message in once_through(iter(loop))] == [0, 1, 2]


def test_whoever_came_late_waits_for_the_next_passage() -> None:
    late = passage(
        (1, 6, False), (2, 7, False), (3, 5, True), (4, 6, False), (5, 7, False), (6, 5, True), (7, 6, False)
    )
    assert [message.sequence for message in once_through(iter(late))] == [3, 4, 5]


def test_a_still_is_one_frame() -> None:
    still = passage((4, 0, True), (5, 0, True), (6, 0, True))
    assert [message.sequence for message in once_through(iter(still))] == [5]


def test_flags_travel_as_they_were_given() -> None:
    assert as_arguments(ModelFlags()) == []
    given = ModelFlags(model="tiny", size=64, accept_license=True)
    assert as_arguments(given) == ["--model", "tiny", "--accept-license", "--size", "64"]


def test_a_feed_is_recorded_until_the_key_is_pressed_again(tmp_path: Path) -> None:
    with publisher_process("tcp://127.0.0.1:*", 20, 16, 24) as (_, endpoint), Subscriber(endpoint) as watching:
        begin = recorder(endpoint, None)
        assert begin is not None
        end = begin(tmp_path / "take.mkv")
        try:
            wait_until(lambda: list(tmp_path.iterdir()))
            count = watching.stats.received + 20
            wait_until(lambda: watching.stats.received >= count)
        finally:
            end()
    assert len(list(read_recording(tmp_path / "take.mkv"))) > 3


@pytest.mark.parametrize("film", [PyAvFilm, OpenCvFilm])
def test_films_hold_what_was_written_whatever_the_encoder(film: type[PyAvFilm | OpenCvFilm], tmp_path: Path) -> None:
    assert can_film()
    writer = film(tmp_path / "deep" / "film.mp4", 25)
    for level in (40, 120, 200):
        writer.write(np.full((33, 65, 3), (level, 0, 0), np.uint8))
    writer.close()
    writer.close()
    with av.open(str(tmp_path / "deep" / "film.mp4")) as container:
        reds = [frame.to_ndarray(format="rgb24")[..., 0].mean() for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 25
    assert reds == pytest.approx([40, 120, 200], abs=14)


def test_a_film_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "film.mp4.part").mkdir()
    film = PyAvFilm(tmp_path / "film.mp4", 25)
    film.write(np.zeros((32, 32, 3), np.uint8))  # the encoder keeps it for a while
    with pytest.raises(SinkError, match="cannot write"):
        film.close()


def test_only_frames_missed_between_those_that_are_saved_count(tmp_path: Path) -> None:
    """What came before the first, while the graphics stack was tried, or after the last, was not wanted."""
    messages = [numbered_frame(sequence, "0" * 32) for sequence in (90, 91, 95)]
    last, missed = View(save=SaveFlags(export_ply=tmp_path))._export(iter(messages), ViewSettings())
    assert last is messages[-1]
    assert missed == 3
