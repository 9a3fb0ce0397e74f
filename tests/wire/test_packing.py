"""The format is frozen here: bytes are literals, both ways."""

import json
import tracemalloc
import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dptstream.errors import WireError, WireVersionError
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.wire import (
    DepthPlane,
    EndMessage,
    FrameMessage,
    JpegColor,
    Limits,
    Message,
    RawColor,
    SourceNote,
    StatusMessage,
    pack,
    unpack,
)
from dptstream.wire.messages import feed_name, printable

from .making import comparable, make_depth, make_end, make_frame, make_status

FRAME_HEADER = (
    b'{"v":1,"type":"frame","feed":"cam1","session":"0123456789abcdef0123456789abcdef","sequence":7,"frame_number":9,'
    b'"pts":9009,"time_base":[1,30000],"timestamp":{"sec":1700000000,"nsec":1},'
    b'"published":{"sec":1700000000,"nsec":20000000},"source":{"name":"clip","width":6,"height":4},'
    b'"camera":{"width":3,"height":2,"K":[2.5,0.0,1.5,0.0,2.5,1.0,0.0,0.0,1.0],"D":[],"origin":"default",'
    b'"axes":"opencv"},"depth":{"width":3,"height":2,"encoding":"16UC1","compression":"none","kind":"metric",'
    b'"unit":"m","scale":0.001,"offset":0.0,"low":0.5,"high":20.0,"scope":"shot"},'
    b'"color":{"width":3,"height":2,"encoding":"rgb8"},"model":{"name":"tiny","license":"Apache-2.0"},'
    b'"smoothing":null,"scene_cut":false,"discontinuity":false}'
)
DEPTH_BYTES = b"\x00\x00\x01\x00\x02\x00\xf4\x01\xfe\xff\xff\xff"
COLOR_BYTES = b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11"


def assert_bytes(message: Message, parts: list[bytes]) -> None:
    assert [bytes(part) for part in pack(message)] == parts
    assert comparable(unpack(parts)) == comparable(message)


def test_a_frame_is_these_bytes() -> None:
    assert_bytes(make_frame(), [b"dpt/cam1/frame", FRAME_HEADER, DEPTH_BYTES, COLOR_BYTES])


def test_a_frame_of_half_floats_without_picture_is_these_bytes() -> None:
    depth = make_depth(
        np.array([[1.0, -2.0], [np.nan, 65504.0]], np.float16),
        kind=DepthKind.RELATIVE_INVERSE,
        low=-2.0,
        high=1.0,
        scale=1.0,
    )
    message = make_frame(depth=depth, color=None, captured_unix_ns=None, smoothing="ema", scene_cut=True)
    header = (
        FRAME_HEADER.replace(b'{"sec":1700000000,"nsec":1}', b"null")
        .replace(b'"width":3,"height":2,"encoding":"16UC1"', b'"width":2,"height":2,"encoding":"16FC1"')
        .replace(b'"kind":"metric","unit":"m","scale":0.001', b'"kind":"relative_inverse","unit":null,"scale":1.0')
        .replace(b'"low":0.5,"high":20.0', b'"low":-2.0,"high":1.0')
        .replace(b'{"width":3,"height":2,"encoding":"rgb8"}', b"null")
        .replace(b'"smoothing":null,"scene_cut":false', b'"smoothing":"ema","scene_cut":true')
    )
    assert_bytes(message, [b"dpt/cam1/frame", header, b"\x00\x3c\x00\xc0\x00\x7e\xff\x7b"])


def test_a_frame_of_floats_with_a_jpeg_is_these_bytes() -> None:
    depth = make_depth(np.array([[1.5]], np.float32), kind=DepthKind.RELATIVE, low=0.0, high=2.0, scale=1.0)
    message = make_frame(depth=depth, color=JpegColor(b"\xff\xd8\xff\xd9", 3, 2))
    header = (
        FRAME_HEADER.replace(b'"width":3,"height":2,"encoding":"16UC1"', b'"width":1,"height":1,"encoding":"32FC1"')
        .replace(b'"kind":"metric","unit":"m","scale":0.001', b'"kind":"relative","unit":null,"scale":1.0')
        .replace(b'"low":0.5,"high":20.0', b'"low":0.0,"high":2.0')
        .replace(b'"rgb8"', b'"jpeg"')
    )
    assert_bytes(message, [b"dpt/cam1/frame", header, b"\x00\x00\xc0\x3f", b"\xff\xd8\xff\xd9"])


