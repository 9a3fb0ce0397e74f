"""Every family does the same work for every picture of a size: nothing is looked at by the host, tables are kept."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engine.recorded import RecordedGraph

from .families import NETWORKS, small_model, small_size_hw

MAKES_TABLES = {"arange", "linspace", "scalar_tensor", "lift_fresh", "full", "zeros", "ones", "zeros_like", "ones_like"}
"""Operations by which position tables and masks come about; once a size is enough."""


class Counted(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations[func.name().split("::")[1].split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


def picture(name: str, seed: int) -> torch.Tensor:
    return torch.randn(1, 3, *small_size_hw(name), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_host_never_looks_at_a_value(name: str) -> None:
    """On tensors without data any look would raise, and so would a table that was made on the host."""
    model = small_model(name)
    model.network.to("meta")
    depth = model(torch.empty(1, 3, *small_size_hw(name), device="meta"))
    assert depth.shape == (1, *small_size_hw(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_recorded_work_repeated_on_another_picture_gives_its_depth(name: str) -> None:
    model = small_model(name)
    static, kept = picture(name, 0), torch.zeros(1, *small_size_hw(name))
    model(static)  # tables are made the first time
    graph = RecordedGraph(lambda: kept.copy_(model(static)))
    for seed in (1, 2):
        static.copy_(picture(name, seed))
        graph.replay()
        torch.testing.assert_close(kept, model(picture(name, seed)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_tables_are_made_once_a_size(name: str) -> None:
    model = small_model(name)
    counts = []
    for seed in range(2):
        with Counted() as counted:
            model(picture(name, seed))
        counts.append(counted.operations)
    first, second = counts
    assert not MAKES_TABLES & set(second), MAKES_TABLES & set(second)
    assert sum(second.values()) <= sum(first.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_attention_is_one_operation_and_its_weights_are_never_written_down(name: str) -> None:
    with Counted() as counted:
        small_model(name)(picture(name, 0))
    operations = set(counted.operations)
    assert any("scaled_dot_product" in operation for operation in operations)
    assert not {"softmax", "_softmax"} & operations


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_ends_in_float32_and_stays_near_it(name: str, dtype: torch.dtype) -> None:
    model = small_model(name)
    exact = model(picture(name, 3)).numpy()
    with Counted() as counted:
        rounded = model.with_dtype(dtype)(picture(name, 3)).numpy()
    assert rounded.dtype == np.float32
    assert counted.operations["convolution"] > 0
    steps = 2**11 if dtype is torch.float16 else 2**8
    assert len(np.unique(rounded)) > 0.5 * len(np.unique(exact)) or len(np.unique(rounded)) > 2 * steps
    assert np.abs(rounded - exact).mean() < 0.05 * np.ptp(exact)
    assert model.dtype == torch.float32  # the model itself is left as it was


@pytest.mark.parametrize("name", ["v2", "beit", "vit", "swinv2"])
def test_compiled_work_reads_the_tables_that_are_there(name: str) -> None:
    model, names = small_model(name), []

    def keep(module: torch.fx.GraphModule, _inputs: object) -> Any:
        names.extend(node.name for node in module.graph.nodes)
        return module.forward

    with torch.no_grad():
        expected = model.network(picture(name, 0))
        compiled = torch.compile(model.network, backend=keep, dynamic=False, fullgraph=True)
        torch.testing.assert_close(compiled(picture(name, 0)), expected)
    torch._dynamo.reset()
    assert not [operation for operation in names if operation.startswith(("arange", "einsum", "cartesian"))]
    assert not [operation for operation in names if operation.startswith(("offsets", "bias_hk", "patches_1chw"))]
