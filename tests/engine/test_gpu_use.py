"""What is told of a GPU, with a stand-in for its driver."""

from typing import Any

import pytest
import torch

from dptstream.engine.gpu import GpuUse, gpu_use

CUDA = torch.device("cuda:1")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: {CUDA: (60 << 30, 80 << 30)}[device])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: {CUDA: 5 << 30}[device])
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: {CUDA: 43}[device])
    return monkeypatch


def failing(error: Exception) -> Any:
    def fail(_device: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("driver")
def test_use_and_memory_are_those_of_the_device() -> None:
    assert gpu_use(CUDA) == GpuUse("cuda:1", 0.43, 20 << 30, 5 << 30, 80 << 30)


@pytest.mark.usefixtures("driver")
def test_nothing_is_told_where_there_is_no_gpu() -> None:
    assert gpu_use(torch.device("cpu")) is None


@pytest.mark.parametrize("error", [ModuleNotFoundError("no pynvml"), RuntimeError("no driver"), KeyError("NVMLError")])
def test_memory_is_told_where_nobody_knows_the_use(driver: pytest.MonkeyPatch, error: Exception) -> None:
    driver.setattr(torch.cuda, "utilization", failing(error))
    use = gpu_use(CUDA)
    assert use is not None
    assert (use.utilization, use.memory_used_bytes) == (None, 20 << 30)


def test_a_gpu_that_broke_down_ends_nothing(driver: pytest.MonkeyPatch) -> None:
    driver.setattr(torch.cuda, "mem_get_info", failing(RuntimeError("an illegal memory access was encountered")))
    assert gpu_use(CUDA) is None
