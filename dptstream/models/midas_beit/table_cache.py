"""Tables that depend on the picture's size and the weights alone, computed on first use and kept. Knows no network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[tuple[int, ...], torch.device, torch.dtype]


class TableCache(nn.Module):
    """Keep the last few tables of one weight; the least recently used goes first. Threads may share it.

    Nothing is kept while gradients are recorded, nor while the network is compiled or a CUDA graph is captured; compiled
    code reads the tables that are there. Everything is forgotten when weights are loaded or move to another device or
    precision. A captured graph reads its tables at the same address for ever, so those stay until then.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self._tables: OrderedDict[Key, Tensor] = OrderedDict()
        self._weight_version: int | None = None
        self._captured: list[Tensor] = []
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> TableCache:
        """Return an empty one: a copied network makes its own tables, while other threads go on filling these."""
        return TableCache(self.capacity).train(self.training)

    def __len__(self) -> int:
        return len(self._tables)

    def get(self, sizes: tuple[int, ...], dtype: torch.dtype, weight: Tensor, build: Callable[[], Tensor]) -> Tensor:
        """Return the table for ``sizes`` that ``build`` makes from ``weight``, from memory where it can be."""
        if torch.is_grad_enabled() or not all(type(size) is int for size in sizes):
            return build()  # a symbolic size has no table
        key = (sizes, weight.device, dtype)
        if torch.compiler.is_compiling():
            return self._tables[key] if key in self._tables and not torch.compiler.is_exporting() else build()
        # Filling a weight in place, as fine-tuning does, raises its version.
        version = None if weight.is_inference() else weight._version  # noqa: SLF001
        if version != self._weight_version:
            self._tables.clear()
            self._weight_version = version
        capturing = weight.is_cuda and torch.cuda.is_current_stream_capturing()
        # Taken out and put back: it becomes the newest, and threads at worst build a table twice.
        table = self._tables.pop(key, None)
        if table is None:
            table = build()
            if capturing:
                return table  # belongs to the graph, and holds no numbers before its first replay
        elif capturing:
            self._captured.append(table)
        self._tables[key] = table
        while len(self._tables) > self.capacity:
            self._tables.popitem(last=False)
        return table

    def clear(self) -> None:
        """Forget every table."""
        self._tables.clear()
        self._captured.clear()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TableCache:
        self.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _forget(cache: TableCache, _incompatible_keys: Any) -> None:
    cache.clear()
