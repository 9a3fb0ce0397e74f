"""How published files name the weights, and which network a file holds. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isqrt

import torch
from torch import Tensor

from .config import Config

LEVELS = range(4)
STANDARDIZE_EPS = 1e-8

# Three parts of one weight get the endings .query, .key and .value here and are joined afterwards.
MIDAS_ENCODER = [
    (r"^pretrained\.model\.cls_token$", "image_encoder.cls_token"),
    (r"^pretrained\.model\.pos_embed$", "image_encoder.position.vectors"),
    (r"^pretrained\.model\.patch_embed\.proj\.", "patch_embed.projection."),
    (r"^pretrained\.model\.patch_embed\.backbone\.stem\.", "patch_embed.resnet.stem."),
    (r"^pretrained\.model\.patch_embed\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.", r"patch_embed.resnet.stages.\1.\2."),
    (r"^pretrained\.model\.blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\.", r"image_encoder.blocks.\1.\2."),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.", r"image_encoder.blocks.\1.attention.qkv."),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.proj\.", r"image_encoder.blocks.\1.attention.projection."),
]

HUGGING_FACE_ENCODER = [
    (r"^dpt\.embeddings\.cls_token$", "image_encoder.cls_token"),
    (r"^dpt\.embeddings\.position_embeddings$", "image_encoder.position.vectors"),
    (r"^dpt\.embeddings\.(patch_embeddings\.)?projection\.", "patch_embed.projection."),
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.convolution\.", "patch_embed.resnet.stem.conv."),
    (r"^dpt\.embeddings\.backbone\.bit\.embedder\.norm\.", "patch_embed.resnet.stem.norm."),
    (
        r"^dpt\.embeddings\.backbone\.bit\.encoder\.stages\.(\d+)\.layers\.(\d+)\.",
        r"patch_embed.resnet.stages.\1.\2.",
    ),
    (r"^dpt\.encoder\.layer\.(\d+)\.layernorm_before\.", r"image_encoder.blocks.\1.norm1."),
    (r"^dpt\.encoder\.layer\.(\d+)\.layernorm_after\.", r"image_encoder.blocks.\1.norm2."),
    (r"^dpt\.encoder\.layer\.(\d+)\.intermediate\.dense\.", r"image_encoder.blocks.\1.mlp.fc1."),
    (r"^dpt\.encoder\.layer\.(\d+)\.output\.dense\.", r"image_encoder.blocks.\1.mlp.fc2."),
    (
        r"^dpt\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$",
        r"image_encoder.blocks.\1.attention.qkv.\3.\2",
    ),
    (r"^dpt\.encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"image_encoder.blocks.\1.attention.projection."),
]


# Copied from dptstream/models/midas_beit/checkpoint.py
def _midas_decoder() -> list[tuple[str, str]]:
    reassemble = [
        (rf"^pretrained\.act_postprocess{level + 1}\.{published}\.", f"reassemble.levels.{level}.{ours}.")
        for level in LEVELS
        for published, ours in ((r"0\.project\.0", "readout.linear"), ("3", "projection"), ("4", "resize"))
    ]
    adapters = [(rf"^scratch\.layer{level + 1}_rn\.", f"fusion.adapters.{level}.") for level in LEVELS]
    blocks = [
        (rf"^scratch\.refinenet{level + 1}\.{published}", f"fusion.blocks.{level}.{ours}")
        for level in LEVELS
        for published, ours in (
            (r"resConfUnit1\.conv", "level_unit.conv_"),
            (r"resConfUnit2\.conv", "sum_unit.conv_"),
            (r"out_conv\.", "projection."),
        )
    ]
    names = ("head.conv_1.", "head.depth.conv_2.", "head.depth.conv_3.")
    head = [(rf"^scratch\.output_conv\.{2 * index}\.", name) for index, name in enumerate(names)]
    return reassemble + adapters + blocks + head


# Copied from dptstream/models/midas_beit/checkpoint.py
def _hugging_face_decoder() -> list[tuple[str, str]]:
    neck = [
        (r"^neck\.reassemble_stage\.readout_projects\.(\d)\.0\.", r"reassemble.levels.\1.readout.linear."),
        (r"^neck\.reassemble_stage\.layers\.(\d)\.(projection|resize)\.", r"reassemble.levels.\1.\2."),
        (r"^neck\.convs\.(\d)\.", r"fusion.adapters.\1."),
    ]
    # There the coarsest block comes first, here the finest.
    blocks = [
        (rf"^neck\.fusion_stage\.layers\.{3 - level}\.{published}", f"fusion.blocks.{level}.{ours}")
        for level in LEVELS
        for published, ours in (
            (r"residual_layer1\.convolution", "level_unit.conv_"),
            (r"residual_layer2\.convolution", "sum_unit.conv_"),
            (r"projection\.", "projection."),
        )
    ]
    names = ("head.conv_1.", "head.depth.conv_2.", "head.depth.conv_3.")
    head = [(rf"^head\.head\.{2 * index}\.", name) for index, name in enumerate(names)]
    return neck + blocks + head


RENAMES = [*MIDAS_ENCODER, *_midas_decoder(), *HUGGING_FACE_ENCODER, *_hugging_face_decoder()]

# The classifier, the encoder's last norm, and the unit that the coarsest level never uses.
UNUSED = [
    r"^pretrained\.model\.(norm|head)\.",
    r"^dpt\.(layernorm|pooler)\.",
    r"^scratch\.refinenet4\.resConfUnit1\.",
    r"^neck\.fusion_stage\.layers\.0\.residual_layer1\.",
]


def matches(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell from keys and shapes alone whether a checkpoint is of this family, as MiDaS or as ``transformers`` names it."""
    if "scratch.refinenet1.resConfUnit1.bn1.weight" in shapes:
        return False  # batch norms in the decoder: this DPT segments pictures
    midas = "pretrained.model.pos_embed" in shapes and "scratch.layer1_rn.weight" in shapes
    return midas or ("dpt.embeddings.position_embeddings" in shapes and "neck.convs.0.weight" in shapes)


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Read the network's sizes from the shapes of a checkpoint that ``matches``.

    Raises:
        ValueError: A weight that tells a size is missing, or there is no network of such sizes.
    """
    ours = {name: shapes[key] for key, name in _renamed(shapes).items()}
    try:
        patch_weight = ours["patch_embed.projection.weight"]
        position_count = ours["image_encoder.position.vectors"][1]
        first, second, third, fourth = (ours[f"fusion.adapters.{level}.weight"] for level in LEVELS)
        head_channels = ours["head.depth.conv_2.weight"][0]
    except KeyError as missing:
        raise ValueError(
            f"no weight among {len(shapes)} becomes {missing.args[0]!r}; the file may be cut off"
        ) from None
    resnet_depths = _resnet_depths(ours)
    block_count = _block_count(ours)
    taps = _quarters(block_count)
    patch_size = patch_weight[-1] if resnet_depths is None else 4 * 2 ** (len(resnet_depths) - 1)
    return Config(
        embed_dim=patch_weight[0],
        block_count=block_count,
        head_count=_head_count(patch_weight[0]),
        taps=taps if resnet_depths is None else taps[2:],
        level_channels=(first[1], second[1], third[1], fourth[1]),
        base_size=_base_grid(position_count) * patch_size,
        resnet_depths=resnet_depths,
        resnet_width=64 if resnet_depths is None else ours["patch_embed.resnet.stem.conv.weight"][0],
        fusion_channels=first[0],
        head_channels=head_channels,
        patch_size=patch_size,
    )


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under this network's names; a key that is in no table stays, so that a strict load names it.

    The weights of the hybrid's ResNet are standardised on the way.
    """
    weights = _joined({name: state_dict[key] for key, name in _renamed(state_dict).items()})
    for name, weight in weights.items():
        if re.search(r"^patch_embed\.resnet\..*conv\d?\.weight$", name):
            weights[name] = _standardized(weight)
    return weights


