"""Live depth in real Blender, from a server or publisher of its own, through the extension's own buttons."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dptstream.geometry import DepthKind, Intrinsics
from dptstream.wire import DepthPlane, JpegColor

from .environments import Blender, pythons
from .publishing import feed, slope

TOLERANCE = 1e-4


def test_the_installed_zip_brings_its_own_pyzmq_and_nothing_heavy(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
        assert fresh.call("inside_live.pump") == 1
    assert ".local" in fresh.call("inside_live.origin_of", module="zmq")
    assert "user_default" in fresh.call("inside_live.origin_of", module="bl_ext.user_default.dptstream.dptstream.wire")
    assert fresh.call("inside_live.heavy_modules") == []


def test_a_surface_stands_where_the_feeds_depth_is(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=3)
        found = fresh.call("inside_live.surface_error")
    assert (found["vertices"], found["faces"]) == (20 * 32, 19 * 31)
    assert found["error"] < TOLERANCE
    assert found["nearest"] >= 2.0


def test_colors_are_the_pictures(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=3)
        assert fresh.call("inside_live.color_error") < 1e-6
        fresh.call("inside_live.set_inputs", Video_Colors=False, Plain_Color=[0.25, 0.5, 1.0, 1.0])
        assert fresh.call("inside_live.plain_color") == [0.25, 0.5, 1.0, 1.0]


def test_jpegs_are_decoded_by_blender_itself(fresh: Blender) -> None:
    picture = np.zeros((20, 32, 3), np.uint8)
    picture[:, :16], picture[:, 16:], picture[:10] = (200, 40, 40), (40, 40, 200), (128, 128, 128)
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    with feed(lambda sequence: slope(sequence, color=JpegColor(data, 32, 20))) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=3)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255
        linear = np.where(decoded <= 0.04045, decoded / 12.92, ((decoded + 0.055) / 1.055) ** 2.4)
        np.testing.assert_allclose(fresh.call("inside_live.colors"), linear.reshape(-1, 3), atol=0.02)
        assert fresh.call("inside_live.count_data")["images"] == 1
        fresh.call("inside_live.press", button="disconnect")
        assert fresh.call("inside_live.count_data")["images"] == 0


@pytest.mark.parametrize(
    "data", [b"\xff\xd8 no picture", b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + b"\0" * 20]
)
def test_a_damaged_or_enormous_jpeg_leaves_the_surface_grey(fresh: Blender, data: bytes) -> None:
    with feed(lambda sequence: slope(sequence, color=JpegColor(data, 32, 20))) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert fresh.call("inside_live.plain_color") == [0.5, 0.5, 0.5, 1.0]


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_INVERSE, DepthKind.RELATIVE])
def test_relative_depth_is_laid_out_between_near_and_far(fresh: Blender, kind: DepthKind) -> None:
    values = np.linspace(5, 25, 20 * 32, dtype=np.float32).reshape(20, 32)
    depth = DepthPlane(values, kind, 5.0, 25.0)
    with feed(lambda sequence: slope(sequence, depth=depth)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.set_inputs", Edge_Cut=0.0)
        found = fresh.call("inside_live.surface_error")
    assert found["error"] < TOLERANCE
    assert found["farthest"] == pytest.approx(4.0)
    assert found["nearest"] == pytest.approx(1.0 if kind is DepthKind.RELATIVE_INVERSE else 0.8)


def test_a_pixel_far_beyond_the_range_is_no_spike_into_the_camera(fresh: Blender) -> None:
    values = np.full((20, 32), 15.0, np.float32)
    values[10, 10] = 1000.0
    depth = DepthPlane(values, DepthKind.RELATIVE_INVERSE, 5.0, 25.0)
    with feed(lambda sequence: slope(sequence, depth=depth)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.set_inputs", Edge_Cut=0.0)
        found = fresh.call("inside_live.surface_error")
    assert found["error"] < TOLERANCE
    assert 0.5 < found["nearest"] < 0.6


def test_scale_and_shift_change_all_distances(fresh: Blender) -> None:
    depth = DepthPlane(np.full((20, 32), 3.0, np.float32), DepthKind.METRIC, 2.0, 4.0)
    with feed(lambda sequence: slope(sequence, depth=depth)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.set_inputs", Scale=2.0, Shift=0.5)
        assert fresh.call("inside_live.surface_error")["farthest"] == pytest.approx(6.5)


def test_pixels_without_depth_are_left_out(fresh: Blender) -> None:
    values = np.full((20, 32), 3.0, np.float32)
    values[:4] = np.nan
    values[4, 0] = np.inf
    depth = DepthPlane(values, DepthKind.METRIC, 2.0, 4.0)
    with feed(lambda sequence: slope(sequence, depth=depth)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        found = fresh.call("inside_live.surface_error")
    assert found["vertices"] == found["expected"] == 16 * 32 - 1
    assert found["error"] < TOLERANCE


def test_the_surface_is_cut_where_depth_jumps(fresh: Blender) -> None:
    values = np.full((20, 32), 2.0, np.float32)
    values[:, 16:] = 4.0
    depth = DepthPlane(values, DepthKind.METRIC, 2.0, 4.0)
    with feed(lambda sequence: slope(sequence, depth=depth)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert fresh.call("inside_live.surface_error")["faces"] == 19 * 30
        fresh.call("inside_live.set_inputs", Edge_Cut=0.0)
        assert fresh.call("inside_live.surface_error")["faces"] == 19 * 31
        fresh.call("inside_live.set_inputs", Edge_Cut=0.1, As_Points=True)
        assert fresh.call("inside_live.points")["count"] == 20 * 30


def test_points_touch_each_other_as_seen_from_the_camera_at_any_stride(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.set_inputs", As_Points=True)
        whole = fresh.call("inside_live.points")
        fresh.call("inside_live.set_inputs", Stride=3)
        coarse = fresh.call("inside_live.points")
    assert (whole["count"], coarse["count"]) == (20 * 32, 7 * 11)
    assert whole["radii_of_distance"] == pytest.approx([0.5 / 30, 0.5 / 30])
    assert coarse["radii_of_distance"] == pytest.approx([1.5 / 30, 1.5 / 30])


def test_a_hundred_frames_make_no_data_and_no_undo_steps(fresh: Blender) -> None:
    with feed(slope, fps=100) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.add_empty")
        before = fresh.call("inside_live.count_data")
        assert fresh.call("inside_live.pump", frames=100) >= 100
        assert fresh.call("inside_live.count_data") == before
        assert fresh.call("inside_live.undo") == ["Depth Camera", "Live Depth"], "one step back is the empty"
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE


def test_the_size_and_the_camera_of_a_feed_may_change(fresh: Blender) -> None:
    def changing(sequence: int) -> object:
        if sequence < 20:
            return slope(sequence)
        lens = Intrinsics(50.0, 50.0, 20.0, 12.0, 48, 27)
        return slope(sequence, 27, 48, intrinsics=lens)

    with feed(changing) as endpoint:  # type: ignore[arg-type]
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=40)
        found = fresh.call("inside_live.surface_error")
    assert found["vertices"] == 48 * 27
    assert found["error"] < TOLERANCE


def test_the_camera_sees_each_point_at_its_pixel(fresh: Blender) -> None:
    lens = Intrinsics(40.0, 44.0, 14.0, 12.0, 32, 20)
    with feed(lambda sequence: slope(sequence, intrinsics=lens)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.press", button="look_through")
        # The picture is 6 x 4 in the message's note: twice as flat as the depth's 32 x 20.
        for u, v, distance in ((0.0, 0.0, 1.0), (32.0, 20.0, 4.0), (14.0, 12.0, 2.0), (30.5, 3.0, 9.0)):
            found = fresh.call("inside_live.pixel_of", u=u, v=v, distance=distance)
            assert found == pytest.approx([u / 32 * 6, v / 20 * 4], abs=1e-3)


def test_one_of_several_feeds_is_followed(fresh: Blender) -> None:
    small, large = (lambda n: slope(n, feed="left")), (lambda n: slope(n, 10, 12, feed="right"))
    with feed(small, large) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint, feed="right")
        fresh.call("inside_live.pump", frames=3)
        assert fresh.call("inside_live.vertices") == 10 * 12
        assert fresh.call("inside_live.reported")["feeds"] == ["left", "right"]
        fresh.call("inside_live.follow", feed="left")
        fresh.call("inside_live.pump", frames=3)
        assert fresh.call("inside_live.vertices") == 20 * 32
        fresh.call("inside_live.follow", feed="middle")
        told = fresh.call("inside_live.pump_until_problem", text="middle")
        assert told.endswith("there are: left, right")


def test_disconnecting_leaves_no_thread_and_no_socket(fresh: Blender) -> None:
    before = fresh.call("inside_live.open_things")
    assert before["threads"] == []
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=3)
        during = fresh.call("inside_live.open_things")
        assert len(during["threads"]) == 2
        assert during["sockets"] > before["sockets"] or before["sockets"] == 0
        assert fresh.call("inside_live.press", button="disconnect") == ["FINISHED"]
        assert fresh.call("inside_live.open_things") == before
        assert fresh.call("inside_live.vertices") == 20 * 32, "the last frame stays"


def test_the_extension_may_be_registered_and_taken_back_again_and_again_while_live(fresh: Blender) -> None:
    before = fresh.call("inside_live.open_things")
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.register_again", times=2)
        assert fresh.call("inside_live.open_things") == before
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump") == 1


def test_nothing_stays_registered_where_one_module_fails(fresh: Blender) -> None:
    assert fresh.call("inside_live.registers_after_a_failure") == []


def test_a_second_copy_of_the_extension_is_refused(fresh: Blender) -> None:
    assert "disable it first" in fresh.call("inside_live.refuses_a_second_copy")


@pytest.mark.parametrize("python", pythons() or [""])
def test_the_extension_may_be_disabled_and_blender_quit_while_live(python: str, zips: Path, tmp_path: Path) -> None:
    blender = Blender(python, tmp_path)
    span = "4.2-5.0" if tuple(blender.call("inside.version")) < (5, 1) else "5.1-on"
    blender.call("inside.install", path=str(next(zips.glob(f"*-blender-{span}.zip"))))
    with feed(slope) as endpoint:
        blender.call("inside_live.connect", endpoint=endpoint)
        assert blender.call("inside_live.pump") == 1
        blender.call("inside.disable_and_enable", times=2)
        blender.call("inside_live.connect", endpoint=endpoint)
        assert blender.call("inside_live.pump") == 1
        assert blender.close() == 0
