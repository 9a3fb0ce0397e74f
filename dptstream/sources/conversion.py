"""FFmpeg's pictures to upright RGB arrays. Knows no container."""

from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from .base import SourceStats
from .orientation import Orientation

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED


class RgbConverter:
    """Turns decoded frames of any size and format into RGB, reusing one swscale context. For one thread."""

    def __init__(self, stats: SourceStats) -> None:
        self._reformatter = VideoReformatter()
        self._stats = stats
        self._transparent = False

    def convert(self, frame: av.VideoFrame, orientation: Orientation) -> NDArray[np.uint8]:
        """Return the upright picture, (H, W, 3): a strided view of FFmpeg's memory where no turn is needed."""
        self._note_losses(frame)
        return orientation.apply(_rows_of(self._to_rgb(frame), 3))

    def _to_rgb(self, frame: av.VideoFrame) -> av.VideoFrame:
        # Untagged video is taken for BT.709 from 720p on and for BT.601 below, as players do; swscale alone
        # would say BT.601 for every size.
        is_untagged_hd = frame.colorspace == _UNSPECIFIED and (frame.width >= 1280 or frame.height > 576)
        matrix = Colorspace.ITU709 if is_untagged_hd and not frame.format.is_rgb else None
        if frame.color_trc == ColorTrc.SMPTE2084:
            try:
                return self._reformatter.reformat(
                    frame,
                    format="rgb24",
                    src_colorspace=matrix,
                    dst_color_trc=ColorTrc.IEC61966_2_1,
                    dst_color_primaries=ColorPrimaries.BT709,
                )
            except av.error.FFmpegError:
                self._stats.warn("HDR (PQ) colours are read without tone mapping: the pictures look flat")
        return self._reformatter.reformat(frame, format="rgb24", src_colorspace=matrix)

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


def _rows_of(frame: av.VideoFrame, channels: int) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    # The array keeps the plane alive, and the plane its frame; rows are padded, hence a view with strides.
    memory: NDArray[np.uint8] = np.frombuffer(cast("memoryview", plane), np.uint8)
    return memory.reshape(-1, plane.line_size)[: frame.height, : frame.width * channels].reshape(
        frame.height, frame.width, channels
    )
