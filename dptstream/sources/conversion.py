"""FFmpeg's pictures to upright RGB arrays. Knows no container."""

import sys
from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from .base import SourceStats
from .native import assumes_bt709
from .orientation import Orientation

_PQ_WHITE_NITS = 203
_NATIVE_RGB48 = "rgb48le" if sys.byteorder == "little" else "rgb48be"


class RgbConverter:
    """Turns decoded frames of any size and format into RGB, reusing one swscale context. For one thread."""

    def __init__(self, stats: SourceStats) -> None:
        self._reformatter = VideoReformatter()
        self._stats = stats
        self._transparent = False

    def convert(self, frame: av.VideoFrame, orientation: Orientation) -> NDArray[np.uint8]:
        """Return the upright picture, (H, W, 3): a strided view of FFmpeg's memory where no turn is needed."""
        self._note_losses(frame)
        # swscale alone would take untagged video of every size for BT.601.
        matrix = Colorspace.ITU709 if assumes_bt709(frame) and not frame.format.is_rgb else None
        if frame.color_trc == ColorTrc.LINEAR:
            # EXR holds linear light; networks (and eyes) expect pictures as a screen shows them.
            linear = _rows_of(self._reformatter.reformat(frame, format=_NATIVE_RGB48, src_colorspace=matrix), 6)
            return orientation.apply(_SCREEN_FROM_LINEAR[linear.view(np.uint16)])
        image = _rows_of(self._reformatter.reformat(frame, format="rgb24", src_colorspace=matrix), 3)
        if frame.color_trc == ColorTrc.SMPTE2084:
            # swscale can convert PQ, but takes seconds to prepare for it. HLG is made to be shown as it is.
            image = np.asarray(cv2.LUT(image, _SCREEN_FROM_PQ), np.uint8)
        return orientation.apply(image)

    def _note_losses(self, frame: av.VideoFrame) -> None:
        if frame.interlaced_frame:
            self._stats.warn("the video is interlaced: moving edges are combed; deinterlace it first for better depth")
        if not self._transparent and any(component.is_alpha for component in frame.format.components):
            rgba = self._reformatter.reformat(frame, format="rgba")
            self._transparent = bool(_rows_of(rgba, 4)[..., 3].min() < 255)
            if self._transparent:
                self._stats.warn("transparency is dropped: depth is estimated from the colours as they are stored")


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Read how a decoded frame must be turned, from the display matrix that travels with it."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except (KeyError, ValueError):
        # PyAV 18 cannot list the side data of a frame that also carries a kind it has no name for.
        return Orientation.from_rotation(frame.rotation)
    return Orientation() if matrix is None else Orientation.from_display_matrix(bytes(cast("memoryview", matrix)))


def _rows_of(frame: av.VideoFrame, bytes_per_pixel: int) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    # The array keeps the plane alive, and the plane its frame; rows are padded, hence a view with strides.
    memory: NDArray[np.uint8] = np.frombuffer(cast("memoryview", plane), np.uint8)
    return memory.reshape(-1, plane.line_size)[: frame.height, : frame.width * bytes_per_pixel].reshape(
        frame.height, frame.width, bytes_per_pixel
    )


def _make_screen_from_pq() -> NDArray[np.uint8]:
    """Return 256 codes: HDR in PQ (SMPTE ST 2084) brought to an sRGB screen.

    203 nits, the white of graphics in HDR by ITU-R BT.2408, becomes the screen's white; highlights above
    roll off. Colours keep their primaries, so those of BT.2020 look slightly pale.
    """
    code = (np.arange(256) / 255) ** (1 / 78.84375)
    nits = 10_000 * (np.maximum(code - 0.8359375, 0) / (18.8515625 - 18.6875 * code)) ** (1 / 0.1593017578125)
    light = nits / _PQ_WHITE_NITS
    knee = 0.7
    light = np.where(light < knee, light, 1 - (1 - knee) * np.exp(-(light - knee) / (1 - knee)))
    return _as_srgb(light)


def _as_srgb(light: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the codes with which an sRGB screen (IEC 61966-2-1) shows light of 0 to 1."""
    screen = np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * screen).astype(np.uint8)


_SCREEN_FROM_PQ = _make_screen_from_pq()
_SCREEN_FROM_LINEAR = _as_srgb(np.arange(65536) / 65535)
