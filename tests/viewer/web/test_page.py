import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from dptstream.viewer.feeds import FeedStatus
from dptstream.viewer.settings import Filters, HoleFilling, Mode, ViewSettings
from dptstream.wire import DepthPlane
from tests.waiting import lasting_port

from ..filming import street
from .browsing import Window
from .feeding import HEIGHT, HOLED, WIDTH, RecordingTransport, ScriptedFeed, distances, scene, serving, still


def test_the_page_connects_and_its_counter_advances(window: Window) -> None:
    with serving(ScriptedFeed(every=0.05)) as server:
        window.open(server.url)
        window.await_frames(5)
        assert window.state == "live"
        top = window.tab.inner_text("#top")
    assert "48 float16 · metric depth in m · tiny (Apache-2.0)" in top
    assert "of 30.0 fps" in top
    assert "ms" in top
    assert "dropped" in top


def test_what_was_converted_long_ago_has_no_age(window: Window) -> None:
    with serving(ScriptedFeed(every=0.05, captured_unix_ns=None, published_unix_ns=0)) as server:
        window.open(server.url)
        window.until(lambda: "dropped" in window.tab.inner_text("#figures"))
        assert " ms" not in window.tab.inner_text("#figures")


def test_nothing_is_asked_of_any_other_host(window: Window) -> None:
    with serving(still()) as server:
        window.open(server.url)
        assert len(window.requested) > 20
        assert [url for url in window.requested if not url.startswith((server.url, "blob:", "data:"))] == []


def test_what_is_drawn_has_the_videos_colours_and_changes_with_a_control(window: Window) -> None:
    with serving(still(), settings=ViewSettings(mode="surface")) as server:
        window.open(server.url)
        middle = [size // 2 for size in window.picture().shape[:2]]
        by_picture = window.picture()[middle[0], middle[1]]
        np.testing.assert_allclose(by_picture, (WIDTH // 2 * 3, HEIGHT // 2 * 4, 160), atol=12)
        window.tab.click("[data-setting=color] [data-value=depth]")
        by_depth = window.picture()
        assert np.abs(by_depth[middle[0], middle[1]] - by_picture).max() > 60
        window.tab.keyboard.press("c")
        window.tab.click("[data-setting=mode] [data-value=points]")
        assert np.abs(window.picture() - by_depth).mean() > 1


def test_edges_are_cut_in_the_picture_too(window: Window) -> None:
    with serving(still(), settings=ViewSettings(mode="surface")) as server:
        window.open(server.url)
        window.tab.keyboard.press("A")
        drawn = {}
        for cut in (True, False):
            drawn[cut] = np.count_nonzero(window.picture().max(axis=2) > 100)
            window.tab.click("input[data-setting=edge_cut]")
        # Aside, whole edges are sheets from the box to the wall.
        assert drawn[False] > drawn[True] * 1.02


@pytest.mark.parametrize("mode", ["points", "surface"])
def test_slopes_at_a_grazing_angle_are_whole_in_the_picture_and_a_box_before_them_is_cut_out(
    window: Window, mode: Mode
) -> None:
    for box in (False, True):
        plane = DepthPlane(street(box=box)[0], DepthKind.METRIC, 1.0, 30.0)
        with serving(still(scene(depth=plane)), settings=ViewSettings(mode=mode, point_size=1)) as server:
            window.open(server.url)
            pictures = []
            for _ in range(2):
                pictures.append(window.picture())
                window.tab.click("input[data-setting=edge_cut]")
        assert bool(np.abs(pictures[0] - pictures[1]).any()) == box


def test_a_reload_connects_again(window: Window) -> None:
    with serving(ScriptedFeed(every=0.05)) as server:
        window.open(server.url)
        window.tab.reload()
        window.await_frames(3)
        assert window.state == "live"


def test_a_killed_server_is_shown_and_recovered(window: Window) -> None:
    port = lasting_port()
    with serving(ScriptedFeed(every=0.05), port=port) as server:
        window.open(server.url)
    window.until(lambda: window.state == "gone")
    assert "Is dptstream view still running" in window.tab.inner_text("#card")
    time.sleep(0.5)
    before = window.frames
    with serving(ScriptedFeed(every=0.05), port=port):
        window.until(lambda: window.state == "live")
        window.await_frames(2)
        assert window.frames > before
        assert not window.tab.is_visible("#card")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (FeedStatus("connecting"), "Waiting for the sender"),
        (FeedStatus("waiting", "the camera is unplugged"), "the camera is unplugged"),
        (FeedStatus("ended"), "The feed has ended"),
        (FeedStatus("failed", "version 2 of the wire"), "version 2 of the wire"),
        (FeedStatus("playing"), "Waiting for the first frame"),
    ],
)
def test_what_keeps_a_frame_from_coming_is_said(window: Window, status: FeedStatus, words: str) -> None:
    feed = ScriptedFeed()
    feed.state = status
    with serving(feed) as server:
        window.tab.goto(server.url)
        window.until(lambda: words in window.tab.inner_text("#card"))


def test_a_token_in_the_address_is_needed_once(window: Window) -> None:
    with serving(ScriptedFeed(every=0.05), token="a-token-of-the-tests") as server:
        window.open(server.url)
        assert window.tab.url == f"http://127.0.0.1:{server.port}/"
        window.tab.reload()
        window.await_frames(1)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.float16, 1.0), (np.uint16, 0.001), (np.float32, 1.0)], ids=["float16", "uint16", "float32"]
)
def test_the_value_under_the_pointer_is_right_in_every_encoding(window: Window, dtype: Any, scale: float) -> None:
    codes = distances() / scale
    plane = DepthPlane(
        (np.rint(codes) if dtype is np.uint16 else codes).astype(dtype), DepthKind.METRIC, 1.0, 4.0, scale
    )
    with serving(still(scene(depth=plane))) as server:
        window.open(server.url)
        for share, metres in ((0.5, "1.500 m (4.92 ft)"), (0.9, "3.000 m (9.84 ft)")):
            hover(window, share, 0.5)
            window.until(lambda metres=metres: metres in window.tab.inner_text("#value"))  # type: ignore[misc]


