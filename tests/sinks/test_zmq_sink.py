"""Depth frames published: what comes out at the other end."""

import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from dptstream.frames import DepthFrame
from dptstream.geometry import DepthKind
from dptstream.sinks.messages import MessageMaker, MessageOptions
from dptstream.sinks.zmq import ZmqSink
from dptstream.wire import JpegColor, RawColor
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber

from .clips import COUNT, CUTS, DEPTH_HW, UNEVEN_PTS, toy_depth, toy_feed, toy_frame, toy_frames


def make(frames: list[DepthFrame], kind: DepthKind = DepthKind.RELATIVE_INVERSE, **options: Any) -> list[Any]:
    maker = MessageMaker(toy_feed(kind), MessageOptions(**options))
    return [maker.frame(frame) for frame in frames]


def test_a_run_arrives_as_a_session_with_times_depth_and_picture() -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher, Subscriber(publisher.endpoint, capacity=COUNT) as subscriber:
        while not publisher.subscribers:
            time.sleep(0.01)
        sink = ZmqSink(publisher, name="cam1", smoothing="ema", compression="delta-zlib")
        sink.open(toy_feed())
        for frame in toy_frames():
            sink.write(frame)
            time.sleep(0.005)
        sink.warn("half of it was dark")
        sink.close(complete=True)
        sink.close(complete=True)
        received = list(subscriber)
        assert subscriber.stats.lost == 0
    assert [message.pts for message in received] == list(UNEVEN_PTS)
    assert [message.scene_cut for message in received] == [number in CUTS for number in range(COUNT)]
    assert {(message.feed, message.smoothing, message.model) for message in received} == {("cam1", "ema", "toy")}
    for number, message in enumerate(received):
        np.testing.assert_allclose(message.depth.values(), toy_depth(number), rtol=2**-11)
        assert (message.intrinsics.height, message.intrinsics.width) == DEPTH_HW
        assert message.intrinsics.fov_x_rad == pytest.approx(1.0)
        assert isinstance(message.color, RawColor)
        assert message.color.pixels.shape == (*DEPTH_HW, 3)


def ranges_of(messages: list[Any]) -> np.ndarray:
    return np.array([(message.depth.low, message.depth.high) for message in messages])


def growing(count: int, *, cuts: tuple[int, ...] = (0,), **video: Any) -> list[DepthFrame]:
    """Depth three times as large from the second frame on, a frame each 1/25 s."""
    frames = [toy_frame(n, depth=toy_depth(0) * (1 + 2 * (n > 0)), cuts=cuts) for n in range(count)]
    return [replace(frame, video=replace(frame.video, pts=512 * n, **video)) for n, frame in enumerate(frames)]


@pytest.mark.parametrize("depth", ["float16", "uint16", "float32"])
def test_the_range_for_displays_follows_slowly_and_the_depth_does_not_wait_for_it(depth: str) -> None:
    frames = growing(60)
    messages = make(frames, depth=depth)
    ranges = ranges_of(messages)
    assert {message.depth.scope for message in messages} == {"slow"}
    before, now = (np.percentile(frame.depth, (2, 98)) for frame in frames[:2])
    assert ranges[0] == pytest.approx(before)
    assert np.abs(np.diff(ranges[:, 1])).max() < 0.15 * (now[1] - before[1])
    assert ranges[-1, 1] > 0.9 * now[1]
    for message, frame in zip(messages, frames, strict=True):
        np.testing.assert_allclose(message.depth.values(), frame.depth, rtol=1e-3)


def test_the_range_for_displays_follows_time_and_not_frames() -> None:
    every, third = growing(31), growing(31)[:1] + growing(31)[1::3]
    assert ranges_of(make(third))[-1] == pytest.approx(ranges_of(make(every))[28], rel=0.02)


def test_the_range_for_displays_begins_anew_at_a_cut_and_at_a_jump() -> None:
    frames = growing(6)
    cut = growing(6, cuts=(0, 3))
    jump = [replace(f, video=replace(f.video, discontinuity=n == 3)) for n, f in enumerate(frames)]
    own = ranges_of(make(frames[3:]))[0]
    assert ranges_of(make(frames))[3] != pytest.approx(own, rel=0.2)
    for changed in (cut, jump):
        assert ranges_of(make(changed))[3] == pytest.approx(own)


def test_the_range_for_displays_comes_with_the_first_value_of_a_shot() -> None:
    nothing = toy_frame(0, depth=np.full(DEPTH_HW, np.nan, np.float32))
    dark, lit = ranges_of(make([nothing, toy_frame(1)]))
    assert tuple(dark) == (0, 1)
    assert lit == pytest.approx(ranges_of(make([toy_frame(1)]))[0])


