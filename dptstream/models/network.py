"""A network with its recipe for pictures, behind the ``DepthModel`` protocol. Opens no file."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import resize_depth
from ..geometry import DepthKind
from .base import DepthModel, Features, ModelInfo
from .preprocess import AS_AUTHORS, Preprocessing, input_size_hw, pad_to_multiple, preprocess
from .runtime import Runtime, torch_runtime


class NetworkModel:
    """A family's network as a ``DepthModel``.

    Precision: in float32 the output is the authors' to within rounding. In half precision the tokens and feature maps
    are rounded to 8 (bfloat16) or 11 bits (float16) after every layer, which moves the depth by about one per cent; the
    last convolution and the output stay float32, so the depth shows no steps. bfloat16 has the range of float32;
    float16 may overflow in networks that were never trained with it.
    """

    def __init__(
        self,
        network: nn.Module,
        info: ModelInfo,
        preprocessing: Preprocessing = AS_AUTHORS,
        *,
        fov_x_rad: float | None = None,
    ) -> None:
        """Wrap ``network``, which must be in evaluation mode and on one device."""
        self.network = network
        self._info = info
        self._preprocessing = preprocessing
        self._fov_x_rad = fov_x_rad
        self._weight = next(network.parameters())

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self._info

    @property
    def preprocessing(self) -> Preprocessing:
        """The choices made beside the authors' recipe."""
        return self._preprocessing

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self._weight.dtype

    @property
    def runtime(self) -> Runtime:
        """What runs the network; where that depends on the size, what runs pictures of the size met last."""
        chosen = getattr(self.network, "runtime", None)
        return chosen if isinstance(chosen, Runtime) else torch_runtime(self._info, self.device, self.dtype)

    def prepare(self, input_hw: tuple[int, int]) -> Runtime:
        """Get ready for pictures of the size that ``input_size_hw`` gives, and return what will run them."""
        network: Any = self.network
        if hasattr(network, "prepare"):
            padded_bchw = torch.empty(1, 1, *input_hw)
            if self._preprocessing.fit == "pad":
                padded_bchw, _ = pad_to_multiple(padded_bchw, self._info)
            network.prepare((padded_bchw.shape[2], padded_bchw.shape[3]))
        return self.runtime

    @property
    def recordable(self) -> bool:
        """Whether every call of a size does the same operations, so that they can be recorded once and repeated."""
        return True

    def with_dtype(self, dtype: torch.dtype) -> NetworkModel:
        """Return a model with a copy of the weights in another precision; what rounding has taken does not come back."""
        network = copy.deepcopy(self.network).to(dtype)
        return NetworkModel(network, self._info, self._preprocessing, fov_x_rad=self._fov_x_rad)

    def with_network(self, network: nn.Module) -> NetworkModel:
        """Return the same model with another module in the network's place, such as a compiled one."""
        return NetworkModel(network, self._info, self._preprocessing, fov_x_rad=self._fov_x_rad)

    def with_preprocessing(self, preprocessing: Preprocessing) -> NetworkModel:
        """Return a model of the same weights that treats pictures differently."""
        return NetworkModel(self.network, self._info, preprocessing, fov_x_rad=self._fov_x_rad)

    def with_field_of_view(self, fov_x_rad: float) -> NetworkModel:
        """Return the model for pictures of a camera, which gives metres; itself where the network needs no camera.

        Args:
            fov_x_rad: Horizontal field of view, radians, in (0, pi).
        """
        if self._info.canonical_focal_px is None:
            return self
        if not 0 < fov_x_rad < math.pi:
            raise ValueError(f"field of view must lie between 0 and 180 degrees; got {math.degrees(fov_x_rad):g}")
        decided_by = {**self._info.decided_by, "kind": "field of view"}
        info = dataclasses.replace(self._info, kind=DepthKind.METRIC, decided_by=decided_by)
        return NetworkModel(self.network, info, self._preprocessing, fov_x_rad=fov_x_rad)

    def new_feed(self) -> NetworkModel:
        """Return the model for one feed; a video network's remembers what it saw."""
        if not self._info.temporal:
            return self
        return FeedModel(self.network, self._info, self._preprocessing, fov_x_rad=self._fov_x_rad)

    def new_windows(self) -> Windows | None:
        """Return what sees a clip window by window, as the authors convert files; None unless it is a video network."""
        return Windows(self) if self._info.temporal else None

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the network's (height, width) for a picture; see ``preprocess.input_size_hw``."""
        choices = self._preprocessing
        return input_size_hw(
            picture_hw, self._info, dataclasses.replace(choices, size=choices.size if size is None else size)
        )

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe: (B, H, W, 3) uint8 -> (B, 3, h, w) in ``dtype``."""
        return preprocess(rgb_bhwc, input_hw, self._info, self.dtype)

    @torch.no_grad()
    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run the network: (B, 3, h, w) normalised -> (B, h, w) float32.

        Raises:
            ValueError: The size is not one that ``input_size_hw`` gives.
        """
        images_bchw = images_bchw.to(self.dtype)
        height, width = images_bchw.shape[-2:]
        top, left = 0, 0
        if self._preprocessing.fit == "pad":
            images_bchw, (top, left) = pad_to_multiple(images_bchw, self._info)
        depth_bhw = self._estimate(images_bchw).float()[:, top : top + height, left : left + width]
        if self._fov_x_rad is not None and self._info.canonical_focal_px is not None:
            focal_px = width / 2 / math.tan(self._fov_x_rad / 2)
            depth_bhw = depth_bhw * (focal_px / self._info.canonical_focal_px)
        return depth_bhw

    @torch.no_grad()
    def features(
        self,
        images_bchw: Tensor,
        *,
        attention_block: int | None = None,
        attention_at: tuple[float, float] | Literal["class"] | None = None,
        level_scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    ) -> Features:
        """Run the network and return what it computes on the way; ``depth_bhw`` is the network's output as it is.

        Args:
            images_bchw: (B, 3, h, w) normalised. With fit ``pad`` the features are those of the padded pictures.
            attention_block: The block of the encoder, from 0, whose attention is wanted; SwinV2's are counted through
                its stages. Costs another run up to it.
            attention_at: Whose attention is wanted: that of the token at a point (x, y) of the picture, both in [0, 1),
                or of the class token, "class". None: every token's, which takes heads * N² values.
            level_scales: Factors of the four reassembled levels, finest first; 0 hides a level from the fusion.

        Raises:
            ValueError: The size does not suit the network, or there is no such block, point or class token.
        """
        images_bchw = images_bchw.to(self.dtype)
        if self._preprocessing.fit == "pad":
            images_bchw, _ = pad_to_multiple(images_bchw, self._info)
        network: Any = self.network
        features: Features = network.features(
            images_bchw, attention_block=attention_block, attention_at=attention_at, level_scales=level_scales
        )
        return features

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size: (H, W, 3) RGB uint8 -> (H, W) float32."""
        return predict(self, rgb_hwc, size=size)

    def _estimate(self, images_bchw: Tensor) -> Tensor:
        depth_bhw: Tensor = self.network(images_bchw)
        return depth_bhw


class FeedModel(NetworkModel):
    """A video network that sees one feed frame by frame, as its authors stream it."""

    _state: Any = None

    @property
    def recordable(self) -> bool:
        """No: what it looks back at grows, and lies elsewhere with every frame."""
        return False

    def _estimate(self, images_bchw: Tensor) -> Tensor:
        network: Any = self.network
        if self._state is None or self._state.shape != tuple(images_bchw.shape):
            self._state = network.initial_state()
        depth_bhw, self._state = network.step(images_bchw, self._state)
        return cast("Tensor", depth_bhw)


class Windows:
    """A clip seen by a video network over overlapping windows; depths stay at the network's size.

    The authors align windows after resizing to the picture; doing it before needs no memory for full pictures.
    """

    def __init__(self, model: NetworkModel) -> None:
        """See a clip with ``model``, which must be a video network."""
        from .depth_anything import OfflineVideo

        self._model = model
        self._video = OfflineVideo(model.network, metric=model.info.kind is DepthKind.METRIC)
        self._window: tuple[slice, slice] = (slice(None), slice(None))

    def feed(self, image_chw: Tensor) -> list[Tensor]:
        """Take the next picture, (3, h, w) normalised; return the depths (h, w) that are final by now, in order."""
        if self._model.preprocessing.fit == "pad":
            height, width = image_chw.shape[-2:]
            images_bchw, (top, left) = pad_to_multiple(image_chw[None], self._model.info)
            image_chw = images_bchw[0]
            self._window = (slice(top, top + height), slice(left, left + width))
        return self._cut_out(self._video.feed(image_chw))

    def finish(self) -> list[Tensor]:
        """Return the depths still to come, and be ready for another clip."""
        return self._cut_out(self._video.finish())

    def _cut_out(self, depths_hw: list[Tensor]) -> list[Tensor]:
        return [depth_hw.float()[self._window] for depth_hw in depths_hw]


def predict(model: DepthModel, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
    """Run a model on one picture: (H, W, 3) RGB uint8 -> (H, W) float32 at the picture's size, resized as its authors do."""
    if rgb_hwc.ndim != 3 or rgb_hwc.shape[2] != 3 or rgb_hwc.dtype != np.uint8:
        raise ValueError(f"the picture must be (H, W, 3) uint8; got {rgb_hwc.shape} {rgb_hwc.dtype}")
    height, width = rgb_hwc.shape[:2]
    input_hw = model.input_size_hw((height, width), size=size)
    rgb_hwc = np.require(rgb_hwc, requirements=["C", "W"])  # torch wants memory it may write to
    images_bchw = model.preprocess(torch.from_numpy(rgb_hwc)[None].to(model.device), input_hw)
    depth_hw = model(images_bchw)[0].cpu().numpy()
    return resize_depth(depth_hw, (height, width), model.info.output_resize)
