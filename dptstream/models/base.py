"""What a depth model is to the rest of the program. Knows no family and opens no file."""

from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import OutputResize
from ..geometry import DepthKind

ResizeMethod = Literal["lower_bound", "minimal", "upper_bound", "stretch"]
"""How a family's authors choose the network's size for a picture; see ``preprocess.input_size_hw``."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything that is known about a loaded model, and how each doubtful point was decided."""

    name: str
    """Catalog name, or the file's stem."""
    family: str
    """Folder under ``dptstream.models``, e.g. ``depth_anything``."""
    variant: str
    """Size and release, e.g. ``v2 vits``."""
    kind: DepthKind
    """What the output means."""
    parameters: int
    """Number of weights."""
    size_multiple: int
    """The network's height and width must be multiples of this, pixels."""
    base_size: int
    """Size the authors run it at, pixels."""
    resize_method: ResizeMethod
    """How the network's size is chosen for a picture."""
    image_mean: tuple[float, float, float]
    """Subtracted from RGB in 0..1."""
    image_std: tuple[float, float, float]
    """Divides RGB after the mean."""
    output_resize: OutputResize
    """How the authors resize the output to the picture."""
    file: str | None
    """Name of the checkpoint file."""
    sha256: str | None
    """Hash of that file, lower-case hex."""
    license: str
    """Licence of the weights, SPDX where there is one; ``unknown`` otherwise."""
    max_depth: float | None = None
    """Metres that the metric head's sigmoid is scaled to, where it has one."""
    narrow_beyond: float | None = None
    """Long side over short side from which on the authors shrink the base size, where they do."""
    canonical_focal_px: float | None = None
    """Where set, metres = network's output * focal length / this, both in pixels of the network's input."""
    temporal: bool = False
    """Whether the network looks at earlier frames; ``DepthModel.new_feed`` then gives a model that remembers."""
    decided_by: dict[str, str] = field(default_factory=dict)
    """Point (family, variant, kind, licence, ...) -> what decided it (keys, sha256, config.json, name, option)."""

    def as_record(self) -> dict[str, object]:
        """Return plain values for manifests and headers."""
        record = asdict(self)
        record["kind"] = self.kind.value
        record["unit"] = self.kind.unit
        return record


class Features(Protocol):
    """What a network computes on the way from pictures to depth; each family has its own class of this shape."""

    @property
    def tokens_bnc(self) -> tuple[Tensor, ...]:
        """Tokens as the tapped blocks give them, first block first: (B, K + gh * gw, C), K class tokens (one or none) first."""

    @property
    def token_grids_hw(self) -> tuple[tuple[int, int], ...]:
        """Rows gh and columns gw of the patches in each of ``tokens_bnc``."""

    @property
    def attention_bhqn(self) -> Tensor | None:
        """Attention of the block that was asked for, (B, heads, Q, K + gh * gw): each row sums to one.

        Q is 1 where one token's was asked for, else every token has its row.
        """

    @property
    def attention_grid_hw(self) -> tuple[int, int] | None:
        """Rows and columns of the patches that the columns of the attention stand for."""

    @property
    def levels_bchw(self) -> tuple[Tensor, ...]:
        """The four reassembled levels, scaled, finest first."""

    @property
    def fused_bchw(self) -> tuple[Tensor, ...]:
        """What each fusion step gives, in the order of the levels: the last was computed first, the first goes to the head."""

    @property
    def depth_bhw(self) -> Tensor:
        """The network's output, (B, H, W) float32."""


class DepthWindows(Protocol):
    """A clip's depth over overlapping windows of frames, as the authors of video networks compute files."""

    def feed(self, image_chw: Tensor) -> list[Tensor]:
        """Take the next picture, (3, h, w) as ``preprocess`` gives it; return the depths (h, w) final by now, in order."""

    def finish(self) -> list[Tensor]:
        """Return the depths still to come, and be ready for another clip."""


class DepthModel(Protocol):
    """A network with its recipe for pictures.

    Stateless between calls, so many feeds share one; only what ``new_feed`` returns may remember, and belongs to its feed.
    """

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the network's (height, width) for a picture, by the authors' rule.

        Args:
            picture_hw: Height and width of the picture, pixels.
            size: Replaces the family's base size.

        Raises:
            ValueError: No allowed size exists.
        """

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe: (B, H, W, 3) uint8 on any device -> (B, 3, h, w) in ``dtype``."""

    def new_feed(self) -> "DepthModel":
        """Return the model for one feed, called with every frame in order: itself, unless the network looks back in time.

        One that remembers starts anew by itself when the size of the pictures changes.
        """

    def new_windows(self) -> DepthWindows | None:
        """Return what sees a clip window by window, later frames included; None unless the network looks back in time."""

    def with_field_of_view(self, fov_x_rad: float) -> "DepthModel":
        """Return the model for pictures of a camera: itself, unless the network needs the focal length to give metres.

        Without a camera such a network (Depth Anything V3 metric) gives depth of kind ``RELATIVE``.
        """

    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run the network: (B, 3, h, w) normalised -> (B, h, w) float32 depth of ``info.kind``."""

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size: (H, W, 3) RGB uint8 -> (H, W) float32."""
