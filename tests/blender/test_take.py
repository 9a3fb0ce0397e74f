"""Recording live depth: in real Blender, and the writer by itself, which needs none."""

import json
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from blender_addon.manifest_reader import read_sequence, shown_frames
from blender_addon.picture_files import exr_bytes, png_bytes
from blender_addon.take_writer import WAITING_FRAMES, TakeReport, TakeWriter
from dptstream.geometry import DepthKind, unproject
from dptstream.sinks import read_manifest
from dptstream.wire import DepthPlane, FrameMessage, JpegColor, RawColor

from .environments import Blender
from .publishing import feed, slope

TOLERANCE = 1e-4


def steady(sequence: int, **changes: object) -> FrameMessage:
    return slope(sequence, **{"pts": sequence, "time_base": Fraction(1, 50)} | changes)


def record(folder: Path, messages: list[FrameMessage]) -> TakeReport:
    writer = TakeWriter(folder, "cam")
    writer.start()
    for message in messages:
        writer.offer(message)
    return writer.close()


def wait_for_frames(blender: Blender, count: int) -> None:
    deadline = time.monotonic() + 120
    while blender.call("inside_take.frames") < count:
        blender.call("inside_live.pump")
        assert time.monotonic() < deadline, "the frames were not written"


def test_a_take_plays_on_the_timeline_in_place_of_the_live_object(fresh: Blender, tmp_path: Path) -> None:
    with feed(steady) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=2)
        fresh.call("inside_live.set_inputs", Edge_Cut=0.0, Scale=1.0)
        assert fresh.call("inside_take.record", folder=str(tmp_path)) == ["FINISHED"]
        wait_for_frames(fresh, 8)
        assert fresh.call("inside_take.stop") == ["FINISHED"]
    folder = next(tmp_path.iterdir())
    rows = read_manifest(folder)["frames"]
    assert isinstance(rows, list)
    scene = fresh.call("inside_sequence.scene")
    assert scene["rate"] == pytest.approx(50)
    views = fresh.call("inside_take.in_view")
    assert views.pop("Live Depth") is False
    assert list(views.values()) == [True]
    for row in (rows[0], rows[3], rows[-1]):
        turn = round(row["pts_seconds"] * 50)
        found = np.array(fresh.call("inside_sequence.positions", frame=scene["range"][0] + turn))
        depth = OpenEXR.File(str(folder / row["files"]["exr"])).channels()["Y"].pixels
        points = unproject(depth, slope(0).intrinsics).reshape(-1, 3)[:, (0, 2, 1)] * (1, 1, -1)
        assert np.abs(found - points).max() < TOLERANCE
    fresh.call("inside_take.back_to_live")
    assert fresh.call("inside_take.in_view")["Live Depth"] is True


def test_a_take_is_shown_as_the_live_object_was(fresh: Blender, tmp_path: Path) -> None:
    with feed(steady) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.set_inputs", As_Points=True, Point_Size=2.5)
        fresh.call("inside_take.record", folder=str(tmp_path))
        wait_for_frames(fresh, 2)
        fresh.call("inside_take.stop")
    name = fresh.call("inside_sequence.scene")["active"]
    assert fresh.call("inside_take.display", name=name, setting="As Points") is True
    assert fresh.call("inside_take.display", name=name, setting="Point Size") == 2.5


def test_a_take_ends_by_itself_when_its_feed_is_left(fresh: Blender, tmp_path: Path) -> None:
    with feed(steady) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_take.record", folder=str(tmp_path))
        wait_for_frames(fresh, 3)
        assert fresh.call("inside_take.watch") == {"goes_on": True, "outcome": ""}
        fresh.call("inside_live.press", button="disconnect")
        ended = fresh.call("inside_take.watch")
    assert ended["goes_on"] is False
    assert "it ended by itself: disconnected" in ended["outcome"]
    assert len(list(tmp_path.glob("*/manifest.json"))) == 1
    assert fresh.call("inside.threads") == []


def test_recording_is_refused_in_words_where_it_cannot_be(fresh: Blender, tmp_path: Path) -> None:
    assert "Connect first" in fresh.call("inside_take.record", folder=str(tmp_path))[1]
    assert "No take is being recorded" in fresh.call("inside_take.stop")[1]
    with feed(steady) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert "Save the file first" in fresh.call("inside_take.record", folder="//takes")[1]
        (tmp_path / "file").write_text("in the way")
        assert "nothing is recorded" in fresh.call("inside_take.record", folder=str(tmp_path / "file"))[1]
        fresh.call("inside_take.record", folder=str(tmp_path / "takes"))
        assert "A take is being recorded" in fresh.call("inside_take.record", folder=str(tmp_path))[1]


def test_opening_a_file_ends_a_take_and_keeps_it(fresh: Blender, tmp_path: Path) -> None:
    with feed(steady) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_take.record", folder=str(tmp_path))
        wait_for_frames(fresh, 2)
        fresh.call("inside.new_file")
    assert len(read_sequence(next(tmp_path.iterdir())).frames) >= 2
    assert fresh.call("inside.threads") == []


