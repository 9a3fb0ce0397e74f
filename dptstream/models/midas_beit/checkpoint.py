"""How published files name the weights, and which network a file holds. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isqrt

import torch
from torch import Tensor

from .config import Config
from .position_bias import CLS_ROWS

LEVELS = range(4)

# Three parts of one weight get the endings .query, .key and .value here and are joined afterwards.
MIDAS_ENCODER = [
    (r"^pretrained\.model\.cls_token$", "image_encoder.cls_token"),
    (r"^pretrained\.model\.patch_embed\.proj\.", "patch_embed.projection."),
    (r"^pretrained\.model\.blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\.", r"image_encoder.blocks.\1.\2."),
    (r"^pretrained\.model\.blocks\.(\d+)\.gamma_([12])$", r"image_encoder.blocks.\1.gamma_\2"),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.weight$", r"image_encoder.blocks.\1.attention.qkv.weight"),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.q_bias$", r"image_encoder.blocks.\1.attention.qkv.bias.query"),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.v_bias$", r"image_encoder.blocks.\1.attention.qkv.bias.value"),
    (r"^pretrained\.model\.blocks\.(\d+)\.attn\.proj\.", r"image_encoder.blocks.\1.attention.projection."),
    (
        r"^pretrained\.model\.blocks\.(\d+)\.attn\.relative_position_bias_table$",
        r"image_encoder.blocks.\1.attention.position_bias.table",
    ),
]

HUGGING_FACE_ENCODER = [
    (r"^backbone\.embeddings\.cls_token$", "image_encoder.cls_token"),
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "patch_embed.projection."),
    (r"^backbone\.encoder\.layer\.(\d+)\.layernorm_before\.", r"image_encoder.blocks.\1.norm1."),
    (r"^backbone\.encoder\.layer\.(\d+)\.layernorm_after\.", r"image_encoder.blocks.\1.norm2."),
    (r"^backbone\.encoder\.layer\.(\d+)\.lambda_([12])$", r"image_encoder.blocks.\1.gamma_\2"),
    (r"^backbone\.encoder\.layer\.(\d+)\.intermediate\.dense\.", r"image_encoder.blocks.\1.mlp.fc1."),
    (r"^backbone\.encoder\.layer\.(\d+)\.output\.dense\.", r"image_encoder.blocks.\1.mlp.fc2."),
    (
        r"^backbone\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)$",
        r"image_encoder.blocks.\1.attention.qkv.\3.\2",
    ),
    (r"^backbone\.encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"image_encoder.blocks.\1.attention.projection."),
    (
        r"^backbone\.encoder\.layer\.(\d+)\.attention\.attention\.relative_position_bias\.relative_position_bias_table$",
        r"image_encoder.blocks.\1.attention.position_bias.table",
    ),
]


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

# The classifier, tables that are derived from sizes, and the unit that the coarsest level never uses.
UNUSED = [
    r"^pretrained\.model\.(fc_norm|norm|head)\.",
    r"\.relative_position_index$",
    r"^scratch\.refinenet4\.resConfUnit1\.",
    r"^neck\.fusion_stage\.layers\.0\.residual_layer1\.",
]


def matches(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell from keys and shapes alone whether a checkpoint is of this family, as MiDaS or as ``transformers`` names it."""
    midas = "pretrained.model.blocks.0.attn.relative_position_bias_table"
    table = "backbone.encoder.layer.0.attention.attention.relative_position_bias.relative_position_bias_table"
    return midas in shapes or (table in shapes and "neck.convs.0.weight" in shapes)


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Read the network's sizes from the shapes of a checkpoint that ``matches``.

    Raises:
        ValueError: A weight that tells a size is missing, or there is no network of such sizes.
    """
    ours = {name: shapes[key] for key, name in _renamed(shapes).items()}
    try:
        patch_weight = ours["patch_embed.projection.weight"]
        table_rows, head_count = ours["image_encoder.blocks.0.attention.position_bias.table"]
        first, second, third, fourth = (ours[f"fusion.adapters.{level}.weight"] for level in LEVELS)
        head_channels = ours["head.depth.conv_2.weight"][0]
    except KeyError as missing:
        raise ValueError(
            f"no weight among {len(shapes)} becomes {missing.args[0]!r}; the file may be cut off"
        ) from None
    block_count = _block_count(ours)
    return Config(
        embed_dim=patch_weight[0],
        block_count=block_count,
        head_count=head_count,
        taps=_quarters(block_count),
        level_channels=(first[1], second[1], third[1], fourth[1]),
        base_size=_base_grid(table_rows) * patch_weight[-1],
        fusion_channels=first[0],
        head_channels=head_channels,
        patch_size=patch_weight[-1],
    )


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under this network's names; a key that is in no table stays, so that a strict load names it."""
    return _joined({name: state_dict[key] for key, name in _renamed(state_dict).items()})


def _base_grid(table_rows: int) -> int:
    span = isqrt(max(table_rows - CLS_ROWS, 0))
    if span**2 + CLS_ROWS != table_rows or span % 2 == 0:
        raise ValueError(f"position bias table has {table_rows} rows; a g x g grid gives (2 g - 1)^2 + {CLS_ROWS}")
    return (span + 1) // 2


def _block_count(names: Iterable[str]) -> int:
    numbers = [int(name.split(".")[2]) for name in names if name.startswith("image_encoder.blocks.")]
    return 1 + max(numbers, default=-1)


def _quarters(block_count: int) -> tuple[int, int, int, int]:
    if block_count == 0 or block_count % 4:
        raise ValueError(
            f"encoder has {block_count} blocks; the decoder reads every fourth part, so they must divide by 4"
        )
    quarter = block_count // 4
    return (quarter - 1, 2 * quarter - 1, 3 * quarter - 1, 4 * quarter - 1)


def _renamed(keys: Iterable[str]) -> dict[str, str]:
    """Map each published key that is in use to this network's name."""
    return {key: _rename(key) for key in keys if not any(re.search(pattern, key) for pattern in UNUSED)}


def _rename(key: str) -> str:
    for pattern, replacement in RENAMES:
        name, count = re.subn(pattern, replacement, key)
        if count:
            return name
    return key


def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stack what is stored as query, key and value; keys without a bias have one of zeros."""
    joined = dict(weights)
    for name in weights:
        stem, _, ending = name.rpartition(".")
        if ending == "query" and f"{stem}.value" in joined:
            query, value = joined.pop(name), joined.pop(f"{stem}.value")
            joined[stem] = torch.cat([query, joined.pop(f"{stem}.key", torch.zeros_like(query)), value])
    return joined
