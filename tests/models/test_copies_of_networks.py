"""A network is copied while others run it: for another precision, and for what converts it."""

import copy
import threading
from collections.abc import Callable

import pytest
import torch

from dptstream.models.depth_anything.size_tables import SizeTables
from dptstream.models.midas_beit.table_cache import TableCache

from .families import NETWORKS, small_model, small_size_hw


def fill_size_tables(tables: SizeTables, side: int) -> None:
    tables.fetch((side, side), torch.zeros(1), lambda: torch.zeros(side, side))


def fill_table_cache(tables: TableCache, side: int) -> None:
    with torch.no_grad():
        tables.get((side, side), torch.float32, torch.zeros(1), lambda: torch.zeros(side, side))


@pytest.mark.parametrize(("tables", "fill"), [(SizeTables(), fill_size_tables), (TableCache(8), fill_table_cache)])
def test_tables_are_copied_while_another_thread_fills_them(tables: object, fill: Callable[[object, int], None]) -> None:
    ended, filled = threading.Event(), threading.Event()

    def go_on_filling() -> None:
        side = 0
        while not ended.is_set():
            side = side % 40 + 1
            fill(tables, side)
            if side == 40:
                filled.set()

    filler = threading.Thread(target=go_on_filling)
    filler.start()
    try:
        assert filled.wait(60)
        copies = [copy.deepcopy(tables) for _ in range(300)]
    finally:
        ended.set()
        filler.join(60)
    for copied in copies[::50]:
        fill(copied, 3)  # and a copy works


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_another_precision_makes_its_own_tables(name: str) -> None:
    model = small_model(name)
    image_1chw = torch.randn(1, 3, *small_size_hw(name), generator=torch.Generator().manual_seed(1))
    before = model(image_1chw)
    assert torch.equal(model.with_dtype(torch.float32)(image_1chw), before)
    assert torch.equal(model(image_1chw), before)