def test_relative_depth_says_that_it_has_no_unit(window: Window) -> None:
    plane = DepthPlane((1 / distances()).astype(np.float16), DepthKind.RELATIVE_INVERSE, 0.2, 1.0)
    with serving(still(scene(depth=plane))) as server:
        window.open(server.url)
        hover(window, 0.5, 0.5)
        window.until(lambda: "0.6665 relative inverse depth (no unit)" in window.tab.inner_text("#value"))
        assert window.tab.locator("#measure").is_disabled()


def test_two_clicks_measure_a_distance(window: Window) -> None:
    with serving(still()) as server:
        window.open(server.url)
        window.tab.keyboard.press("0")  # the camera's own view: the wall's corners lie where the picture's are
        window.tab.keyboard.press("g")
        box = window.tab.locator("#canvas").bounding_box()
        # Both near the wall's upper edge, 3 m away, where the picture's width is 2 * 3 m * tan(30 deg).
        focal = min(box["width"] / 2 / np.tan(np.pi / 6), box["height"] / 2 / (np.tan(np.pi / 6) * HEIGHT / WIDTH))
        across, up = 150, 0.36 * focal
        for side in (-1, 1):
            window.tab.mouse.click(box["x"] + box["width"] / 2 + side * across, box["y"] + box["height"] / 2 - up)
        text = window.tab.locator("#overlay text")
        window.until(lambda: bool(text.text_content()))
        measured = float((text.text_content() or "").split()[0])
        assert measured == pytest.approx(2 * across / focal * 3, abs=0.08)


def test_a_frozen_picture_stays_and_the_newest_frame_follows(window: Window) -> None:
    feed = ScriptedFeed(every=0.05)
    with serving(feed) as server:
        window.open(server.url)
        window.tab.keyboard.press("z")
        window.until(lambda: window.state == "frozen")
        before, later = window.frames, feed._count + 12
        window.until(lambda: feed._count >= later)
        assert window.frames == before
        shown = window.tab.evaluate("dptstream.frame.header.sequence")
        window.tab.click("#freeze")
        window.await_frames(2)
        assert window.tab.evaluate("dptstream.frame.header.sequence") > shown + 8


def test_before_and_after_of_a_filter_stand_side_by_side(window: Window) -> None:
    feed = still(scene(depth=DepthPlane(np.where(HOLED > 0, HOLED, np.nan), DepthKind.METRIC, 1.0, 4.0)))
    settings = ViewSettings(mode="surface", edge_cut=False, filters=Filters(hole_filling=HoleFilling(enabled=True)))
    with serving(feed, settings=settings) as server:
        window.open(server.url)
        whole = np.count_nonzero(window.picture().max(axis=2) > 100)
        window.tab.evaluate("dptstream.act('compare', 'hole_filling')")
        picture = window.picture().max(axis=2) > 100
        half = picture.shape[1] // 2
        assert window.tab.is_visible("#divider")
        assert np.count_nonzero(picture[:, :half]) < 0.95 * np.count_nonzero(picture[:, half:])
        window.tab.keyboard.press("w")
        assert np.count_nonzero(window.picture().max(axis=2) > 100) == whole


