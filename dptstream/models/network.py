"""A network with its recipe for pictures, behind the ``DepthModel`` protocol. Opens no file."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import resize_depth
from .base import ModelInfo
from .preprocess import AS_AUTHORS, Preprocessing, input_size_hw, pad_to_multiple, preprocess


class NetworkModel:
    """A family's network as a ``DepthModel``.

    Precision: in float32 the output is the authors' to within rounding. In half precision the tokens and feature maps
    are rounded to 8 (bfloat16) or 11 bits (float16) after every layer, which moves the depth by about one per cent; the
    last convolution and the output stay float32, so the depth shows no steps. bfloat16 has the range of float32;
    float16 may overflow in networks that were never trained with it.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, preprocessing: Preprocessing = AS_AUTHORS) -> None:
        """Wrap ``network``, which must be in evaluation mode and on one device."""
        self.network = network
        self._info = info
        self._preprocessing = preprocessing
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

    def with_preprocessing(self, preprocessing: Preprocessing) -> NetworkModel:
        """Return a model of the same weights that treats pictures differently."""
        return NetworkModel(self.network, self._info, preprocessing)

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the network's (height, width) for a picture; see ``preprocess.input_size_hw``."""
        choices = self._preprocessing
        return input_size_hw(picture_hw, self._info, dataclasses.replace(choices, size=size or choices.size))

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe: (B, H, W, 3) uint8 -> (B, 3, h, w) in ``dtype``."""
        return preprocess(rgb_bhwc, input_hw, self._info, self.dtype)

    @torch.no_grad()
    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run the network: (B, 3, h, w) normalised -> (B, h, w) float32.

        Raises:
            ValueError: The size is not one that ``input_size_hw`` gives.
        """
        height, width = images_bchw.shape[-2:]
        top, left = 0, 0
        if self._preprocessing.fit == "pad":
            images_bchw, (top, left) = pad_to_multiple(images_bchw, self._info)
        depth_bhw: Tensor = self.network(images_bchw).float()
        return depth_bhw[:, top : top + height, left : left + width]

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size: (H, W, 3) RGB uint8 -> (H, W) float32."""
        if rgb_hwc.ndim != 3 or rgb_hwc.shape[2] != 3 or rgb_hwc.dtype != np.uint8:
            raise ValueError(f"the picture must be (H, W, 3) uint8; got {rgb_hwc.shape} {rgb_hwc.dtype}")
        height, width = rgb_hwc.shape[:2]
        input_hw = self.input_size_hw((height, width), size=size)
        rgb_hwc = np.require(rgb_hwc, requirements=["C", "W"])  # torch wants memory it may write to
        images_bchw = self.preprocess(torch.from_numpy(rgb_hwc)[None].to(self.device), input_hw)
        depth_hw = self(images_bchw)[0].cpu().numpy()
        return resize_depth(depth_hw, (height, width), self._info.output_resize)
