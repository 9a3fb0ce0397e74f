"""A real ``dptstream serve`` and real Blender: what a user sees who starts both."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.media import numbered_pictures, write_video

from .conftest import ROOT
from .environments import Blender
from .test_faults import free_endpoint

SCENE = "synthetic:width=96,height=54,frames=0,fps=20"


@contextmanager
def serving(endpoint: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``dptstream serve`` of the synthetic scene with the bundled network."""
    command = [
        sys.executable,
        "-m",
        "dptstream",
        "serve",
        SCENE,
        f"--bind={endpoint}",
        "--size=56",
        "--live",
        "-q",
        *words,
    ]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The endpoint of a server that runs for all tests of this file that leave it as it is."""
    endpoint = free_endpoint()
    with serving(endpoint):
        yield endpoint


def test_a_hundred_served_frames_stand_in_the_scene_as_they_were_sent(fresh: Blender, served: str) -> None:
    assert fresh.call("inside_live.connect", endpoint=served) == ["FINISHED"]
    assert fresh.call("inside_live.pump", frames=100, seconds=240) >= 100
    fresh.call("inside_live.set_inputs", Edge_Cut=0.0)
    found = fresh.call("inside_live.surface_error")
    assert found["vertices"] == found["expected"] > 1000
    assert found["error"] < 1e-4
    assert fresh.call("inside_live.color_error") < 1e-6
    assert found["nearest"] >= 0.5
    assert found["farthest"] <= 4 + 1e-4
    lines = fresh.call("inside_live.reported")["lines"]
    assert lines[1].endswith(" · relative inverse depth")
    assert lines[2] == "tiny"


def test_a_killed_server_is_told_and_its_successor_is_picked_up(fresh: Blender) -> None:
    endpoint = free_endpoint()
    with serving(endpoint) as process:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump", frames=3, seconds=240) >= 3
        first = fresh.call("inside_live.session")
        process.kill()
    assert "nothing comes" in fresh.call("inside_live.pump_until_problem", text="nothing comes")
    with serving(endpoint):
        assert fresh.call("inside_live.pump", frames=3, seconds=240) >= 3
        assert fresh.call("inside_live.session") != first
        assert fresh.call("inside_live.problem") == ""
        fresh.call("inside_live.set_inputs", Edge_Cut=0.0)
        assert fresh.call("inside_live.surface_error")["error"] < 1e-4


def test_the_server_changes_size_and_smoothing_as_it_is_told(fresh: Blender) -> None:
    endpoint = free_endpoint()
    with serving(endpoint):
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump", frames=3, seconds=240) >= 3
        before = fresh.call("inside_live.vertices")
        fresh.call("inside_panel.set_scene", model="tiny", size=84, smoothing="off")
        assert fresh.call("inside_live.press", button="steer") == ["FINISHED"]
        assert fresh.call("inside_panel.wait_for_answer") == ""
        fresh.call("inside_live.pump", frames=20, seconds=240)
        assert fresh.call("inside_live.vertices") > before
        fresh.call("inside_panel.set_scene", model="no-such-model")
        fresh.call("inside_live.press", button="steer")
        assert "there is no model 'no-such-model'" in fresh.call("inside_panel.wait_for_answer")
        assert "no-such-model" in " ".join(fresh.call("inside_panel.drawn", panel="DPTSTREAM_PT_steering"))


def test_start_server_serves_a_file_and_shows_it(fresh: Blender, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, numbered_pictures(12))
    fresh.call("inside_panel.set_python", path=sys.executable)
    fresh.call("inside_panel.set_scene", endpoint=free_endpoint(), server_file=str(clip), size=56)
    assert fresh.call("inside_live.press", button="start_server") == ["FINISHED"]
    log = fresh.call("inside_panel.wait_for_log", text="serving")
    assert any(line.startswith("serving  at tcp://127.0.0.1:") for line in log), log
    assert fresh.call("inside_live.pump", frames=30, seconds=240) >= 30, "the file goes round and round"
    assert "A server runs already" in fresh.call("inside_live.press", button="start_server")[1]
    drawn = fresh.call("inside_panel.drawn", panel="DPTSTREAM_PT_server")
    assert {"[Stop Server]", "[Copy Log]"} <= set(drawn)
    assert fresh.call("inside_live.press", button="stop_server") == ["FINISHED"]
    assert fresh.call("inside_panel.server_log")[-1].startswith("ended    clip: ")
    assert "nothing comes" in fresh.call("inside_live.pump_until_problem", text="nothing comes")


def test_a_server_that_ends_by_itself_says_why(fresh: Blender, tmp_path: Path) -> None:
    fresh.call("inside_panel.set_python", path=sys.executable)
    fresh.call("inside_panel.set_scene", endpoint=free_endpoint(), server_file=str(tmp_path / "missing.mp4"))
    fresh.call("inside_live.press", button="start_server")
    fresh.call("inside_panel.wait_for_the_servers_end")
    drawn = " ".join(fresh.call("inside_panel.drawn", panel="DPTSTREAM_PT_server"))
    assert "The server ended: dptstream: " in drawn
    assert "[Start Server]" in drawn


def test_a_server_started_here_ends_with_the_extension(fresh: Blender, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, numbered_pictures(12))
    fresh.call("inside_panel.set_python", path=sys.executable)
    fresh.call("inside_panel.set_scene", endpoint=free_endpoint(), server_file=str(clip), size=56)
    fresh.call("inside_live.press", button="start_server")
    fresh.call("inside_panel.wait_for_log", text="serving")
    fresh.call("inside_live.register_again", times=1)
    assert "No server was started here" in fresh.call("inside_live.press", button="stop_server")[1]
    assert fresh.call("inside_live.open_things")["threads"] == []


def test_the_clip_in_the_movie_clip_editor_can_be_served(fresh: Blender, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_video(clip, numbered_pictures(3))
    fresh.call("inside_panel.set_scene", server_input="CLIP")
    assert Path(fresh.call("inside_panel.load_clip", path=str(clip))) == clip.resolve()
