"""How published files name the weights, and which network a file holds. Opens no file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isqrt

import torch
from torch import Tensor

from .config import Config

LEVELS = range(4)

# Three parts of one weight get the endings .query, .key and .value here and are joined afterwards.
MIDAS_ENCODER = [
    (r"^pretrained\.model\.patch_embed\.proj\.", "patch_embed.projection."),
    (r"^pretrained\.model\.patch_embed\.norm\.", "patch_embed.norm."),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\.",
        r"image_encoder.stages.\1.blocks.\2.\3.",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.(logit_scale$|qkv\.weight$)",
        r"image_encoder.stages.\1.blocks.\2.attention.\3",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.q_bias$",
        r"image_encoder.stages.\1.blocks.\2.attention.qkv.bias.query",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.v_bias$",
        r"image_encoder.stages.\1.blocks.\2.attention.qkv.bias.value",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.proj\.",
        r"image_encoder.stages.\1.blocks.\2.attention.projection.",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.cpb_mlp\.0\.",
        r"image_encoder.stages.\1.blocks.\2.attention.position_bias.fc1.",
    ),
    (
        r"^pretrained\.model\.layers\.(\d+)\.blocks\.(\d+)\.attn\.cpb_mlp\.2\.",
        r"image_encoder.stages.\1.blocks.\2.attention.position_bias.fc2.",
    ),
    (r"^pretrained\.model\.layers\.(\d+)\.downsample\.(reduction|norm)\.", r"image_encoder.stages.\1.downsample.\2."),
]

HUGGING_FACE_ENCODER = [
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", "patch_embed.projection."),
    (r"^backbone\.embeddings\.norm\.", "patch_embed.norm."),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.layernorm_before\.",
        r"image_encoder.stages.\1.blocks.\2.norm1.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.layernorm_after\.",
        r"image_encoder.stages.\1.blocks.\2.norm2.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.intermediate\.dense\.",
        r"image_encoder.stages.\1.blocks.\2.mlp.fc1.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.output\.dense\.",
        r"image_encoder.stages.\1.blocks.\2.mlp.fc2.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.logit_scale$",
        r"image_encoder.stages.\1.blocks.\2.attention.logit_scale",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.(query|key|value)\.(weight|bias)$",
        r"image_encoder.stages.\1.blocks.\2.attention.qkv.\4.\3",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.attention\.output\.dense\.",
        r"image_encoder.stages.\1.blocks.\2.attention.projection.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.continuous_position_bias_mlp\.0\.",
        r"image_encoder.stages.\1.blocks.\2.attention.position_bias.fc1.",
    ),
    (
        r"^backbone\.encoder\.layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.continuous_position_bias_mlp\.2\.",
        r"image_encoder.stages.\1.blocks.\2.attention.position_bias.fc2.",
    ),
    (r"^backbone\.encoder\.layers\.(\d+)\.downsample\.(reduction|norm)\.", r"image_encoder.stages.\1.downsample.\2."),
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

# The classifier, the encoder's last norms, tables that are derived from sizes, and the unit that the coarsest level never uses.
UNUSED = [
    r"^pretrained\.model\.(norm|head)\.",
    r"^backbone\.(layernorm|hidden_states_norms\.\w+)\.",
    r"\.(attn_mask|relative_position_index|relative_coords_table)$",
    r"^scratch\.refinenet4\.resConfUnit1\.",
    r"^neck\.fusion_stage\.layers\.0\.residual_layer1\.",
]

WINDOW_AND_BASE_SIZE = {96: (16, 256), 128: (24, 384), 192: (24, 384)}
"""Window (tokens) and base size (pixels) of the published networks by channels of the first stage."""

PRETRAINED_WINDOW = {24: 12}
"""Window of the pretraining by trained window: those with 24 were enlarged from 12, others trained as they are."""


def matches(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell from keys and shapes alone whether a checkpoint is of this family, as MiDaS or as ``transformers`` names it."""
    midas = "pretrained.model.layers.0.blocks.0.attn.logit_scale" in shapes
    hugging_face = "backbone.encoder.layers.0.blocks.0.attention.self.logit_scale" in shapes
    return midas or (hugging_face and "neck.convs.0.weight" in shapes)


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Read the network's sizes from the shapes of a checkpoint that ``matches``.

    Window and base size follow from the stored masks. A file without these, as ``transformers`` writes it, must have
    the first stage's channels of a published network.

    Raises:
        ValueError: A weight that tells a size is missing, or there is no network of such sizes.
    """
    ours = {name: shapes[key] for key, name in _renamed(shapes).items()}
    try:
        patch_weight = ours["patch_embed.projection.weight"]
        first, second, third, fourth = (
            ours[f"image_encoder.stages.{stage}.blocks.0.attention.logit_scale"][0] for stage in LEVELS
        )
        fusion_channels = ours["fusion.adapters.0.weight"][0]
        head_channels = ours["head.depth.conv_2.weight"][0]
    except KeyError as missing:
        raise ValueError(
            f"no weight among {len(shapes)} becomes {missing.args[0]!r}; the file may be cut off"
        ) from None
    window, base_size = _window_and_base_size(shapes, patch_weight)
    return Config(
        embed_dim=patch_weight[0],
        depths=_depths(ours),
        head_counts=(first, second, third, fourth),
        base_size=base_size,
        window=window,
        pretrained_window=PRETRAINED_WINDOW.get(window, 0),
        fusion_channels=fusion_channels,
        head_channels=head_channels,
        patch_size=patch_weight[-1],
        size_multiple=8 * patch_weight[-1],
    )


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under this network's names; a key that is in no table stays, so that a strict load names it."""
    return _joined({name: state_dict[key] for key, name in _renamed(state_dict).items()})


def _window_and_base_size(shapes: Mapping[str, tuple[int, ...]], patch_weight: tuple[int, ...]) -> tuple[int, int]:
    embed_dim, patch_size = patch_weight[0], patch_weight[-1]
    mask = shapes.get("pretrained.model.layers.0.blocks.1.attn_mask")
    if mask is None:
        if embed_dim not in WINDOW_AND_BASE_SIZE:
            known = ", ".join(map(str, WINDOW_AND_BASE_SIZE))
            raise ValueError(
                f"no masks tell the window, and the first stage has {embed_dim} channels; known are {known}"
            )
        return WINDOW_AND_BASE_SIZE[embed_dim]
    window, count = isqrt(mask[1]), isqrt(mask[0])
    if window**2 != mask[1] or count**2 != mask[0]:
        raise ValueError(f"attn_mask has shape {mask}; (windows, tokens, tokens) must both be squares")
    return window, window * count * patch_size


def _depths(names: Iterable[str]) -> tuple[int, int, int, int]:
    places = [name.split(".") for name in names if name.startswith("image_encoder.stages.") and ".blocks." in name]
    first, second, third, fourth = (
        1 + max(int(place[4]) for place in places if place[2] == str(stage)) for stage in LEVELS
    )
    return (first, second, third, fourth)


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
