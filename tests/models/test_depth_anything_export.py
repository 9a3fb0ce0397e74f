"""Depth Anything as a graph: nothing in it depends on the data, so it can be compiled and exported, for all sizes too."""

import weakref

import pytest
import torch
from torch.nn import functional as F

from dptstream.models.depth_anything import Config, Model
from dptstream.models.depth_anything.image_encoder import resize_positions
from dptstream.models.depth_anything.size_tables import SizeTables

VARIANTS = ["v3-mono", "video"]  # what they have beyond V2 is all that could break a graph


def make_model(variant) -> Model:
    torch.manual_seed(0)
    model = Model(Config(variant, 64, 4, (32, 32, 64, 64), 64, position_grid=5)).eval().requires_grad_(False)
    torch.nn.init.normal_(model.image_encoder.position_embedding)
    torch.nn.init.ones_(model.head.depth.conv_3.bias)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_compiles_to_one_graph(variant) -> None:
    model = make_model(variant)
    images = torch.randn(1, 3, 42, 56)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), model(images))
    torch.compiler.reset()


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_exports_for_all_sizes(variant) -> None:
    model = make_model(variant)
    rows, columns = (torch.export.Dim(name, min=4, max=100) for name in ("rows", "columns"))
    sizes = {2: 14 * rows, 3: 14 * columns}
    exported = torch.export.export(model, (torch.randn(1, 3, 84, 126),), dynamic_shapes=(sizes,)).module()
    for size_hw in ((84, 126), (98, 70), (56, 140)):
        images = torch.randn(1, 3, *size_hw)
        expected = model(images)
        assert (exported(images) - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize("grid_hw", [(3, 4), (5, 5), (1, 80), (37, 66)])
@pytest.mark.parametrize("trained", [37, 5, 1])
def test_positions_are_resized_as_interpolate_does_with_a_tenth_to_spare(
    trained: int, grid_hw: tuple[int, int]
) -> None:
    square = torch.randn(trained, trained, 8)
    factors = [(side + 0.1) / trained for side in grid_hw]
    expected = F.interpolate(square.permute(2, 0, 1)[None], scale_factor=factors, mode="bicubic", align_corners=False)
    torch.testing.assert_close(resize_positions(square, grid_hw), expected[0].permute(1, 2, 0), rtol=1e-4, atol=1e-4)


class OnCudaDevice:
    """Stands in for a tensor on a CUDA device, of which the tables read no more than this."""

    device, dtype, is_cuda = torch.device("cuda"), torch.float32, True


@pytest.fixture
def capture(monkeypatch):
    """Pretend that a CUDA graph is being captured, or not."""
    return lambda going_on: monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: going_on)


def test_a_table_that_a_cuda_graph_reads_outlives_the_others(capture) -> None:
    tables = SizeTables()
    capture(False)
    tables.fetch((3, 4), OnCudaDevice, lambda: torch.zeros(1))
    capture(True)
    read_by_graph = weakref.ref(tables.fetch((3, 4), OnCudaDevice, lambda: torch.ones(1)))
    assert read_by_graph() == torch.zeros(1)
    capture(False)
    for width in range(20):
        tables.fetch((1, width), OnCudaDevice, lambda: torch.zeros(1))
    assert read_by_graph() is not None


def test_a_table_made_inside_a_cuda_graph_is_left_to_the_graph(capture) -> None:
    tables = SizeTables()
    capture(True)
    tables.fetch((3, 4), OnCudaDevice, lambda: torch.zeros(1))
    capture(False)
    assert tables.fetch((3, 4), OnCudaDevice, lambda: torch.ones(1)) == torch.ones(1)
