"""What benchmarks run on: networks with seeded weights, moving pictures in memory and as a clip, facts of the machine."""

import platform
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch

from dptstream.frames import VideoFrame, YuvForm, YuvPicture
from dptstream.geometry import DepthKind
from dptstream.models import depth_anything
from dptstream.models.base import ModelInfo
from dptstream.models.network import NetworkModel
from dptstream.sources import open_source

CONFIGS = {
    "small": depth_anything.Config.vits,
    "base": depth_anything.Config.vitb,
    "large": depth_anything.Config.vitl,
    "rehearsal": lambda: depth_anything.Config("v2", 128, 4, (32, 32, 64, 64), 32, position_grid=5),
}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    picture_hw: tuple[int, int]
    size: int
    passes: int
    frames: int
    paced_frames: int
    endurance_frames: int


FULL = Scale((1080, 1920), 518, passes=200, frames=600, paced_frames=1200, endurance_frames=10_000)
REHEARSAL = Scale((72, 128), 56, passes=5, frames=24, paced_frames=20, endurance_frames=60)


def seeded_model(name: str, device: torch.device, dtype: torch.dtype) -> NetworkModel:
    """Return a network of the shape that ``name`` has, with random weights from a fixed seed."""
    torch.manual_seed(0)
    config = CONFIGS[name]()
    with torch.device(device):
        network = depth_anything.Model(config).eval().requires_grad_(False).to(dtype)
    torch.nn.init.ones_(network.head.depth.conv_3.bias)  # depth above zero, so that smoothing has something to do
    info = ModelInfo(
        name=f"seeded-{name}",
        family="depth_anything",
        variant=config.variant,
        kind=DepthKind.RELATIVE_INVERSE,
        parameters=sum(weight.numel() for weight in network.parameters()),
        size_multiple=config.size_multiple,
        base_size=config.base_size,
        resize_method=config.resize_method,
        image_mean=config.image_mean,
        image_std=config.image_std,
        output_resize="bilinear_corners",
        file=None,
        sha256=None,
        license="none",
    )
    return NetworkModel(network, info)


def pictures(scale: Scale, count: int = 8) -> list[VideoFrame]:
    """Return moving pictures in memory, as RGB and as a decoder would store them."""
    height, width = scale.picture_hw
    form = YuvForm(height, width, "bt709", full_range=False)
    with open_source(f"synthetic:width={width},height={height},frames={count}") as source:
        frames = []
        for frame in source:
            stored = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), "rgb24").reformat(format="yuv420p")
            rows = torch.from_numpy(stored.to_ndarray())  # Y above U above V
            y, u, v = torch.split(rows.reshape(-1), [height * width, height * width // 4, height * width // 4])
            small = (height // 2, width // 2)
            native = YuvPicture(form, y.view(height, width), (u.view(small), v.view(small)))
            frames.append(replace(frame, image=frame.image.copy(), native=native))
    return frames


def make_clip(path: Path, scale: Scale) -> None:
    """Code a moving scene with x264."""
    height, width = scale.picture_hw
    with (
        open_source(f"synthetic:width={width},height={height},frames={scale.frames // 2}") as source,
        av.open(str(path), "w") as container,
    ):
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in source:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), format="rgb24")))
        container.mux(stream.encode(None))


def machine(device: torch.device) -> dict[str, object]:
    """Return what the figures were taken on."""
    facts: dict[str, object] = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": torch.__version__,
        "av": av.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    if device.type != "cuda":
        return facts | {"card": None}
    facts |= {"card": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    if nvidia_smi := shutil.which("nvidia-smi"):
        fields = "driver_version,clocks.sm,clocks.mem,power.limit,temperature.gpu"
        command = [nvidia_smi, f"--query-gpu={fields}", "--format=csv,noheader", f"--id={device.index or 0}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        facts["driver, clocks, power limit, temperature"] = answer.stdout.strip()
    return facts