def test_what_is_no_distance_does_not_count_for_the_range_of_metric_depth() -> None:
    depth = np.full(DEPTH_HW, 4.0, np.float32)
    depth[:, ::3] = 0
    depth[:, 1::3] = 9
    ((low, high),) = ranges_of(make([toy_frame(0, DepthKind.METRIC, depth=depth)], DepthKind.METRIC))
    assert (low, high) == (4, 9)


def test_a_range_by_shot_changes_with_the_shot_alone() -> None:
    messages = make(list(toy_frames()), range="shot")
    ranges = [(message.depth.low, message.depth.high) for message in messages]
    assert len(set(ranges[: CUTS[1]])) == 1
    assert len(set(ranges[CUTS[1] :])) == 1
    assert ranges[0] != ranges[CUTS[1]]
    assert {message.depth.scope for message in messages} == {"shot"}


def test_a_range_of_the_users_holds_for_all() -> None:
    messages = make(list(toy_frames()), range=(1.0, 9.0))
    assert {(m.depth.low, m.depth.high, m.depth.scope) for m in messages} == {(1.0, 9.0, "fixed")}


def test_integer_codes_keep_their_steps_within_a_shot_and_widen_before_a_value_is_lost() -> None:
    steady = [toy_frame(number) for number in range(5)]
    leap = toy_frame(4, depth=toy_depth(4) * 100, cuts=())
    messages = make([*steady, leap], depth="uint16")
    assert len({(message.depth.scale, message.depth.offset) for message in messages[:5]}) == 1
    for message, frame in zip(messages, [*steady, leap], strict=True):
        np.testing.assert_allclose(message.depth.values(), frame.depth, atol=abs(message.depth.scale))


def test_metric_integers_are_millimetres() -> None:
    depth = np.array([[1.2345, 0.0], [np.nan, 65.0]], np.float32)
    (message,) = make([toy_frame(0, DepthKind.METRIC, depth=depth)], DepthKind.METRIC, depth="uint16")
    np.testing.assert_array_equal(message.depth.codes, [[1234, 0], [0, 65000]])
    assert (message.depth.scale, message.depth.offset) == (0.001, 0.0)


def test_half_floats_of_large_values_are_scaled_by_a_power_of_two() -> None:
    depth = np.array([[1.0, 3e5], [np.inf, -2e5]], np.float32)
    (message,) = make([toy_frame(0, depth=depth)])
    assert message.depth.scale == 8.0
    np.testing.assert_allclose(message.depth.values(), [[1.0, 3e5], [np.nan, -2e5]], rtol=2**-11)


def test_floats_are_the_models_own() -> None:
    (message,) = make([toy_frame(3)], depth="float32")
    assert message.depth.codes is not None
    np.testing.assert_array_equal(message.depth.values(), toy_depth(3))


def test_a_frame_without_any_value_is_no_trouble() -> None:
    for depth_type in ("float16", "uint16", "float32"):
        nothing = toy_frame(0, depth=np.full(DEPTH_HW, np.nan, np.float32))
        messages = make([nothing, toy_frame(1)], depth=depth_type)
        assert np.isnan(messages[0].depth.values()).all()
        np.testing.assert_allclose(messages[1].depth.values(), toy_depth(1), atol=1e-2)


def test_a_jpeg_holds_the_picture_at_the_depths_size() -> None:
    (message,) = make([toy_frame(0)], color="jpeg", jpeg_quality=95)
    (raw,) = make([toy_frame(0)])
    assert isinstance(message.color, JpegColor)

    def decode(data: bytes | memoryview) -> Any:
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    difference = message.color.decoded(decode).pixels.astype(int) - raw.color.pixels
    assert np.abs(difference).mean() < 8


def test_a_picture_is_shrunk_by_averaging_and_not_by_leaving_pixels_out() -> None:
    frame = toy_frame(0)
    stripes = np.zeros((DEPTH_HW[0] * 8, DEPTH_HW[1] * 8, 3), np.uint8)
    stripes[:, ::2] = 200
    (message,) = make([replace(frame, video=replace(frame.video, image=stripes))])
    np.testing.assert_array_equal(message.color.pixels, 100)


def test_no_picture_is_sent_where_none_is_wanted() -> None:
    assert make([toy_frame(0)], color="none")[0].color is None


def test_the_time_of_capture_is_told_by_the_wall_clock() -> None:
    frame = toy_frame(0)
    video = replace(frame.video, captured_ns=time.monotonic_ns() - 250_000_000)
    (message,) = make([replace(frame, video=video)])
    assert message.captured_unix_ns == pytest.approx(time.time_ns() - 250_000_000, abs=100_000_000)
    assert make([frame])[0].captured_unix_ns is None


@pytest.mark.parametrize("wrong", [{"jpeg_quality": 0}, {"range": (2.0, 1.0)}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        MessageOptions(**wrong)
