"""The part of the extension that knows no bpy, in plain Python."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from blender_addon.control import Asking, Question
from blender_addon.darkroom import Darkroom
from blender_addon.pictures import Picture, jpeg_size, laid_out, linear_colors
from blender_addon.receiver import Receiver
from blender_addon.server import Order, Server, camera_location, control_endpoint, sequence_location
from dptstream.errors import WireError
from dptstream.geometry import unproject
from dptstream.wire import JpegColor
from dptstream.wire.control import ControlServer
from tests.waiting import PATIENCE_SECONDS, wait_until

from .conftest import ROOT
from .publishing import feed, slope


def take(receiver: Receiver, seconds: float = PATIENCE_SECONDS) -> Picture:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        picture = receiver.take()
        if picture is not None:
            return picture
        time.sleep(0.005)
    raise AssertionError(f"no frame came; {receiver.report()}")


def test_a_frame_is_laid_out_as_blenders_fast_calls_want_it() -> None:
    with feed(slope) as endpoint:
        receiver = Receiver(endpoint)
        picture = take(receiver)
        receiver.close()
    assert picture.depth.shape == (20 * 32,)
    assert picture.colors is not None
    assert picture.colors.shape == (20 * 32 * 4,)
    for values in (picture.depth, picture.colors):
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
    np.testing.assert_array_equal(picture.depth, picture.message.depth.values().reshape(-1))


def test_only_the_newest_frame_waits() -> None:
    with feed(slope, fps=200) as endpoint:
        receiver = Receiver(endpoint)
        first = take(receiver).message.sequence
        received = receiver.report().stats.received
        wait_until(lambda: receiver.report().stats.received > received + 40)
        second = take(receiver).message.sequence
        skipped = receiver.report().stats.skipped
        receiver.close()
    assert second - first > 20
    assert skipped > 10


def test_a_colour_is_taken_to_linear_light() -> None:
    colors = linear_colors(np.array([[[0, 10, 188], [255, 128, 64]]], np.uint8), 1, 2).reshape(2, 4)
    np.testing.assert_allclose(colors[:, :3], [[0, 0.0030353, 0.5028865], [1, 0.2158605, 0.0512695]], atol=1e-6)
    assert (colors[:, 3] == 1).all()


def test_a_picture_of_another_size_lends_its_nearest_pixels() -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, 2:] = 255
    colors = linear_colors(picture, 4, 8).reshape(4, 8, 4)
    assert (colors[:, :4, :3] == 0).all()
    assert (colors[:, 4:, :3] == 1).all()


def test_every_other_pixel_of_an_enormous_frame_is_shown_where_its_ray_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blender_addon.pictures.MAX_POINTS", 200)
    message = slope(0)
    picture = laid_out(message)
    assert picture.depth.shape == (10 * 16,)
    assert picture.colors is not None
    assert picture.colors.shape == (10 * 16 * 4,)
    points = unproject(picture.depth.reshape(10, 16), picture.seen)
    whole = unproject(message.depth.values(), message.intrinsics)
    np.testing.assert_allclose(points, whole[::2, ::2], atol=1e-5)


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpegs_size_is_read_from_its_header(progressive: int) -> None:
    settings = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = cv2.imencode(".jpg", np.zeros((20, 32, 3), np.uint8), settings)[1].tobytes()
    assert jpeg_size(data) == (32, 20)
    for end in range(0, len(data), 7):
        assert jpeg_size(data[:end]) in (None, (32, 20))
    assert jpeg_size(b"\xff\xd8\xff\xfe\x00\x00" * 5) is None


def test_a_jpeg_of_another_size_than_announced_is_not_handed_on() -> None:
    data = cv2.imencode(".jpg", np.zeros((20, 32, 3), np.uint8))[1].tobytes()
    assert laid_out(slope(0, color=JpegColor(data, 32, 20))).jpeg == data
    assert laid_out(slope(0, color=JpegColor(data, 16, 10))).jpeg is None


@pytest.mark.parametrize("height", [20, 10])
def test_colors_are_made_of_a_jpegs_pixels_exactly_whatever_the_size_of_depth(height: int) -> None:
    decoded = np.random.default_rng(0).permutation(np.arange(20 * 32 * 4) % 256).reshape(20, 32, 4).astype(np.uint8)
    decoded[..., 3] = 255
    data = cv2.imencode(".jpg", decoded[..., :3])[1].tobytes()
    picture = laid_out(slope(0, height, 32, color=JpegColor(data, 32, 20)))
    from_bottom = (decoded[::-1].astype(np.float32) / np.float32(255)).reshape(-1)
    darkroom = Darkroom()
    try:
        darkroom.put(picture, from_bottom)
        while (done := darkroom.take()) is None:
            time.sleep(0.001)
        assert not darkroom.busy
        assert darkroom.take() is None
    finally:
        darkroom.close()
        darkroom.close()
    assert done.jpeg is None
    np.testing.assert_array_equal(done.colors, linear_colors(decoded[..., :3], height, 32))


def test_a_fault_while_colors_are_made_is_told_to_who_takes_them() -> None:
    darkroom = Darkroom()
    picture = laid_out(slope(0, color=JpegColor(b"none", 32, 20)))
    darkroom.put(picture, np.zeros(3, np.float32))
    darkroom.close()  # ends once the colours are made
    with pytest.raises(ValueError, match="reshape"):
        darkroom.take()


def test_threads_end_with_close_whether_or_not_anybody_sends() -> None:
    before = threading.active_count()
    receiver = Receiver("tcp://127.0.0.1:1")
    assert threading.active_count() == before + 2
    receiver.close()
    receiver.close()
    assert threading.active_count() == before


def test_without_a_choice_another_feed_is_followed_when_the_first_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blender_addon.receiver.SILENT_SECONDS", 0.2)

    def first(sequence: int) -> object:
        return slope(sequence, feed="first" if sequence < 10 else "second")

    with feed(first) as endpoint:  # type: ignore[arg-type]
        receiver = Receiver(endpoint)
        assert take(receiver).message.feed == "first"
        wait_until(lambda: take(receiver).message.feed == "second")
        receiver.close()


def test_keys_that_cannot_be_read_are_refused_before_anything_starts(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(WireError, match="makes keys"):
        Receiver("tcp://127.0.0.1:5577", keys=tmp_path)
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        Receiver("nowhere")
    assert threading.active_count() == before


def test_the_command_of_a_server_says_all_that_was_chosen() -> None:
    order = Order("python", "clip.mp4", "tcp://127.0.0.1:5577")
    assert order.command() == [
        *("python", "-m", "dptstream", "serve", "--bind=tcp://127.0.0.1:5577", "--temporal=default", "--live", "--"),
        "clip.mp4",
    ]
    full = replace(order, control="tcp://127.0.0.1:9", model="tiny", size=280, smoothing="off", loop=True).command()
    assert {"--control=tcp://127.0.0.1:9", "--model=tiny", "--size=280", "--temporal=off", "--loop"} <= set(full)


def test_dptstream_understands_the_command(tmp_path: Path) -> None:
    command = Order(
        sys.executable, str(tmp_path / "-clip.mp4"), "tcp://127.0.0.1:*", model="tiny", size=56, loop=True
    ).command()
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=400)
    assert "no such file" in told.stderr


def test_a_server_that_ignores_being_asked_to_end_is_ended() -> None:
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    server = Server([sys.executable, "-c", code])
    while not server.log():
        time.sleep(0.01)
    server.stop()  # else it would last ten minutes
    assert not server.running


def test_a_log_keeps_its_last_lines_whatever_bytes_they_hold() -> None:
    code = "import sys; [print(n) for n in range(1000)]; sys.stdout.buffer.write(b'\\xff end\\n')"
    server = Server([sys.executable, "-c", code])
    while server.running:
        time.sleep(0.01)
    server.stop()
    assert len(server.log()) == 400
    assert server.log(1) == ["\ufffd end"]


@pytest.mark.parametrize(
    ("text", "location"), [("0", "camera:0"), ("Webcam HD", "camera:Webcam HD"), ("/dev/video2", "/dev/video2")]
)
def test_cameras_are_named_as_dptstream_does(text: str, location: str) -> None:
    assert camera_location(text) == location


def test_numbered_pictures_become_a_pattern() -> None:
    assert Path(sequence_location("/shots/a_10%.0001.png")) == Path("/shots/a_10%%.%04d.png")
    assert sequence_location("still.png") == "still.png"


def test_orders_go_to_the_port_after_that_of_the_feed() -> None:
    assert control_endpoint("tcp://127.0.0.1:5577") == "tcp://127.0.0.1:5578"
    assert control_endpoint("ipc:///tmp/feed") == "ipc:///tmp/feed-control"


class _Handler:
    """Takes sizes and refuses models."""

    def __init__(self) -> None:
        self.sizes: list[int | None] = []

    def size(self, *, pixels: int | None) -> None:
        self.sizes.append(pixels)

    def model(self, *, name: str) -> None:
        raise ValueError(f"there is no model {name!r}")


def test_orders_are_given_one_after_another_until_one_is_refused() -> None:
    handler = _Handler()
    with ControlServer(handler, "tcp://127.0.0.1:*") as server:  # type: ignore[arg-type]
        questions = [
            Question("size", {"pixels": 56}),
            Question("model", {"name": "x"}),
            Question("size", {"pixels": 8}),
        ]
        asking = Asking(server.endpoint, questions)
        asking.wait(PATIENCE_SECONDS)
    assert not asking.busy
    assert asking.problem == "there is no model 'x'"
    assert handler.sizes == [56]
