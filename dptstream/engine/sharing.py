"""One network for several feeds, behind the ``DepthModel`` protocol: each feed has a seat, and passes are shared."""

import threading
from collections.abc import Callable, Hashable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.base import DepthModel, DepthWindows, ModelInfo
from ..models.network import predict
from ..models.runtime import prepare
from .backend import Backend, backend_for
from .batching import Batcher, BatchPolicy, BatchStats, Seat
from .precision import Convertible


class SharedModel:
    """A ``DepthModel`` that several feeds share; each takes a seat of its own with ``new_feed``.

    What a seat gives differs from a call of the model itself by rounding at most. Video networks, which remember a feed's
    frames, and pictures of another size or another camera's field of view go through in passes of their own.

    Args:
        model: The network, on its device.
        policy: When pictures are put together.
        backend: Where passes run; None takes what suits the device.
    """

    def __init__(self, model: DepthModel, policy: BatchPolicy, *, backend: Backend | None = None) -> None:
        self.model = model
        self._backend = backend or backend_for(model.device)
        self._batcher = Batcher(policy, self._backend)
        self._lock = threading.Lock()
        self._variants: dict[Hashable, DepthModel] = {}

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self.model.info

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.dtype

    @property
    def stats(self) -> BatchStats:
        """What went through it so far."""
        return self._batcher.stats

    def new_backend(self) -> Backend:
        """Return streams for one feed's run; all that are made here compute on one and the same stream.

        So a pass needs no events of its own: each feed's picture was prepared on that stream before the pass, and what the
        feed does with its depth comes after it. Its memory is used on that stream alone, as PyTorch's allocator supposes.
        """
        backend = backend_for(self.device)
        backend.compute = self._backend.compute
        return backend

    def new_feed(self) -> "SeatedModel":
        """Return the model for one feed."""
        return SeatedModel(self, Seat(), self.model)

    def new_windows(self) -> DepthWindows | None:
        """Return what sees a clip window by window, for one clip alone; None unless the network looks back in time."""
        return self.model.new_windows()

    def with_field_of_view(self, fov_x_rad: float) -> "SeatedModel":
        """Return the model for one feed with pictures of a camera."""
        return self.new_feed().with_field_of_view(fov_x_rad)

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the network's (height, width) for a picture."""
        return self.model.input_size_hw(picture_hw, size=size)

    def prepare(self, input_hw: tuple[int, int]) -> None:
        """Get ready for pictures of a size ahead of the first one; raises DptStreamError."""
        prepare(self.model, input_hw)

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe."""
        return self.model.preprocess(rgb_bhwc, input_hw)

    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run the network as a feed that asks just once."""
        return self.new_feed()(images_bchw)

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size."""
        return predict(self, rgb_hwc, size=size)

    def ask(self, seat: Seat, model: DepthModel, images_bchw: Tensor) -> Tensor:
        """Return the depth of a seat's pictures by ``model``, which is this one's or a variant for a feed."""
        return self._batcher.ask(seat, model, images_bchw)

    def variant(self, model: DepthModel, change: Hashable, make: Callable[[], DepthModel]) -> DepthModel:
        """Return ``model`` changed, made once for all feeds that want the same, so that their pictures fit."""
        with self._lock:
            if (model, change) not in self._variants:
                self._variants[model, change] = make()
            return self._variants[model, change]


class SeatedModel:
    """A shared model as one feed sees it.

    Args:
        shared: The model.
        seat: The feed's place.
        variant: What runs for this feed: the model itself, or for its camera or in another precision.

    Attributes:
        model: What runs for this feed, with what it remembers.
    """

    def __init__(self, shared: SharedModel, seat: Seat, variant: DepthModel) -> None:
        self.model = variant.new_feed()
        self._shared, self._seat, self._variant = shared, seat, variant

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self.model.info

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.dtype

    def new_feed(self) -> "SeatedModel":
        """Return the model at the same seat, for the same feed, having forgotten earlier frames."""
        return SeatedModel(self._shared, self._seat, self._variant)

    def new_windows(self) -> DepthWindows | None:
        """Return what sees a clip window by window, for one clip alone; None unless the network looks back in time."""
        return self.model.new_windows()

    def with_field_of_view(self, fov_x_rad: float) -> "SeatedModel":
        """Return the model at the same seat, for pictures of a camera."""
        variant = self._variant
        changed = self._shared.variant(variant, fov_x_rad, lambda: variant.with_field_of_view(fov_x_rad))
        return SeatedModel(self._shared, self._seat, changed)

    def with_dtype(self, dtype: torch.dtype) -> "SeatedModel":
        """Return the model at the same seat in another precision; the same where it cannot be had."""
        variant = self._variant
        if not isinstance(variant, Convertible):
            return self
        changed = self._shared.variant(variant, dtype, lambda: variant.with_dtype(dtype))
        return SeatedModel(self._shared, self._seat, changed)

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the network's (height, width) for a picture."""
        return self.model.input_size_hw(picture_hw, size=size)

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe."""
        return self.model.preprocess(rgb_bhwc, input_hw)

    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Run the network, perhaps together with pictures of other feeds: (B, 3, h, w) -> (B, h, w) float32."""
        return self._shared.ask(self._seat, self.model, images_bchw)

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size."""
        return predict(self, rgb_hwc, size=size)
