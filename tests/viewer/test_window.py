"""The window itself, drawn without a display by EGL. Skipped, saying why, where there is no graphics stack."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.errors import DptStreamError, MissingExtraError
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.viewer import graphics
from dptstream.viewer.canvas import Canvas
from dptstream.viewer.cloud import make_cloud
from dptstream.viewer.feeds import FeedStatus
from dptstream.viewer.poses import Frame, Lens, frame_of, orbited, own_view, swing
from dptstream.viewer.scene import Scene
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.shots import film_orbit, snapshot
from dptstream.viewer.updating import Updater, draw
from dptstream.viewer.window import Tools, Window
from dptstream.wire import DepthPlane, FrameMessage, RawColor
from tests.waiting import PATIENCE_SECONDS, wait_until

from .filming import film, filmed

SIZE_WH = (320, 200)
RED, BLUE = (255, 0, 0), (0, 0, 255)


class Reel:
    """A feed of given messages: each once, then silence."""

    title = "reel"
    transport = None

    def __init__(self, *messages: FrameMessage) -> None:
        self._messages = list(messages)

    def newest(self, timeout: float) -> FrameMessage | None:
        if self._messages:
            return self._messages.pop(0)
        time.sleep(min(timeout, 0.01))
        return None

    def status(self) -> FeedStatus:
        return FeedStatus("playing")

    def close(self) -> None:
        pass


def two_walls(near: float = 1.0, far: float = 3.0) -> FrameMessage:
    """A red wall at the left, near, and a blue one at the right, far."""
    depth = np.full((80, 128), near, np.float32)
    depth[:, 64:] = far
    picture = np.zeros((80, 128, 3), np.uint8)
    picture[:, :64], picture[:, 64:] = RED, BLUE
    return filmed(
        depth=DepthPlane(depth, DepthKind.METRIC, near, far),
        color=RawColor(picture),
        intrinsics=Intrinsics.default(128, 80),
    )


def share(image: NDArray[np.uint8], color: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - color).max(axis=2) < 30).mean())


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("mode", ["points", "surface"])
def test_a_snapshot_shows_the_picture_from_the_front_and_its_depth_from_aside(mode: str) -> None:
    settings = ViewSettings(mode=mode, point_size=6)  # type: ignore[arg-type]
    front = snapshot(two_walls(), settings, SIZE_WH)
    assert front.shape == (200, 320, 3)
    assert share(front[:, :150], RED) > 0.5
    assert share(front[:, :150], BLUE) < 0.02
    assert share(front[:, 170:], BLUE) > 0.4
    aside = snapshot(two_walls(), settings, SIZE_WH, yaw_deg=-35)
    # From the left one sees past the near wall's edge: a gap opens that was hidden from the front.
    middle = aside[80:120]
    assert share(middle, RED) > 0.1
    assert share(middle, BLUE) > 0.02
    assert share(middle, RED) + share(middle, BLUE) < share(front[80:120], RED) + share(front[80:120], BLUE)


@pytest.mark.usefixtures("drawn")
def test_a_window_shows_frames_as_they_come_and_ends_after_so_many() -> None:
    source = film()
    window = Window(Reel(*(filmed(number, source=source) for number in range(4))), ViewSettings(), visible=False)
    assert window.run(frames=3) == 3


@pytest.mark.usefixtures("drawn")
def test_a_feed_that_turns_upright_is_seen_as_if_it_had_always_been() -> None:
    """Such as when a phone is turned, or another file is played: the view and the size of points fit again."""
    wide, tall = (filmed(source=film(width=width, height=height)) for width, height in ((96, 54), (30, 54)))
    seen = []
    for messages in ([wide, tall], [tall]):
        window = Window(Reel(*messages), ViewSettings(), size_wh=SIZE_WH, visible=False, fit_points=True)
        with window._canvas, window._updater:
            wait_until(lambda window=window: window._turn() and window._drawing.message is tall)  # type: ignore[misc]
            wait_until(lambda window=window: window._turn() or window._updater.settings is window._drawing.settings)  # type: ignore[misc]
            seen.append(window._canvas.picture())
    np.testing.assert_array_equal(seen[0], seen[1])


@pytest.mark.usefixtures("drawn")
def test_points_keep_the_size_that_was_chosen_by_a_key() -> None:
    fine, coarse = (filmed(source=film(width=width, height=height)) for width, height in ((96, 54), (48, 27)))
    window = Window(Reel(fine), ViewSettings(), size_wh=SIZE_WH, visible=False, fit_points=True)
    with window._canvas, window._updater:
        wait_until(window._turn)
        fitted = window._updater.settings.point_size
        window._show(draw(Scene(), coarse, window._updater.settings))
        assert window._updater.settings.point_size > fitted
        window._updater.show(replace(window._updater.settings, point_size=5))
        window._show(draw(Scene(), fine, window._updater.settings))
        assert window._updater.settings.point_size == 5


@pytest.mark.usefixtures("drawn")
def test_a_window_changes_between_points_and_surface_saves_and_closes(tmp_path: Path) -> None:
    films: list[list[NDArray[np.uint8]]] = []

    class Film:
        def __init__(self) -> None:
            films.append([])

        def write(self, image_hwc: NDArray[np.uint8]) -> None:
            films[-1].append(image_hwc)

        def close(self) -> None:
            films[-1].append(films[-1][-1])

    acts = ["M", "C", "R", "0", "S", "Y", "shift Y", "shift X", "V", "Z", "H", "Left", "L", "shift X", "X"]
    window = Window(
        Reel(two_walls()),
        ViewSettings(),
        Tools(tmp_path, open_video=lambda path, fps: Film()),
        size_wh=SIZE_WH,
        visible=False,
    )
    pressed: dict[int, object] = {}
    window._canvas.on_key = pressed.__setitem__  # type: ignore[method-assign]
    codes = {"Left": 263}
    turn, turns = window._turn, [0]

    def press_in_turn() -> bool:
        shown = turn()
        turns[0] += 1
        if turns[0] > 5 and turns[0] % 4 == 0:
            if acts:
                *shift, key = acts.pop(0).split()
                pressed[codes.get(key) or ord(key)](bool(shift))  # type: ignore[operator]
            else:
                window.close()
        return shown

    window._turn = press_in_turn  # type: ignore[method-assign]
    window.run()
    assert window._updater.settings.mode == "surface"
    assert window._updater.settings.color == "depth"
    assert window._updater.settings.fov_x_deg == pytest.approx(65)
    assert window._updater.frozen
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".glb", ".ply", ".png"]
    assert len(films) == 1
    assert films[0][0].shape == (200, 320, 3)


@pytest.mark.usefixtures("drawn")
def test_an_orbit_begins_where_it_ends_and_sees_both_sides() -> None:
    pictures: list[NDArray[np.uint8]] = []

    class Film:
        def write(self, image_hwc: NDArray[np.uint8]) -> None:
            pictures.append(image_hwc)

        def close(self) -> None:
            pass

    message = two_walls()
    assert film_orbit(lambda _: message, ViewSettings(point_size=4), SIZE_WH, Film(), seconds=0.32) == 8
    np.testing.assert_array_equal(pictures[0], snapshot(message, ViewSettings(point_size=4), SIZE_WH))
    assert np.abs(pictures[2].astype(int) - pictures[6]).mean() > 5


def test_the_eye_goes_right_and_up_and_keeps_looking_at_the_pivot() -> None:
    frame = frame_of(make_cloud(filmed(), ViewSettings()))
    lens = Lens.fitting(make_cloud(filmed(), ViewSettings()), SIZE_WH)
    where = np.linalg.inv(orbited(frame, lens.tangents, yaw_deg=30, pitch_deg=10))[:3, 3]
    assert where[0] > 0
    assert where[1] < 0  # y points down
    front = orbited(frame, lens.tangents) @ [0, 0, frame.pivot, 1]
    assert front[:2] == pytest.approx([0, 0])
    assert front[2] > frame.pivot
    np.testing.assert_array_equal(own_view(), np.eye(4))
    first, *_ = swing(frame, lens.tangents, 12)
    np.testing.assert_allclose(first, orbited(frame, lens.tangents))


def test_points_are_made_as_large_as_a_coarse_map_needs() -> None:
    cloud = make_cloud(filmed(), ViewSettings())
    # 96 pixels across 960, and room for views from aside
    assert Lens.fitting(cloud, (960, 540)).point_pixels(cloud, 540) == 16
    assert Lens.fitting(cloud, (120, 68)).point_pixels(cloud, 68) == 2


@pytest.mark.usefixtures("drawn")
def test_a_picture_with_fitted_points_has_no_gaps() -> None:
    front = snapshot(two_walls(), ViewSettings(point_size=1), (640, 400), fit_points=True)
    assert share(front[100:300, 60:280], RED) > 0.99
    assert share(snapshot(two_walls(), ViewSettings(point_size=1), (640, 400))[100:300, 60:280], RED) < 0.5


def test_a_frame_without_points_has_a_view_all_the_same() -> None:
    nothing = np.full((8, 8), np.nan, np.float32)
    cloud = make_cloud(filmed(depth=DepthPlane(nothing, DepthKind.METRIC, 1, 2)), ViewSettings())
    frame: Frame = frame_of(cloud)
    assert np.isfinite(orbited(frame, (0.5, 0.5), yaw_deg=20)).all()


@pytest.mark.usefixtures("drawn")
def test_points_left_out_are_hidden_behind_one_that_is_shown() -> None:
    drawing = draw(Scene(), two_walls(), ViewSettings())
    with Canvas("test", SIZE_WH, visible=False) as canvas:
        canvas.put(drawing, drawing.settings)
        points, colors = np.asarray(canvas._shape.points), np.asarray(canvas._shape.colors)
        assert len(points) == drawing.cloud.keep.size
        assert len(np.unique(points, axis=0)) == drawing.count == drawing.cloud.keep.sum() < len(points)
        assert (colors.min(), colors.max()) == (0.0, 1.0)


@pytest.mark.usefixtures("drawn")
def test_a_frame_all_of_whose_points_are_cut_shows_none() -> None:
    noise = np.random.default_rng(3).uniform(1, 9, (30, 40)).astype(np.float32)
    drawing = draw(Scene(), filmed(depth=DepthPlane(noise, DepthKind.METRIC, 1, 9)), ViewSettings(edge_threshold=1e-5))
    assert drawing.count == 0
    with Canvas("test", SIZE_WH, visible=False) as canvas:
        canvas.put(drawing, drawing.settings)
        assert not np.asarray(canvas._shape.points).any()


@pytest.mark.usefixtures("drawn")
def test_the_surface_that_is_drawn_is_the_one_that_is_saved() -> None:
    drawing = draw(Scene(), two_walls(), ViewSettings(mode="surface"))
    with Canvas("test", SIZE_WH, visible=False) as canvas:
        for _ in range(2):  # the second time into the same memory
            canvas.put(drawing, drawing.settings)
            corners = np.asarray(canvas._shape.triangles)
            drawn = np.asarray(canvas._shape.vertices)[corners[corners.any(axis=1)]]
    vertices, _, triangles = drawing.cloud.surface()
    np.testing.assert_array_equal(drawn, vertices[triangles])


@pytest.mark.usefixtures("drawn")
def test_a_frame_of_another_size_is_drawn_as_if_it_were_the_first() -> None:
    first, second = (filmed(source=film(width=width, height=54)) for width in (96, 60))
    settings = ViewSettings(point_size=4)
    with Canvas("test", SIZE_WH, visible=False) as canvas:
        for message in (first, second):
            canvas.put(draw(Scene(), message, settings), settings)
        assert len(np.asarray(canvas._shape.points)) == 60 * 54


def test_new_settings_change_the_frame_that_is_shown_even_when_none_comes() -> None:
    with Updater(Reel(two_walls()), ViewSettings()) as updater:
        first = updater.take(PATIENCE_SECONDS)
        assert first is not None
        updater.show(replace(updater.settings, mode="surface"))
        second = updater.take(PATIENCE_SECONDS)
        assert second is not None
        assert second.message is first.message
        assert second.settings.mode == "surface"


def test_a_frozen_picture_stays_and_can_still_be_shown_otherwise() -> None:
    source = film()
    with Updater(Reel(*(filmed(number, source=source) for number in range(3))), ViewSettings()) as updater:
        first = updater.take(PATIENCE_SECONDS)
        assert first is not None
        updater.freeze(frozen=True)
        time.sleep(0.3)
        updater.take()  # what was on its way
        updater.show(replace(updater.settings, stride=2))
        again = updater.take(PATIENCE_SECONDS)
        assert again is not None
        assert again.cloud.camera.width == first.cloud.camera.width // 2
        assert updater.take(0.3) is None


def test_one_drawing_waits_for_the_window_and_what_comes_meanwhile_in_the_feed() -> None:
    """So a slow window has the newest frame drawn next, not one that was new when it began."""
    source = film()
    reel = Reel(*(filmed(number, source=source) for number in range(2)))
    with Updater(reel, ViewSettings()) as updater:
        wait_until(lambda: updater._ready is not None)
        assert len(reel._messages) == 1
        first, second = (updater.take(PATIENCE_SECONDS) for _ in range(2))
        assert first is not None
        assert second is not None
        assert (first.message.sequence, second.message.sequence) == (0, 1)


def test_a_failing_feed_ends_the_window_with_its_reason() -> None:
    class Broken(Reel):
        def newest(self, timeout: float) -> FrameMessage | None:
            raise DptStreamError("the cable is cut")

    with Updater(Broken(), ViewSettings()) as updater, pytest.raises(DptStreamError, match="the cable is cut"):
        updater.take(PATIENCE_SECONDS)


def test_without_open3d_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dptstream\[viewer\]"') as caught:
        graphics.load_open3d()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended the process \(-11\)"),
        ("print('broken libGL.so.1: cannot open shared object file')", "libGL.so.1.*apt-get install"),
        ("print('missing open3d')", "dptstream view --web"),
        ("print('missing flask')", "pip install flask"),
        ("print('none')", "apt-get install"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="dies otherwise there")
def test_a_graphics_stack_that_fails_or_kills_is_one_line(
    program: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphics, "_PROBE", program)
    with pytest.raises(MissingExtraError, match=complaint) as caught:
        graphics.check_graphics()
    assert "\n" not in str(caught.value)
