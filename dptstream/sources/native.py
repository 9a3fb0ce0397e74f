"""Decoded pictures as the decoder stores them, for engines that convert colours themselves. Knows no container."""

from collections.abc import Mapping

import av
import torch
from av.video.reformatter import ColorRange, ColorTrc
from torch import Tensor

from ..frames import YuvForm, YuvMatrix, YuvPicture

UNSPECIFIED = 2
"""FFmpeg's number (AVCOL_SPC_UNSPECIFIED) for a picture that does not say which weights its brightness was made with."""

_MATRICES: Mapping[int, YuvMatrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_FORMATS = frozenset({"yuv420p", "yuvj420p", "nv12"})
_OTHER_LIGHT = frozenset({ColorTrc.LINEAR, ColorTrc.SMPTE2084})


def assumes_bt709(frame: av.VideoFrame) -> bool:
    """Return whether untagged video is taken for BT.709, from 720p on, as players do; below, it is BT.601."""
    return frame.colorspace == UNSPECIFIED and (frame.width >= 1280 or frame.height > 576)


def native_picture(frame: av.VideoFrame) -> YuvPicture | None:
    """Return a picture's own planes, on the host or on the card that decoded it, without a copy.

    None where it is not stored in 8 bits with colours of half the size, or where more is to be done than a change of
    colours (interlaced lines, light that is no screen's).
    """
    form = _form_of(frame)
    if form is None:
        return None
    try:
        planes = [_tensor_of(plane) for plane in frame.planes]
    except (NotImplementedError, TypeError, RuntimeError):
        return None  # older PyAV shares fewer formats; upside-down rows cannot be shared
    if any(plane.dtype != torch.uint8 for plane in planes):
        return None
    if len(planes) == 2:
        return YuvPicture(form, planes[0], (planes[1][..., 0], planes[1][..., 1]))
    return YuvPicture(form, planes[0], (planes[1], planes[2]))


def on_card(frame: av.VideoFrame) -> bool:
    """Return whether a picture lies in the memory of the card that decoded it."""
    return frame.format.name == "cuda"


def _form_of(frame: av.VideoFrame) -> YuvForm | None:
    stored = getattr(frame, "sw_format", None) if on_card(frame) else frame.format
    name = stored.name if stored is not None else "nv12"  # where PyAV does not tell, the planes will
    matrix = "bt709" if assumes_bt709(frame) else _MATRICES.get(frame.colorspace, None)
    if frame.colorspace == UNSPECIFIED and matrix is None:
        matrix = "bt601"
    if name not in _FORMATS or matrix is None or frame.width % 2 or frame.height % 2:
        return None
    if frame.interlaced_frame or frame.color_trc in _OTHER_LIGHT:
        return None
    return YuvForm(frame.height, frame.width, matrix, name == "yuvj420p" or frame.color_range == ColorRange.JPEG)


def _tensor_of(plane: object) -> Tensor:
    # Asked without a stream, as PyAV orders nothing by itself: whoever reads the card's memory waits for its decoder.
    capsule = plane.__dlpack__()  # type: ignore[attr-defined]
    tensor: Tensor = torch.utils.dlpack.from_dlpack(capsule)
    return tensor