def _standardized(weight_oihw: Tensor) -> Tensor:
    """Give the weights of each output channel mean 0 and variance 1, in float32 whatever the file's precision."""
    flat_ok = weight_oihw.float().flatten(1)
    centred_ok = flat_ok - flat_ok.mean(dim=1, keepdim=True)
    scale_o1 = (centred_ok.square().mean(dim=1, keepdim=True) + STANDARDIZE_EPS).rsqrt()
    return (centred_ok * scale_o1).view_as(weight_oihw).to(weight_oihw.dtype)


def _resnet_depths(names: Iterable[str]) -> tuple[int, ...] | None:
    places = [name.split(".") for name in names if name.startswith("patch_embed.resnet.stages.")]
    if not places:
        return None
    stage_count = 1 + max(int(place[3]) for place in places)
    depths = (
        1 + max((int(place[4]) for place in places if place[3] == str(stage)), default=-1)
        for stage in range(stage_count)
    )
    return tuple(depths)


def _head_count(embed_dim: int) -> int:
    """Tell the attention heads, which no shape shows: 64 channels each in every published size."""
    if embed_dim % 64:
        raise ValueError(
            f"tokens have {embed_dim} channels; it must be a multiple of 64, the channels of one attention head"
        )
    return embed_dim // 64


def _base_grid(position_count: int) -> int:
    side = isqrt(max(position_count - 1, 0))
    if side == 0 or side**2 + 1 != position_count:
        raise ValueError(f"position embedding has {position_count} rows; a g x g grid and the class token give g^2 + 1")
    return side


# Copied from dptstream/models/midas_beit/checkpoint.py
def _block_count(names: Iterable[str]) -> int:
    numbers = [int(name.split(".")[2]) for name in names if name.startswith("image_encoder.blocks.")]
    return 1 + max(numbers, default=-1)


# Copied from dptstream/models/midas_beit/checkpoint.py
def _quarters(block_count: int) -> tuple[int, int, int, int]:
    if block_count == 0 or block_count % 4:
        raise ValueError(
            f"encoder has {block_count} blocks; the decoder reads every fourth part, so they must divide by 4"
        )
    quarter = block_count // 4
    return (quarter - 1, 2 * quarter - 1, 3 * quarter - 1, 4 * quarter - 1)


# Copied from dptstream/models/midas_beit/checkpoint.py
def _renamed(keys: Iterable[str]) -> dict[str, str]:
    """Map each published key that is in use to this network's name."""
    return {key: _rename(key) for key in keys if not any(re.search(pattern, key) for pattern in UNUSED)}


# Copied from dptstream/models/midas_beit/checkpoint.py
def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        name, count = re.subn(pattern, replacement, key)
        if count:
            return name
    return key


# Copied from dptstream/models/midas_beit/checkpoint.py
def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stack what is stored as query, key and value; keys without a bias have one of zeros."""
    joined = dict(weights)
    for name in weights:
        stem, _, ending = name.rpartition(".")
        if ending == "query" and f"{stem}.value" in joined:
            query, value = joined.pop(name), joined.pop(f"{stem}.value")
            joined[stem] = torch.cat([query, joined.pop(f"{stem}.key", torch.zeros_like(query)), value])
    return joined
