import pytest
import torch

from dptstream.engine import choose_device, choose_dtype
from dptstream.errors import DeviceError


def test_auto_takes_what_is_there() -> None:
    device = choose_device("auto")
    assert torch.zeros(1, device=device).device.type == device.type


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none_names_what_to_do() -> None:
    with pytest.raises(DeviceError, match=r"cuda was asked for, but PyTorch .* finds 0 CUDA device.*--device cpu"):
        choose_device("cuda")


def test_an_unknown_device_lists_the_known_ones() -> None:
    with pytest.raises(DeviceError, match="unknown device 'tpu9x': use auto, cpu, cuda"):
        choose_device("tpu9x")


def test_precision_is_float32_on_the_cpu_and_half_on_a_gpu_unless_asked_for() -> None:
    assert choose_dtype(torch.device("cpu")) is torch.float32
    assert choose_dtype(torch.device("cuda")) is torch.float16
    assert choose_dtype(torch.device("cpu"), "bfloat16") is torch.bfloat16


def test_an_unknown_precision_lists_the_known_ones() -> None:
    with pytest.raises(DeviceError, match="unknown precision 'int3': use auto, float32, float16, bfloat16"):
        choose_dtype(torch.device("cpu"), "int3")
