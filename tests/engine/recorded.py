"""A stand-in for CUDA graphs: operations are recorded once and repeated on the very same memory, blind to Python."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

FORBIDDEN = ("aten::_local_scalar_dense", "aten::nonzero", "aten::item", "aten::masked_select", "aten::unique")
"""What a graph cannot hold, since the host would have to look at a value."""


class RecordedGraph(TorchDispatchMode):
    """Records what ``work`` does, as a capture does: nothing but tensor operations at fixed addresses is kept."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        with torch.no_grad(), self:
            work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.name().split(".")[0] in FORBIDDEN:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func.name()}")
        result = func(*args, **kwargs)
        results = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor)]
        self._steps.append((func, args, kwargs, results))
        return result

    def replay(self) -> None:
        """Do it all again on the same memory."""
        with torch.no_grad():
            for func, args, kwargs, results in self._steps:
                if func.is_view:
                    continue  # looks at memory that other steps fill
                again = [leaf for leaf in tree_flatten(func(*args, **kwargs))[0] if isinstance(leaf, Tensor)]
                for kept, made in zip(results, again, strict=True):
                    if kept.data_ptr() != made.data_ptr():
                        kept.copy_(made)
