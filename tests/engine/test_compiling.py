"""Compiled networks: used where they were made and give the same depth, left alone where not."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dptstream.engine import EngineConfig
from dptstream.engine.backend import COMPILING
from dptstream.engine.compiling import Compiler
from dptstream.engine.estimator import Estimator
from dptstream.engine.notes import Notes
from dptstream.engine.slots import Slot
from dptstream.engine.stages import download, upload
from dptstream.frames import VideoFrame
from dptstream.models.network import NetworkModel
from tests.models.families import small_model, small_size_hw
from tests.waiting import wait_until

from .test_estimator import AtOnceBackend
from .toys import ToyModel

NAME = "v2"
SHAPE = (1, 3, *small_size_hw(NAME))


class Marked(nn.Module):
    """Stands in for a compiled network; ``change`` shows in the depth."""

    def __init__(self, network: nn.Module, change: float = 0.0) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images_bchw: Tensor) -> Tensor:
        return self.network(images_bchw) + self.change


def test_a_real_compiler_gives_the_same_depth() -> None:
    model, notes = small_model(NAME), Notes()
    compiler = Compiler(notes, ahead=True, compile_network=lambda net: torch.compile(net, backend="eager"))  # type: ignore[arg-type]
    twin = compiler.twin(model, SHAPE)
    assert notes.lines == []
    assert twin is not None
    assert compiler.twin(model, SHAPE) is twin
    picture = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(twin(picture), model(picture))
    torch._dynamo.reset()


def test_many_sizes_are_compiled_and_one_too_many_is_told(monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setattr("dptstream.engine.compiling.MOST_SIZES", 10)
    compiled = []

    def backend(graph, _inputs):
        compiled.append(graph)
        return graph.forward

    model, notes = small_model("tiny"), Notes()
    compiler = Compiler(
        notes, ahead=True, compile_network=lambda net: torch.compile(net, backend=backend, dynamic=False)
    )
    try:
        twins = [compiler.twin(model, (1, 3, 32 + 16 * more, 48)) for more in range(11)]
        with torch.no_grad():
            twins[9](torch.zeros(1, 3, 32 + 16 * 9, 48))  # by a thread that knows nothing of the limit
    finally:
        torch._dynamo.reset()
    assert [twin is not None for twin in twins] == [True] * 10 + [False]
    assert len(compiled) == 10, "torch alone stops at eight"
    assert notes.lines == ["the network runs uncompiled: 10 sizes were compiled already"]
    assert capfd.readouterr().err == ""


def test_compilers_see_pictures_laid_out_as_they_will_be() -> None:
    laid_out: list[bool] = []

    class Watching(Marked):
        def forward(self, images_bchw: Tensor) -> Tensor:
            laid_out.append(images_bchw.is_contiguous())
            return super().forward(images_bchw)

    assert Compiler(Notes(), ahead=True, compile_network=Watching).twin(small_model(NAME), SHAPE) is not None
    assert laid_out == [True, True]


def test_compiling_goes_on_in_the_background_and_nothing_is_recorded_meanwhile() -> None:
    go_on = threading.Event()

    def slowly(network: nn.Module) -> nn.Module:
        assert go_on.wait(60)
        return Marked(network)

    compiler, model = Compiler(Notes(), compile_network=slowly), small_model(NAME)
    assert compiler.twin(model, SHAPE) is None
    wait_until(COMPILING.locked)
    go_on.set()
    wait_until(lambda: compiler.twin(model, SHAPE))
    wait_until(lambda: not COMPILING.locked())


def fail(_network: nn.Module) -> nn.Module:
    raise RuntimeError("no Triton\nhere")


@pytest.mark.parametrize(
    ("compile_network", "line"),
    [
        (fail, "the network runs uncompiled: RuntimeError: no Triton here"),
        (lambda network: Marked(network, 1e3), "the network runs uncompiled: compiled, it gave another depth"),
        (lambda network: Marked(network, torch.nan), "the network runs uncompiled: compiled, it gave another depth"),
    ],
)
def test_what_cannot_be_compiled_is_told_once_and_left(compile_network, line: str) -> None:
    notes, model = Notes(), small_model(NAME)
    compiler = Compiler(notes, ahead=True, compile_network=compile_network)
    assert compiler.twin(model, SHAPE) is None
    assert compiler.twin(model, SHAPE) is None
    assert notes.lines == [line]


def test_models_without_a_module_are_left_alone() -> None:
    assert Compiler(Notes(), ahead=True, compile_network=fail).twin(ToyModel(), SHAPE) is None


def estimate(estimator: Estimator, backend: AtOnceBackend, model: NetworkModel, number: int) -> np.ndarray:
    """Put one picture of the network's own size through a slot."""
    slot = Slot(0, backend)
    image = np.random.default_rng(number).integers(0, 256, (*small_size_hw(NAME), 3), np.uint8)
    slot.load(VideoFrame(image, number, number, 1), None)
    upload(slot, backend)
    estimator.infer([slot], model)
    download(slot, backend)
    slot.downloaded.synchronize()
    return slot.host_output.numpy().copy()


def test_compiled_work_takes_over_through_a_recording() -> None:
    model, backend, notes = small_model(NAME), AtOnceBackend(), Notes()
    calls: list[str] = []

    class Compiled(Marked):
        def forward(self, images_bchw: Tensor) -> Tensor:
            calls.append("compiled")
            return super().forward(images_bchw)

    compiler = Compiler(notes, ahead=True, compile_network=lambda network: Compiled(network, 1e-4))
    config = EngineConfig(size=small_size_hw(NAME)[0])
    estimator = Estimator(backend, config, None, notes, compiler)
    plain = Estimator(AtOnceBackend(), config, None, notes)
    try:
        for number in range(6):
            given = estimate(estimator, backend, model, number)
            exact = estimate(plain, plain._backend, model, number)
            np.testing.assert_allclose(given - exact, 1e-4 if number >= 2 else 0, atol=2e-6)
    finally:
        backend.close()
    assert backend.recordings == 3  # uncompiled, once more to pin its tables, compiled
    assert len(calls) == 2 + 2  # made and compared, then tried and recorded
    assert notes.lines == []


def test_compiled_work_that_cannot_be_recorded_leaves_the_recording_before() -> None:
    model, backend, notes = small_model(NAME), AtOnceBackend(), Notes()

    class Looking(Marked):
        def forward(self, images_bchw: Tensor) -> Tensor:
            depth = super().forward(images_bchw)
            return depth + 0 * depth.amax().item()

    compiler = Compiler(notes, ahead=True, compile_network=Looking)
    estimator = Estimator(backend, EngineConfig(size=small_size_hw(NAME)[0]), None, notes, compiler)
    try:
        depths = [estimate(estimator, backend, model, number) for number in (0, 1, 2, 0)]
    finally:
        backend.close()
    np.testing.assert_array_equal(depths[0], depths[3])
    (line,) = notes.lines
    assert line.startswith("the network runs uncompiled: operation not permitted when stream is capturing")


def test_only_live_cards_compile_by_themselves() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert EngineConfig(policy="live").compiles_for(cuda)
    assert not EngineConfig().compiles_for(cuda)
    assert EngineConfig(compile="on").compiles_for(cuda)
    for config in (EngineConfig(policy="live", compile="off"), EngineConfig(compile="on", graphs=False)):
        assert not config.compiles_for(cuda)
    assert not EngineConfig(policy="live", compile="on").compiles_for(cpu)
