"""A small memory for tables that depend on the input's size alone, such as resized positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

KEPT_SIZES = 8

Key = tuple[tuple[int, int], torch.device, torch.dtype]


class SizeTables:
    """The tables of the last few sizes; the least recently used is forgotten first. Threads may share it."""

    def __init__(self) -> None:
        self._tables: dict[Key, Tensor] = {}
        self._captured: dict[Key, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> SizeTables:
        """Return an empty one: a copied network makes its own tables, while other threads go on filling these."""
        return SizeTables()

    def clear(self) -> None:
        """Forget every table: what they were made from has changed."""
        self._tables.clear()
        self._captured.clear()

    def fetch(self, size_hw: tuple[int, int], like: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """Return the table of ``size_hw`` for the device and dtype of ``like``, from memory or from ``make``."""
        if torch.compiler.is_compiling() and not all(type(side) is int for side in size_hw):
            return make()  # a symbolic size has no table
        key = (size_hw, like.device, like.dtype)
        if torch.compiler.is_compiling():
            return self._tables[key] if key in self._tables else make()
        # Taking an entry out and putting it back makes it the newest; each step is atomic, so no lock is needed.
        table = self._tables.pop(key, None)
        capturing = like.is_cuda and torch.cuda.is_current_stream_capturing()
        if table is None:
            table = make()
            if capturing:
                return table  # belongs to the graph being captured, and holds no numbers before its first replay
        self._tables[key] = table
        if capturing:
            self._captured[key] = table  # the graph will read it at this address for ever
        for oldest in list(self._tables)[:-KEPT_SIZES]:
            self._tables.pop(oldest, None)
        return table