def test_values_colours_and_times_are_kept_as_sent(tmp_path: Path) -> None:
    messages = [steady(number) for number in range(5)]
    report = record(tmp_path / "take", messages)
    assert (report.frames, report.left_out, report.ended) == (5, 0, "")
    for number, message in enumerate(messages):
        depth = OpenEXR.File(str(tmp_path / f"take/cam.{number + 1:04d}.exr")).channels()["Y"].pixels
        assert np.array_equal(depth, message.depth.values())
        picture = cv2.imread(str(tmp_path / f"take/cam_color.{number + 1:04d}.png"))[..., ::-1]
        assert isinstance(message.color, RawColor)
        assert np.array_equal(picture, message.color.pixels)
    sequence = read_sequence(tmp_path / "take")
    assert (sequence.rate, sequence.steady, sequence.unit) == (50, True, "m")
    assert [frame.seconds for frame in sequence.frames] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])


def test_a_jpeg_is_kept_as_it_came(tmp_path: Path) -> None:
    data = cv2.imencode(".jpg", np.zeros((20, 32, 3), np.uint8))[1].tobytes()
    record(tmp_path / "take", [steady(0, color=JpegColor(data, 32, 20))])
    assert (tmp_path / "take/cam_color.0001.jpg").read_bytes() == data


def test_a_gap_in_the_feed_is_a_pause_in_the_take(tmp_path: Path) -> None:
    record(tmp_path / "take", [steady(number) for number in (10, 11, 14, 15)])
    assert shown_frames(read_sequence(tmp_path / "take")).tolist() == [0, 1, 1, 1, 2, 3]


def test_a_feed_that_loops_goes_on_in_the_take(tmp_path: Path) -> None:
    messages = [steady(0), steady(1), replace(steady(2), pts=0, discontinuity=True), replace(steady(3), pts=1)]
    record(tmp_path / "take", messages)
    assert [frame.seconds for frame in read_sequence(tmp_path / "take").frames] == pytest.approx([0, 0.02, 0.04, 0.06])


def test_shots_keep_their_own_range(tmp_path: Path) -> None:
    values = np.linspace(1, 2, 640, dtype=np.float32).reshape(20, 32)
    planes = [DepthPlane(values, DepthKind.RELATIVE_INVERSE, 1.0, high) for high in (2.0, 2.0, 4.0)]
    record(tmp_path / "take", [steady(number, depth=plane) for number, plane in enumerate(planes)])
    assert [frame.high for frame in read_sequence(tmp_path / "take").frames] == [2.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda: steady(3, session="f" * 32), "the feed began anew"),
        (lambda: steady(3, height=10), "the feed's size changed"),
        (
            lambda: steady(3, depth=DepthPlane(np.ones((20, 32), np.float32), DepthKind.RELATIVE, 0.0, 1.0)),
            "the kind of depth changed",
        ),
    ],
    ids=["session", "size", "kind"],
)
def test_what_does_not_belong_to_a_take_ends_it(tmp_path: Path, other: object, reason: str) -> None:
    report = record(tmp_path / "take", [steady(0), steady(1), other(), steady(4)])  # type: ignore[operator]
    assert (report.frames, report.ended) == (2, reason)
    assert len(read_sequence(tmp_path / "take").frames) == 2


def test_a_slow_disk_loses_frames_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()

    def slow(values: np.ndarray, comments: str) -> bytes:
        may_write.wait(60)
        return exr_bytes(values, comments)

    monkeypatch.setattr("blender_addon.take_writer.exr_bytes", slow)
    writer = TakeWriter(tmp_path / "take", "cam")
    writer.start()
    offered = WAITING_FRAMES + 10
    began = time.monotonic()
    for number in range(offered):
        writer.offer(steady(number))
    assert time.monotonic() - began < 30  # nobody waited for the disk
    may_write.set()
    report = writer.close()
    assert report.left_out >= 9
    assert report.frames + report.left_out == offered


def test_a_full_disk_ends_the_take_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("blender_addon.take_writer.exr_bytes", full)
    report = record(tmp_path / "take", [steady(0), steady(1)])
    assert report.frames == 0
    assert report.ended == f"cannot write to {tmp_path / 'take'}: No space left on device"


def test_the_manifest_is_one_that_dptstream_reads(tmp_path: Path) -> None:
    record(tmp_path / "take", [steady(0)])
    manifest = read_manifest(tmp_path / "take")
    convert_keys = {"source", "model", "settings", "outputs", "values", "intrinsics", "counts", "videos", "scene_cuts"}
    assert convert_keys | {"warnings", "notes", "mappings", "frames", "complete"} <= manifest.keys()
    assert json.loads((tmp_path / "take/manifest.json").read_text()) == manifest


def test_exr_and_png_are_read_as_written(tmp_path: Path) -> None:
    depth = np.array([[1.5, np.nan, np.inf], [-2.0, 0.0, 1e-20]], np.float32)
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(cv2.imdecode(np.frombuffer(png_bytes(picture), np.uint8), 1)[..., ::-1], picture)
    assert np.array_equal(cv2.imdecode(np.frombuffer(png_bytes(picture, level=0), np.uint8), 1)[..., ::-1], picture)
    (tmp_path / "a.exr").write_bytes(exr_bytes(depth, "metres"))
    found = OpenEXR.File(str(tmp_path / "a.exr"))
    assert np.array_equal(found.channels()["Y"].pixels, depth, equal_nan=True)
    assert found.header()["comments"] == "metres"
