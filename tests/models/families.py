"""A small network of every family and of every way its parts differ, with seeded weights: milliseconds a picture."""

from collections.abc import Callable

import torch
from torch import nn

from dptstream.geometry import DepthKind
from dptstream.models import depth_anything, dpt_tiny, midas_beit, midas_swinv2, midas_vit
from dptstream.models.base import ModelInfo
from dptstream.models.network import NetworkModel
from dptstream.models.preprocess import AS_AUTHORS, Preprocessing


def _depth_anything(variant) -> nn.Module:
    return depth_anything.Model(depth_anything.Config(variant, 128, 4, (32, 32, 64, 64), 32, position_grid=5))


def _beit() -> nn.Module:
    return midas_beit.Model(midas_beit.Config(64, 4, 2, (0, 1, 2, 3), (16, 16, 32, 32), 96, fusion_channels=16))


def _vit() -> nn.Module:
    return midas_vit.Model(midas_vit.Config(64, 4, 2, (0, 1, 2, 3), (16, 16, 32, 32), 96, fusion_channels=16))


def _hybrid() -> nn.Module:
    return midas_vit.Model(
        midas_vit.Config(
            64, 4, 2, (1, 3), (128, 256, 32, 32), 96, resnet_depths=(1, 1, 1), resnet_width=32, fusion_channels=16
        )
    )


def _swinv2() -> nn.Module:
    return midas_swinv2.Model(
        midas_swinv2.Config(32, (2, 2, 2, 2), (1, 2, 4, 8), base_size=128, window=8, fusion_channels=16)
    )


def _tiny() -> nn.Module:
    return dpt_tiny.Model(dpt_tiny.Config(8, (16, 16), (1, 1), 128, 4, 128, 16, 8))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "v2": lambda: _depth_anything("v2"),
    "v2-metric-indoor": lambda: _depth_anything("v2-metric-indoor"),
    "v3-mono": lambda: _depth_anything("v3-mono"),
    "video": lambda: _depth_anything("video"),
    "beit": _beit,
    "vit": _vit,
    "hybrid": _hybrid,
    "swinv2": _swinv2,
    "tiny": _tiny,
}

WITHOUT_CLASS_TOKEN = ("swinv2", "tiny")


def small_network(name: str) -> nn.Module:
    """Return a network whose depth varies over the picture: its positions are random and its last bias lifts it above zero."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().requires_grad_(False)
    for key, weight in network.named_parameters():
        if key.endswith(("position_embedding", "vectors", "table", "class_token", "cls_token")):
            nn.init.normal_(weight, std=0.5)
    head = network.head
    nn.init.ones_(head.predict.bias if name == "tiny" else head.depth.conv_3.bias)
    return network


def small_model(name: str, preprocessing: Preprocessing = AS_AUTHORS) -> NetworkModel:
    """Return the same as a ``DepthModel``."""
    network = small_network(name)
    config = network.config
    info = ModelInfo(
        name=f"small-{name}",
        family=type(network).__module__.split(".")[2],
        variant=str(getattr(config, "variant", "")),
        kind=DepthKind.RELATIVE_INVERSE,
        parameters=sum(weight.numel() for weight in network.parameters()),
        size_multiple=config.size_multiple,
        base_size=config.base_size,
        resize_method=config.resize_method,
        image_mean=config.image_mean,
        image_std=config.image_std,
        output_resize="bilinear",
        file=None,
        sha256=None,
        license="unknown",
        temporal=name == "video",
        decided_by={"family": "keys"},
    )
    return NetworkModel(network, info, preprocessing)


def small_size_hw(name: str) -> tuple[int, int]:
    """Return a size that the network takes, of another aspect than it was trained at."""
    return {"swinv2": (96, 160), "tiny": (48, 80)}.get(
        name, (56, 84) if name.startswith("v") and name != "vit" else (64, 96)
    )
