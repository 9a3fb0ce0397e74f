"""Messages for the wire's tests, and how to compare them."""

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np

from dptstream.geometry import DepthKind, Intrinsics
from dptstream.wire import DepthPlane, EndMessage, FrameMessage, JpegColor, RawColor, SourceNote, StatusMessage

SESSION = "0123456789abcdef0123456789abcdef"
OTHER_SESSION = "f" * 32


def make_depth(codes: Any = None, **changes: Any) -> DepthPlane:
    if codes is None:
        codes = np.array([[0, 1, 2], [500, 65534, 65535]], np.uint16)
    defaults: dict[str, Any] = {"kind": DepthKind.METRIC, "low": 0.5, "high": 20.0, "scale": 0.001}
    return DepthPlane(codes, **(defaults | changes))


def make_frame(**changes: Any) -> FrameMessage:
    defaults: dict[str, Any] = {
        "feed": "cam1",
        "session": SESSION,
        "sequence": 7,
        "frame_number": 9,
        "pts": 9009,
        "time_base": Fraction(1, 30000),
        "captured_unix_ns": 1_700_000_000_000_000_001,
        "published_unix_ns": 1_700_000_000_020_000_000,
        "source": SourceNote("clip", 6, 4),
        "intrinsics": Intrinsics(2.5, 2.5, 1.5, 1.0, 3, 2, "default"),
        "depth": make_depth(),
        "color": RawColor(np.arange(18, dtype=np.uint8).reshape(2, 3, 3)),
        "model": "tiny",
        "model_license": "Apache-2.0",
        "smoothing": None,
    }
    return FrameMessage(**(defaults | changes))


def make_status(**changes: Any) -> StatusMessage:
    defaults: dict[str, Any] = {
        "feed": "cam1",
        "session": SESSION,
        "published_unix_ns": 1_700_000_000_000_000_000,
        "state": "paused",
        "next_sequence": 8,
        "frames_per_second": 29.5,
        "subscribers": 2,
        "note": "",
    }
    return StatusMessage(**(defaults | changes))


def make_end(**changes: Any) -> EndMessage:
    defaults: dict[str, Any] = {
        "feed": "cam1",
        "session": SESSION,
        "published_unix_ns": 1_700_000_000_000_000_000,
        "next_sequence": 8,
        "reason": "finished",
        "note": "",
    }
    return EndMessage(**(defaults | changes))


def comparable(thing: Any) -> Any:
    """Return plain data which are equal exactly when two messages say the same, bit by bit."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.newbyteorder("<").str, thing.shape, thing.tobytes()
    if isinstance(thing, JpegColor):
        return "jpeg", bytes(thing.data), thing.width, thing.height
    if dataclasses.is_dataclass(thing):
        values = [(field.name, comparable(getattr(thing, field.name))) for field in dataclasses.fields(thing)]
        return type(thing).__name__, values
    return thing
