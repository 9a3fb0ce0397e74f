"""Messages and their bytes: ``pack`` and ``unpack`` are inverse. Opens no socket; README.md specifies the format."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import WireError, WireVersionError
from ..geometry import DepthKind, Intrinsics
from ..geometry.camera import IntrinsicsOrigin
from .compression import compress_zlib, compress_zstd, decompress_zlib, decompress_zstd, shuffle, unshuffle
from .fields import Fields, parse_json
from .messages import (
    MAX_SEQUENCE,
    MAX_TERM,
    DepthPlane,
    EndMessage,
    EndReason,
    FeedState,
    FrameMessage,
    JpegColor,
    Message,
    RangeScope,
    RawColor,
    SourceNote,
    StatusMessage,
)

WIRE_VERSION = 1
"""Bumped when an old reader would misread new messages; new fields alone do not bump it."""

Part = bytes | memoryview
Compression = Literal["none", "delta-zlib", "delta-zstd"]

_ENCODING = {"float16": "16FC1", "float32": "32FC1", "uint16": "16UC1"}
_DTYPE: dict[str, np.dtype[Any]] = {"16FC1": np.dtype("<f2"), "32FC1": np.dtype("<f4"), "16UC1": np.dtype("<u2")}
_COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {"delta-zlib": compress_zlib, "delta-zstd": compress_zstd}
_DECOMPRESS = {"delta-zlib": decompress_zlib, "delta-zstd": decompress_zstd}
_KINDS = {kind.value: kind for kind in DepthKind}
_MAX_SOURCE_SIDE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader is willing to take; checked before anything is allocated."""

    max_header_bytes: int = 65_536
    """Longest header; ours take about 900 bytes."""
    max_side: int = 16_384
    """Most rows or columns of a plane."""
    max_plane_bytes: int = 2**28
    """Largest plane, packed or not."""
    max_parts: int = 8
    """Most parts of one message; those beyond what the header announces are ignored."""


DEFAULT_LIMITS = Limits()
_Reader = Callable[[Fields, Sequence[Part], Limits], Message]


def topic_of(message: Message) -> bytes:
    """Return the first part of ``message``, by which subscribers choose."""
    kind = {FrameMessage: "frame", StatusMessage: "status", EndMessage: "end"}[type(message)]
    return f"dpt/{message.feed}/{kind}".encode("ascii")


def pack(message: Message, *, compression: Compression = "none") -> list[Part]:
    """Return the parts of ``message``: topic, header, planes.

    Planes that are contiguous and not compressed are views of the message's own arrays, which must not be written
    to until the parts are sent.

    Raises:
        MissingExtraError: ``compression`` needs a package that is not installed.
    """
    if isinstance(message, FrameMessage):
        header = frame_header(message, compression)
        return [topic_of(message), header, *_planes(message, compression)]
    fields: dict[str, object] = {
        "v": WIRE_VERSION,
        "type": "status" if isinstance(message, StatusMessage) else "end",
        "feed": message.feed,
        "session": message.session,
        "published": _stamp(message.published_unix_ns),
        "next_sequence": message.next_sequence,
    }
    if isinstance(message, StatusMessage):
        fields |= {
            "state": message.state,
            "frames_per_second": float(message.frames_per_second),
            "subscribers": message.subscribers,
        }
    else:
        fields |= {"reason": message.reason}
    return [topic_of(message), _json(fields | {"note": message.note})]


def frame_header(message: FrameMessage, compression: Compression = "none") -> bytes:
    """Return the header of a frame: JSON in ASCII, without blanks, fields in the order of the specification."""
    camera, depth, color = message.intrinsics, message.depth, message.color
    captured = message.captured_unix_ns
    return _json(
        {
            "v": WIRE_VERSION,
            "type": "frame",
            "feed": message.feed,
            "session": message.session,
            "sequence": message.sequence,
            "frame_number": message.frame_number,
            "pts": message.pts,
            "time_base": list(message.time_base.as_integer_ratio()),
            "timestamp": None if captured is None else _stamp(captured),
            "published": _stamp(message.published_unix_ns),
            "source": {"name": message.source.name, "width": message.source.width, "height": message.source.height},
            "camera": {
                "width": camera.width,
                "height": camera.height,
                "K": [float(k) for k in (camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1)],
                "D": [],
                "origin": camera.origin,
                "axes": "opencv",
            },
            "depth": {
                "width": depth.width,
                "height": depth.height,
                "encoding": _ENCODING[depth.codes.dtype.name],
                "compression": compression,
                "kind": depth.kind.value,
                "unit": depth.kind.unit,
                "scale": float(depth.scale),
                "offset": float(depth.offset),
                "low": float(depth.low),
                "high": float(depth.high),
                "scope": depth.scope,
            },
            "color": None
            if color is None
            else {
                "width": color.width,
                "height": color.height,
                "encoding": "rgb8" if isinstance(color, RawColor) else "jpeg",
            },
            "model": {"name": message.model, "license": message.model_license},
            "smoothing": message.smoothing,
            "scene_cut": message.scene_cut,
            "discontinuity": message.discontinuity,
        }
    )