@pytest.mark.parametrize("scope", ["slow", "shot", "fixed", "frame"])
def test_how_the_range_changes_is_this_word(scope: Any) -> None:
    header = FRAME_HEADER.replace(b'"scope":"shot"', f'"scope":"{scope}"'.encode())
    message = make_frame(depth=make_depth(scope=scope))
    assert_bytes(message, [b"dpt/cam1/frame", header, DEPTH_BYTES, COLOR_BYTES])


def test_a_status_is_these_bytes() -> None:
    assert_bytes(
        make_status(),
        [
            b"dpt/cam1/status",
            b'{"v":1,"type":"status","feed":"cam1","session":"0123456789abcdef0123456789abcdef",'
            b'"published":{"sec":1700000000,"nsec":0},"next_sequence":8,"state":"paused",'
            b'"frames_per_second":29.5,"subscribers":2,"note":""}',
        ],
    )


def test_an_end_is_these_bytes() -> None:
    assert_bytes(
        make_end(reason="failed", note="camera unplugged"),
        [
            b"dpt/cam1/end",
            b'{"v":1,"type":"end","feed":"cam1","session":"0123456789abcdef0123456789abcdef",'
            b'"published":{"sec":1700000000,"nsec":0},"next_sequence":8,"reason":"failed","note":"camera unplugged"}',
        ],
    )


def test_compressed_depth_is_row_differences_with_low_bytes_first() -> None:
    parts = pack(make_frame(), compression="delta-zlib")
    #  0 1 2 | 500 65534 65535  ->  0 1 1 | 500 65034 1
    assert zlib.decompress(parts[2]) == bytes([0, 1, 1, 0xF4, 0x0A, 1]) + bytes([0, 0, 0, 1, 0xFE, 0])
    assert comparable(unpack(parts)) == comparable(make_frame())


def test_planes_cross_without_a_copy() -> None:
    message = make_frame()
    parts = pack(message)
    received = unpack(parts)
    assert isinstance(received, FrameMessage)
    assert isinstance(received.color, RawColor)
    assert isinstance(message.color, RawColor)
    assert np.shares_memory(received.depth.codes, message.depth.codes)
    assert np.shares_memory(received.color.pixels, message.color.pixels)


def test_received_planes_cannot_be_written_to() -> None:
    for compression in ("none", "delta-zlib"):
        received = unpack([bytearray(part) for part in pack(make_frame(), compression=compression)])  # type: ignore[misc]
        assert isinstance(received, FrameMessage)
        with pytest.raises(ValueError, match="read-only"):
            received.depth.codes[0, 0] = 1


def test_unknown_fields_and_parts_of_a_later_minor_release_are_ignored() -> None:
    header = FRAME_HEADER.replace(b'{"v":1,', b'{"v":1,"pose":[1,2,3],', 1)
    received = unpack([b"dpt/cam1/frame", header, DEPTH_BYTES, COLOR_BYTES, b"confidence"])
    assert comparable(received) == comparable(make_frame())


