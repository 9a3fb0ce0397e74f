"""The engine's currency: pictures going in, depth coming out. Knows no source, model or sink."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .geometry import DepthKind

OutputResize = Literal["bilinear_corners", "bilinear", "bicubic"]
"""How a network's authors bring depth to the picture's size: corners aligned, or pixel centres aligned (the other two)."""

YuvMatrix = Literal["bt601", "bt709", "bt2020"]
"""Which weights of red, green and blue a video's brightness was made with."""


@dataclass(frozen=True, slots=True)
class YuvForm:
    """How a decoded picture is stored whose colours have half its size, and how it becomes RGB."""

    height: int
    """Height, pixels; even."""
    width: int
    """Width, pixels; even."""
    matrix: YuvMatrix
    """From brightness and colour differences to RGB."""
    full_range: bool
    """Whether codes go from 0 to 255; else brightness from 16 to 235, colours from 16 to 240."""

    def __post_init__(self) -> None:
        if self.height < 2 or self.width < 2 or self.height % 2 or self.width % 2:
            raise ValueError(f"sides must be even and positive; got {self.width}x{self.height}")

    @property
    def byte_count(self) -> int:
        """Bytes of the three planes: half of what RGB takes."""
        return self.height * self.width * 3 // 2


@dataclass(frozen=True, slots=True, eq=False)
class YuvPicture:
    """A picture as the decoder stores it, 8 bits, upright: views of the decoder's memory, on the host or on its card."""

    form: YuvForm
    """How to read it."""
    luma: Tensor
    """(H, W) uint8 brightness, of any strides."""
    chroma: tuple[Tensor, Tensor]
    """U and V, each (H / 2, W / 2) uint8, of any strides."""

    def copy_to(self, planes: Tensor, *, non_blocking: bool = False) -> None:
        """Write Y, U and V one after the other to ``planes``, (byte_count,) uint8."""
        height, width = self.form.height, self.form.width
        small = (height // 2, width // 2)
        parts = torch.split(planes, [height * width, height * width // 4, height * width // 4])
        for part, plane, shape in zip(parts, (self.luma, *self.chroma), ((height, width), small, small), strict=True):
            part.view(shape).copy_(plane, non_blocking=non_blocking)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One decoded picture."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright (rotation applied). May be a read-only or strided view of the decoder's memory."""
    sequence: int
    """Position among the frames the source gives, from 0, without gaps."""
    pts: int
    """Presentation time in ticks of ``time_base``; never derived from the index where the file states it."""
    time_base: Fraction
    """Seconds per tick."""
    captured_ns: int = 0
    """When the frame arrived, ``time.monotonic_ns()``; 0 where that means nothing."""
    discontinuity: bool = False
    """Whether the stream was re-opened or jumped just before this frame."""
    native: YuvPicture | None = None
    """The same picture as the decoder stores it, where an engine on a card may want that; not kept for longer than needed,
    since a decoder has few such buffers."""

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be (H, W, 3) uint8; got {self.image.shape} {self.image.dtype}")

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def height(self) -> int:
        """Height of the picture, pixels."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Width of the picture, pixels."""
        return int(self.image.shape[1])

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height}, sequence={self.sequence}, pts={self.pts}, time_base={self.time_base})"


@dataclass(frozen=True, slots=True, eq=False)
class DepthFrame:
    """The depth of one picture, at the size the network worked in."""

    depth: NDArray[np.float32]
    """(h, w); what the numbers mean is said by ``kind``; never normalised or clipped."""
    kind: DepthKind
    """Relative inverse depth, relative depth or metric depth."""
    video: VideoFrame
    """The picture this depth belongs to, with its time and number."""
    output_resize: OutputResize = "bilinear_corners"
    """How the network's authors resize depth to the picture."""
    scene_cut: bool = False
    """Whether a new shot begins with this frame."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds each stage spent on this frame."""

    def at_picture_size(self) -> NDArray[np.float32]:
        """Return the depth resized to the picture as the authors do: (H, W) float32."""
        return resize_depth(self.depth, (self.video.height, self.video.width), self.output_resize)

    def __repr__(self) -> str:
        height, width = self.depth.shape
        return f"DepthFrame({width}x{height} {self.kind.value}, of {self.video!r})"


def resize_depth(
    depth_hw: NDArray[np.float32], size_hw: tuple[int, int], output_resize: OutputResize
) -> NDArray[np.float32]:
    """Resize a depth map as its network's authors do after inference; bicubic may overshoot a little."""
    if depth_hw.shape == tuple(size_hw):
        return depth_hw
    tensor = torch.from_numpy(np.ascontiguousarray(depth_hw))[None, None]
    mode = "bicubic" if output_resize == "bicubic" else "bilinear"
    corners = output_resize == "bilinear_corners"
    return F.interpolate(tensor, size_hw, mode=mode, align_corners=corners)[0, 0].numpy()
