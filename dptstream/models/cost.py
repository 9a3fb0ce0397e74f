"""What a network costs: parameters, operations and memory, counted from shapes alone. Runs nothing and reads no weight."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

PARTS = ("patch_embed", "image_encoder", "reassemble", "fusion", "head")
"""The parts of every family's network, in the order they run; SwinV2 needs no ``reassemble``."""

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)

_LINEAR_AND_CONVOLUTION = {"mm", "addmm", "convolution", "_convolution"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one picture of one size costs."""

    size_hw: tuple[int, int]
    """Height and width of the network's input, pixels."""
    flops: int
    """Multiplications and additions of linear layers, convolutions and attention; two for each product that is summed."""
    attention_flops: int
    """The share of ``flops`` that is attention's two products, whose number grows with the square of the tokens."""
    part_flops: dict[str, int]
    """The same sum by the parts of the network."""
    activation_bytes: dict[str, int]
    """Precision -> bytes of all tensors alive at once, at most, weights and the tables kept for a size not included, if
    attention is fused. Kernels' own workspace comes on top."""


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Return the number of weights of each part of a network, in the order they run."""
    parts = dict(network.named_children())
    return {part: sum(weight.numel() for weight in parts[part].parameters()) for part in PARTS if part in parts}


def weight_bytes(network: nn.Module) -> dict[str, int]:
    """Return for each precision the bytes that a network's weights and buffers take."""
    tensors = [*network.parameters(), *network.buffers()]
    return {
        _name(dtype): sum(
            tensor.numel() * (dtype.itemsize if tensor.is_floating_point() else tensor.itemsize) for tensor in tensors
        )
        for dtype in PRECISIONS
    }


@torch.no_grad()
def count_cost(network: nn.Module, size_hw: tuple[int, int]) -> Cost:
    """Count what one picture costs, on tensors that have a shape and no content.

    Raises:
        ValueError: The network does not take this size.
    """
    shapes_only: Any = type(network)
    with torch.device("meta"):
        copy: nn.Module = shapes_only(network.config).eval().requires_grad_(False)
    image_1chw = torch.empty(1, 3, *size_hw, device="meta")
    copy(
        image_1chw
    )  # tables of this size, such as resized positions, are made once and kept: they cost nothing per picture
    with FlopCounterMode(display=False) as counter:
        copy(image_1chw)
    counts = counter.get_flop_counts()
    model = type(network).__name__
    by_kind = {str(kind).split(".")[-1]: count for kind, count in counts["Global"].items()}
    return Cost(
        size_hw=size_hw,
        flops=counter.get_total_flops(),
        attention_flops=sum(count for kind, count in by_kind.items() if kind not in _LINEAR_AND_CONVOLUTION),
        part_flops={part: sum(counts.get(f"{model}.{part}", {}).values()) for part in parameter_counts(network)},
        activation_bytes={_name(dtype): _peak_bytes(copy.to(dtype), image_1chw.to(dtype)) for dtype in PRECISIONS},
    )


def _peak_bytes(network: nn.Module, image_1chw: Tensor) -> int:
    network(image_1chw)
    live = _LiveBytes(image_1chw, aside=[*network.parameters(), *network.buffers()])
    with live, _FusedAttention():
        network(image_1chw)
    return live.peak


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class _FusedAttention(TorchFunctionMode):
    """Give attention's result without the scores, which fused kernels never write down."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is F.scaled_dot_product_attention:
            query, _, value = args[:3]
            return torch.empty(*query.shape[:-1], value.shape[-1], device=query.device, dtype=query.dtype)
        return func(*args, **(kwargs or {}))


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the memory of all tensors made inside the block as they come and go."""

    def __init__(self, present: Tensor, *, aside: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._now = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in aside}  # noqa: SLF001
        self._meet(present)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._meet(leaf)
        return result

    def _meet(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001
        if key in self._seen:
            return
        self._seen.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._lose, key, storage.nbytes())

    def _lose(self, key: int, byte_count: int) -> None:
        self._seen.discard(key)
        self._now -= byte_count