def test_another_version_is_refused_with_advice() -> None:
    parts = [b"dpt/cam1/frame", FRAME_HEADER.replace(b'"v":1', b'"v":2'), DEPTH_BYTES, COLOR_BYTES]
    with pytest.raises(WireVersionError, match=r"speaks version 2 .* same release"):
        unpack(parts)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"v":1', '"v":true', "'v' must be a whole number"),
        ('"type":"frame"', '"type":"pickle"', "'type' must be one of"),
        ('"feed":"cam1"', '"feed":"../etc"', "a feed's name"),
        ('"session":"0123456789abcdef', '"session":"0123', "a session is 32"),
        ('"sequence":7', '"sequence":-7', "'sequence'"),
        ('"sequence":7', '"sequence":7.0', "'sequence'"),
        ('"pts":9009', '"pts":' + "9" * 5000, "not JSON"),
        ('"time_base":[1,30000]', '"time_base":[1,0]', "'1'"),
        ('"time_base":[1,30000]', '"time_base":[1,2,3]', "list of 2"),
        ('{"sec":1700000000,"nsec":1}', '{"sec":1,"nsec":1000000000}', "'nsec'"),
        ('"name":"clip"', '"name":"\\u001b[2J"', "printable"),
        ('"name":"clip"', '"name":"\\ud800"', "printable"),
        ('"K":[2.5', '"K":[-2.5', "focal lengths"),
        ('"K":[2.5,0.0', '"K":[2.5,0.1', "'K' must be"),
        ('"D":[]', '"D":[0.1]', "'D'"),
        ('"axes":"opencv"', '"axes":"opengl"', "'axes'"),
        ('"scale":0.001', '"scale":0.0', "scale other than 0"),
        ('"scale":0.001', '"scale":NaN', "not JSON"),
        ('"scale":0.001', '"scale":1e999', "finite"),
        ('"scale":0.001', '"scale":1' + "0" * 400, "finite"),
        ('"high":20.0', '"high":0.5', "low < high"),
        ('"unit":"m"', '"unit":"mm"', "has the unit m"),
        ('"compression":"none"', '"compression":"pickle"', "'compression'"),
        ('"scope":"shot"', '"scope":"ever"', "'scope' must be one of"),
        ('"scene_cut":false', '"scene_cut":0', "true or false"),
        ('"encoding":"rgb8"', '"encoding":"bgr8"', "'encoding'"),
        ('"smoothing":null', '"smoothing":3', "a string"),
        (',"discontinuity":false', "", "lacks 'discontinuity'"),
    ],
)
def test_a_header_that_is_wrong_in_one_field_is_refused(old: str, new: str, complaint: str) -> None:
    text = FRAME_HEADER.decode()
    assert old in text
    with pytest.raises(WireError, match=complaint):
        unpack([b"dpt/cam1/frame", text.replace(old, new, 1).encode(), DEPTH_BYTES, COLOR_BYTES])


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([], "2 to 8 parts"),
        ([b"dpt/cam1/frame"], "2 to 8 parts"),
        ([b"dpt/cam1/frame", FRAME_HEADER, *[b""] * 7], "2 to 8 parts"),
        ([b"dpt/cam1/frame", b"[" * 60_000, b"", b""], "not JSON"),
        ([b"dpt/cam1/frame", b"\x80\x04", b"", b""], "not JSON"),
        ([b"dpt/cam1/frame", "{}".encode("utf-16"), b"", b""], "not JSON"),
        ([b"dpt/cam1/frame", b"[]", b"", b""], "must be a JSON object"),
        ([b"dpt/cam1/frame", b" " * 65_537, b"", b""], "at most 65536"),
        ([b"dpt/cam2/frame", FRAME_HEADER, DEPTH_BYTES, COLOR_BYTES], "topic"),
        ([b"dpt/cam1/frame", FRAME_HEADER, DEPTH_BYTES[:-1], COLOR_BYTES], "depth is 11 bytes long where 12"),
        ([b"dpt/cam1/frame", FRAME_HEADER, DEPTH_BYTES + b"\0", COLOR_BYTES], "depth is 13 bytes long where 12"),
        ([b"dpt/cam1/frame", FRAME_HEADER, DEPTH_BYTES, COLOR_BYTES[1:]], "colour is 17 bytes long where 18"),
        ([b"dpt/cam1/frame", FRAME_HEADER, DEPTH_BYTES], "more planes than the 1"),
    ],
)
def test_a_message_with_wrong_parts_is_refused(parts: list[bytes], complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        unpack(parts)


def test_a_plane_that_expands_to_more_than_announced_is_refused_without_being_expanded() -> None:
    header = FRAME_HEADER.replace(b'"compression":"none"', b'"compression":"delta-zlib"')
    bomb = zlib.compress(bytes(20_000_000))
    tracemalloc.start()
    with pytest.raises(WireError, match="does not hold the 12 bytes"):
        unpack([b"dpt/cam1/frame", header, bomb, COLOR_BYTES])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data])
def test_damaged_compression_is_refused(damage: Callable[[bytes], bytes]) -> None:
    topic, header, depth, color = pack(make_frame(), compression="delta-zlib")
    with pytest.raises(WireError, match="compressed depth"):
        unpack([topic, header, damage(bytes(depth)), color])


def test_a_size_beyond_the_limits_is_refused_whatever_came() -> None:
    header = FRAME_HEADER.replace(b'"width":3,"height":2,"enc', b'"width":99999,"height":2,"enc')
    with pytest.raises(WireError, match="'width' must be a whole number from 1 to 16384"):
        unpack([b"dpt/cam1/frame", header, b"", b""])
    with pytest.raises(WireError, match="at most 10 are allowed"):
        unpack(pack(make_frame()), limits=Limits(max_plane_bytes=10))


def test_values_follow_from_codes_and_code_zero_has_none() -> None:
    values = make_depth(scale=0.001, offset=1.0).values()
    assert np.isnan(values[0, 0])
    np.testing.assert_allclose(values.ravel()[1:], [1.001, 1.002, 1.5, 66.534, 66.535], rtol=1e-6)