def unpack(parts: Sequence[Part], *, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Return the message of ``parts``; its arrays are read-only views of them unless the depth was compressed.

    Raises:
        WireVersionError: The header is of another version.
        WireError: Anything else is wrong. Nothing larger than ``limits`` allow is allocated.
    """
    if not 2 <= len(parts) <= limits.max_parts:
        raise WireError(f"a message has 2 to {limits.max_parts} parts; got {len(parts)}")
    header = parse_json(parts[1], "header", limit=limits.max_header_bytes)
    version = header.integer("v", 0, MAX_SEQUENCE)
    if version != WIRE_VERSION:
        raise WireVersionError(
            f"the feed speaks version {version} of the wire, this program version {WIRE_VERSION}: "
            "use the same release of dptstream on both sides"
        )
    readers: dict[str, _Reader] = {"frame": _read_frame, "status": _read_status, "end": _read_end}
    read = header.choice("type", readers)
    try:
        message = read(header, parts[2:], limits)
    except ValueError as error:  # the messages' own checks
        raise WireError(f"header: {error}") from None
    topic = parts[0]
    if topic != topic_of(message):
        raise WireError(f"topic {bytes(topic[:80])!r} does not belong to a message of {message.feed!r}")
    return message


def _json(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode("ascii")


def _stamp(unix_ns: int) -> dict[str, int]:
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    return {"sec": seconds, "nsec": nanoseconds}


def _planes(message: FrameMessage, compression: Compression) -> list[Part]:
    codes = message.depth.codes
    planes: list[Part] = [_COMPRESS[compression](shuffle(codes)) if compression != "none" else _bytes_of(codes)]
    if isinstance(message.color, RawColor):
        planes.append(_bytes_of(message.color.pixels))
    elif message.color is not None:
        planes.append(message.color.data)
    return planes


def _bytes_of(array: NDArray[Any]) -> memoryview:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _read_frame(header: Fields, planes: Sequence[Part], limits: Limits) -> FrameMessage:
    color_fields = None if header.is_null("color") else header.child("color")
    if len(planes) < 1 + (color_fields is not None):
        raise WireError(f"the header announces more planes than the {len(planes)} that came")
    source, model = header.child("source"), header.child("model")
    return FrameMessage(
        feed=header.text("feed"),
        session=header.text("session"),
        sequence=header.integer("sequence", 0, MAX_SEQUENCE),
        frame_number=header.integer("frame_number", 0, MAX_SEQUENCE),
        pts=header.integer("pts", -MAX_SEQUENCE, MAX_SEQUENCE),
        time_base=Fraction(*header.integers("time_base", 2, 1, MAX_TERM)),
        captured_unix_ns=None if header.is_null("timestamp") else _read_stamp(header, "timestamp"),
        published_unix_ns=_read_stamp(header, "published"),
        source=SourceNote(
            source.text("name"),
            source.integer("width", 1, _MAX_SOURCE_SIDE),
            source.integer("height", 1, _MAX_SOURCE_SIDE),
        ),
        intrinsics=_read_camera(header.child("camera")),
        depth=_read_depth(header.child("depth"), planes[0], limits),
        color=None if color_fields is None else _read_color(color_fields, planes[1], limits),
        model=model.text("name"),
        model_license=model.text("license"),
        smoothing=None if header.is_null("smoothing") else header.text("smoothing"),
        scene_cut=header.flag("scene_cut"),
        discontinuity=header.flag("discontinuity"),
    )


def _read_stamp(header: Fields, name: str) -> int:
    stamp = header.child(name)
    return stamp.integer("sec", 0, 2**33) * 1_000_000_000 + stamp.integer("nsec", 0, 999_999_999)


def _read_camera(camera: Fields) -> Intrinsics:
    # A lens that bends lines would make wrong points of right depth: better none than those.
    camera.numbers("D", 0)
    camera.one_of("axes", ("opencv",))
    fx, zero_a, cx, zero_b, fy, cy, *last_row = camera.numbers("K", 9)
    if (zero_a, zero_b, *last_row) != (0, 0, 0, 0, 1):
        raise WireError("header: 'camera': 'K' must be [fx, 0, cx, 0, fy, cy, 0, 0, 1]")
    origin = camera.one_of("origin", get_args(IntrinsicsOrigin))
    width = camera.integer("width", 1, _MAX_SOURCE_SIDE)
    height = camera.integer("height", 1, _MAX_SOURCE_SIDE)
    return Intrinsics(fx, fy, cx, cy, width, height, cast("IntrinsicsOrigin", origin))


def _read_depth(fields: Fields, plane: Part, limits: Limits) -> DepthPlane:
    width = fields.integer("width", 1, limits.max_side)
    height = fields.integer("height", 1, limits.max_side)
    dtype = fields.choice("encoding", _DTYPE)
    size = width * height * dtype.itemsize
    _check_size("depth", size, limits)
    compression = fields.one_of("compression", get_args(Compression))
    if compression == "none":
        codes = _view(plane, size, "depth").view(dtype).reshape(height, width)
    else:
        _check_size("compressed depth", len(plane), limits)
        codes = unshuffle(_DECOMPRESS[compression](plane, size), height, width, dtype)
        codes.flags.writeable = False
    kind = fields.choice("kind", _KINDS)
    unit = None if fields.is_null("unit") else fields.text("unit")
    if unit != kind.unit:
        raise WireError(f"header: 'depth': {kind.value} has the unit {kind.unit}; got {ascii(unit)[:60]}")
    scope = fields.one_of("scope", get_args(RangeScope))
    return DepthPlane(
        codes,
        kind,
        low=fields.number("low"),
        high=fields.number("high"),
        scale=fields.number("scale"),
        offset=fields.number("offset"),
        scope=cast("RangeScope", scope),
    )


def _read_color(fields: Fields, plane: Part, limits: Limits) -> RawColor | JpegColor:
    width = fields.integer("width", 1, limits.max_side)
    height = fields.integer("height", 1, limits.max_side)
    _check_size("colour", width * height * 3, limits)
    if fields.choice("encoding", {"rgb8": True, "jpeg": False}):
        return RawColor(_view(plane, width * height * 3, "colour").reshape(height, width, 3))
    _check_size("colour", len(plane), limits)
    return JpegColor(memoryview(plane), width, height)


def _check_size(what: str, size: int, limits: Limits) -> None:
    if size > limits.max_plane_bytes:
        raise WireError(f"{what} of {size} bytes: at most {limits.max_plane_bytes} are allowed")


def _view(plane: Part, size: int, what: str) -> NDArray[np.uint8]:
    if len(plane) != size:
        raise WireError(f"{what} is {len(plane)} bytes long where {size} were announced")
    view = np.frombuffer(plane, np.uint8)
    view.flags.writeable = False
    return view


def _read_status(header: Fields, _planes: Sequence[Part], _limits: Limits) -> StatusMessage:
    return StatusMessage(
        feed=header.text("feed"),
        session=header.text("session"),
        published_unix_ns=_read_stamp(header, "published"),
        state=cast("FeedState", header.one_of("state", get_args(FeedState))),
        next_sequence=header.integer("next_sequence", 0, MAX_SEQUENCE),
        frames_per_second=header.number("frames_per_second"),
        subscribers=None if header.is_null("subscribers") else header.integer("subscribers", 0, MAX_SEQUENCE),
        note=header.text("note"),
    )


def _read_end(header: Fields, _planes: Sequence[Part], _limits: Limits) -> EndMessage:
    return EndMessage(
        feed=header.text("feed"),
        session=header.text("session"),
        published_unix_ns=_read_stamp(header, "published"),
        next_sequence=header.integer("next_sequence", 0, MAX_SEQUENCE),
        reason=cast("EndReason", header.one_of("reason", get_args(EndReason))),
        note=header.text("note"),
    )