def test_what_a_foreign_feed_cannot_give_is_said(window: Window) -> None:
    with serving(still(scene(smoothing="default"))) as server:
        window.open(server.url)
        text = window.tab.text_content("#panel") or ""
    assert "arrives smoothed (default). The depth before that is not in it" in text
    assert "no network here to run your file" in text


def test_the_transport_bar_steers(window: Window) -> None:
    feed = ScriptedFeed(every=0.05)
    feed.transport = transport = RecordingTransport()
    with serving(feed) as server:
        window.open(server.url)
        window.until(lambda: window.tab.is_visible("#transport"))
        assert window.tab.inner_text("#length") == "0:10.0"
        window.tab.click("[data-do=pause]")
        window.tab.keyboard.press("Home")  # the button has the keys now; the page must not take them
        window.tab.click("[data-do=forward]")
        window.tab.select_option("#speed", "2")
        window.tab.evaluate("scrub.value = 7; scrub.dispatchEvent(new Event('change'))")
        window.until(lambda: len(transport.asked) >= 4)
    assert transport.asked == [("pause", True), ("step", 1), ("speed", 2.0), ("seek", 7.0)]


def test_a_picture_is_sent_to_the_engine(window: Window, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def run(path: Path) -> str:
        seen.append(path.read_bytes())
        return "photo.png is shown now"

    photo = tmp_path / "photo.png"
    photo.write_bytes(b"a picture")
    with serving(still(), upload=run) as server:
        window.open(server.url)
        window.tab.set_input_files("#upload", photo)
        window.until(lambda: window.tab.inner_text("#toast") == "photo.png is shown now")
    assert seen == [b"a picture"]


def test_a_thin_link_shows_the_same_depth(window: Window) -> None:
    feed = ScriptedFeed(every=0.05)
    with serving(feed) as server:
        window.open(server.url)
        window.tab.evaluate("dptstream.act('quality', 'light')")
        window.until(lambda: window.tab.evaluate("Boolean(dptstream.frame.picture.bitmap)"))
        assert window.tab.evaluate("dptstream.frame.header.depth.compression") == "delta-zlib"
        codes = window.tab.evaluate("[...dptstream.frame.codes]")
    np.testing.assert_array_equal(
        np.array(codes, np.uint16), distances().astype(np.float16).view(np.uint16).reshape(-1)
    )


def test_the_page_is_usable_on_a_phone(browser: Any) -> None:
    phone = Window(browser, (390, 780), is_mobile=True, has_touch=True, device_scale_factor=2)
    try:
        with serving(ScriptedFeed(every=0.1, model="a-model-with-a-very-long-name-that-fills-the-line" * 3)) as server:
            phone.open(server.url)
            phone.until(lambda: "very-long-name" in phone.tab.inner_text("#facts"))
            for part in ("#top", "#canvas", "#menu"):
                box = phone.tab.locator(part).bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= 390, part
            assert not phone.tab.is_visible("#panel")  # the picture comes first
            canvas = phone.tab.locator("#canvas").bounding_box()
            assert canvas["width"] >= 380
            assert canvas["height"] >= 600
            phone.tab.tap("#menu")
            phone.tab.tap("[data-setting=mode] [data-value=surface]")
            assert phone.tab.locator("#canvas").bounding_box()["height"] >= 300
            assert np.count_nonzero(phone.picture().max(axis=2) > 100) > 5000
            box = phone.tab.locator("#canvas").bounding_box()
            phone.tab.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            phone.until(lambda: "1.500 m" in phone.tab.inner_text("#value"))
        assert phone.complaints == []
    finally:
        phone.close()


@pytest.mark.parametrize("width", [320, 390])
def test_all_of_the_transport_is_within_reach_on_a_phone(browser: Any, width: int) -> None:
    feed = ScriptedFeed(every=0.1)
    feed.transport = RecordingTransport()
    phone = Window(browser, (width, 700), is_mobile=True, has_touch=True, device_scale_factor=2)
    try:
        with serving(feed) as server:
            phone.open(server.url)
            phone.until(lambda: phone.tab.is_visible("#transport"))
            boxes = {part: phone.tab.locator(f"#{part}").bounding_box() for part in ("scrub", "position", "speed")}
            for part, box in boxes.items():
                assert 0 <= box["x"] < box["x"] + box["width"] <= width, part
            assert boxes["scrub"]["width"] > width * 0.8  # a finger is to hit a moment
            phone.tab.tap("[data-do=forward]")
            phone.until(lambda: ("step", 1) in feed.transport.asked)
    finally:
        phone.close()


def hover(window: Window, across: float, down: float) -> None:
    box = window.tab.locator("#canvas").bounding_box()
    window.tab.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