def test_float_values_that_are_not_finite_become_nan() -> None:
    depth = make_depth(np.array([[np.inf, 2.0, np.nan]], np.float16), scale=2.0)
    np.testing.assert_array_equal(depth.values(), np.array([[np.nan, 4.0, np.nan]], np.float32))


def test_a_jpeg_of_another_size_than_announced_is_refused() -> None:
    color = JpegColor(b"\xff\xd8", 3, 2)
    assert color.decoded(lambda _: np.zeros((2, 3, 3), np.uint8)).width == 3
    with pytest.raises(ValueError, match="holds 4x2 pixels where 3x2"):
        color.decoded(lambda _: np.zeros((2, 4, 3), np.uint8))


def test_any_text_can_be_made_fit_for_a_message() -> None:
    assert printable("a\x1b[2Jb\n" + "x" * 300) == "a?[2Jb?" + "x" * 249
    assert feed_name("../Küche 1.mp4") == "K_che_1.mp4"
    assert feed_name("§§") == "feed"


counts = st.integers(0, 2**53 - 1)
times = st.integers(0, 2**33 * 10**9)
texts = st.text(st.characters(exclude_categories=("C", "Z")), max_size=30)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
sessions = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
sides = st.integers(1, 2**31 - 1)
positive = st.floats(min_value=1e-300, max_value=1e300)
depth_arrays = st.sampled_from([np.float16, np.float32, np.uint16]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
)


@st.composite
def depths(draw: Any) -> DepthPlane:
    low = draw(st.floats(-1e30, 1e30))
    return DepthPlane(
        draw(depth_arrays),
        draw(st.sampled_from(list(DepthKind))),
        low,
        draw(st.floats(low, exclude_min=True, allow_infinity=False)),
        draw(finite.filter(bool)),
        draw(finite),
        draw(st.sampled_from(["slow", "shot", "fixed", "frame"])),
    )


colors = st.one_of(
    st.none(),
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5).map(lambda hw: (*hw, 3))).map(RawColor),
    st.builds(JpegColor, st.binary(min_size=1, max_size=50), st.integers(1, 9), st.integers(1, 9)),
)
cameras = st.builds(
    Intrinsics, positive, positive, finite, finite, sides, sides, st.sampled_from(["user", "file", "model", "default"])
)
frames = st.builds(
    FrameMessage,
    names,
    sessions,
    counts,
    counts,
    st.integers(1 - 2**53, 2**53 - 1),
    st.builds(Fraction, sides, sides),
    st.none() | times,
    times,
    st.builds(SourceNote, texts, sides, sides),
    cameras,
    depths(),
    colors,
    texts,
    texts,
    st.none() | texts,
    st.booleans(),
    st.booleans(),
)
statuses = st.builds(
    StatusMessage,
    names,
    sessions,
    times,
    st.sampled_from(["playing", "paused", "waiting", "ended"]),
    counts,
    st.floats(0, allow_infinity=False),
    st.none() | counts,
    texts,
)
ends = st.builds(EndMessage, names, sessions, times, counts, st.sampled_from(["finished", "stopped", "failed"]), texts)


@settings(max_examples=200)
@given(frames | statuses | ends, st.sampled_from(["none", "delta-zlib"]))
def test_unpack_undoes_pack_for_every_message(message: Message, compression: Any) -> None:
    assert comparable(unpack(pack(message, compression=compression))) == comparable(message)


def test_zstd_is_undone_where_it_is_installed() -> None:
    pytest.importorskip("zstandard", reason="zstd is optional")
    parts = pack(make_frame(), compression="delta-zstd")
    assert comparable(unpack(parts)) == comparable(make_frame())
    for damaged in (bytes(parts[2])[:-1], b"no zstd", b""):
        with pytest.raises(WireError, match="compressed depth"):
            unpack([*parts[:2], damaged, *parts[3:]])


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=200), max_size=9))
def test_bytes_of_strangers_give_wire_errors_alone(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        unpack(parts)


json_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
json_nested = st.lists(json_leaves, max_size=3) | st.dictionaries(st.text(max_size=5), json_leaves, max_size=3)
json_values = json_leaves | json_nested | st.lists(json_nested, max_size=2)


@settings(max_examples=300)
@given(st.sampled_from(sorted(json.loads(FRAME_HEADER))), json_values)
def test_a_field_of_any_other_value_gives_a_message_or_a_wire_error(name: str, value: object) -> None:
    header = json.dumps(json.loads(FRAME_HEADER) | {name: value}).encode()
    try:
        message = unpack([b"dpt/cam1/frame", header, DEPTH_BYTES, COLOR_BYTES])
    except WireError:
        return
    assert unpack(pack(message)).session == message.session
