"""Published state dicts: which keys make a checkpoint of this family, what its shapes say, and our names for its entries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .config import Config, Variant

Shapes = Mapping[str, tuple[int, ...]]

_ENCODER = r"^(?:model\.backbone\.)?pretrained\."
_BLOCK = _ENCODER + r"blocks\.(\d+)\."
_DECODER = r"^(?:depth_head|head|model\.head)\."
_SCRATCH = _DECODER + r"scratch\."
_TEMPORAL = r"^head\.motion_modules\.(\d)\.temporal_transformer\."
_TEMPORAL_BLOCK = _TEMPORAL + r"transformer_blocks\.0\."

Renames = tuple[tuple[str, str | None], ...]

# A key of the authors' files, as a pattern, and our name; None for entries that no result depends on.
AUTHORS_RENAMES: Renames = (
    (_ENCODER + r"mask_token$", None),
    (_ENCODER + r"cls_token$", r"image_encoder.class_token"),
    (_ENCODER + r"pos_embed$", r"image_encoder.position_embedding"),
    (_ENCODER + r"patch_embed\.proj\.", r"patch_embed.projection."),
    (_BLOCK + r"norm([12])\.", r"image_encoder.blocks.\1.norm_\2."),
    (_BLOCK + r"attn\.qkv\.", r"image_encoder.blocks.\1.attention.qkv."),
    (_BLOCK + r"attn\.proj\.", r"image_encoder.blocks.\1.attention.projection."),
    (_BLOCK + r"ls([12])\.gamma$", r"image_encoder.blocks.\1.scale_\2"),
    (_BLOCK + r"mlp\.(?:fc1|w12)\.", r"image_encoder.blocks.\1.mlp.expand."),
    (_BLOCK + r"mlp\.(?:fc2|w3)\.", r"image_encoder.blocks.\1.mlp.contract."),
    (_ENCODER + r"norm\.", r"image_encoder.norm."),
    (_DECODER + r"projects\.", r"reassemble.projections."),
    (_DECODER + r"resize_layers\.", r"reassemble.resizers."),
    (_SCRATCH + r"layer1_rn\.", r"fusion.adapters.0."),
    (_SCRATCH + r"layer2_rn\.", r"fusion.adapters.1."),
    (_SCRATCH + r"layer3_rn\.", r"fusion.adapters.2."),
    (_SCRATCH + r"layer4_rn\.", r"fusion.adapters.3."),
    # The coarsest block has one input, so its first unit was never trained nor used.
    (_SCRATCH + r"refinenet4\.resConfUnit1\..*", None),
    (_SCRATCH + r"refinenet1\.", r"fusion.blocks.0."),
    (_SCRATCH + r"refinenet2\.", r"fusion.blocks.1."),
    (_SCRATCH + r"refinenet3\.", r"fusion.blocks.2."),
    (_SCRATCH + r"refinenet4\.", r"fusion.blocks.3."),
    (r"^(fusion\.blocks\.\d)\.resConfUnit1\.conv", r"\1.level_unit.conv_"),
    (r"^(fusion\.blocks\.\d)\.resConfUnit2\.conv", r"\1.sum_unit.conv_"),
    (r"^(fusion\.blocks\.\d)\.out_conv\.", r"\1.projection."),
    (_SCRATCH + r"output_conv1\.", r"head.conv_1."),
    (_SCRATCH + r"output_conv2\.0\.", r"head.depth.conv_2."),
    (_SCRATCH + r"output_conv2\.2\.", r"head.depth.conv_3."),
    (_SCRATCH + r"sky_output_conv2\.0\.", r"head.sky.conv_2."),
    (_SCRATCH + r"sky_output_conv2\.2\.", r"head.sky.conv_3."),
    (_TEMPORAL + r"norm\.", r"fusion.temporal.\1.norm."),
    (_TEMPORAL + r"proj_in\.", r"fusion.temporal.\1.enter."),
    (_TEMPORAL + r"proj_out\.", r"fusion.temporal.\1.leave."),
    # The sinusoids are computed.
    (_TEMPORAL_BLOCK + r"attention_blocks\.\d\.pos_encoder\.pe$", None),
    (_TEMPORAL_BLOCK + r"attention_blocks\.(\d)\.to_q\.", r"fusion.temporal.\1.attentions.\2.queries."),
    (_TEMPORAL_BLOCK + r"attention_blocks\.(\d)\.to_k\.", r"fusion.temporal.\1.attentions.\2.keys."),
    (_TEMPORAL_BLOCK + r"attention_blocks\.(\d)\.to_v\.", r"fusion.temporal.\1.attentions.\2.values."),
    (_TEMPORAL_BLOCK + r"attention_blocks\.(\d)\.to_out\.0\.", r"fusion.temporal.\1.attentions.\2.projection."),
    (_TEMPORAL_BLOCK + r"norms\.(\d)\.", r"fusion.temporal.\1.attention_norms.\2."),
    (_TEMPORAL_BLOCK + r"ff_norm\.", r"fusion.temporal.\1.mlp_norm."),
    (_TEMPORAL_BLOCK + r"ff\.net\.0\.proj\.", r"fusion.temporal.\1.mlp_expand."),
    (_TEMPORAL_BLOCK + r"ff\.net\.2\.", r"fusion.temporal.\1.mlp_contract."),
)

_HF_BLOCK = r"^backbone\.encoder\.layer\.(\d+)\."
_HF_LEVEL = r"^neck\.reassemble_stage\.layers\.(\d)\."

# The same for files of Hugging Face transformers, whose fusion layers count from the coarsest.
TRANSFORMERS_RENAMES: Renames = (
    (r"^backbone\.embeddings\.mask_token$", None),
    (r"^backbone\.embeddings\.cls_token$", r"image_encoder.class_token"),
    (r"^backbone\.embeddings\.position_embeddings$", r"image_encoder.position_embedding"),
    (r"^backbone\.embeddings\.patch_embeddings\.projection\.", r"patch_embed.projection."),
    (_HF_BLOCK + r"norm([12])\.", r"image_encoder.blocks.\1.norm_\2."),
    (_HF_BLOCK + r"attention\.(?:attention\.query|q_proj)\.", r"image_encoder.blocks.\1.attention.queries."),
    (_HF_BLOCK + r"attention\.(?:attention\.key|k_proj)\.", r"image_encoder.blocks.\1.attention.keys."),
    (_HF_BLOCK + r"attention\.(?:attention\.value|v_proj)\.", r"image_encoder.blocks.\1.attention.values."),
    (_HF_BLOCK + r"attention\.(?:output\.dense|o_proj)\.", r"image_encoder.blocks.\1.attention.projection."),
    (_HF_BLOCK + r"layer_scale([12])\.lambda1$", r"image_encoder.blocks.\1.scale_\2"),
    (_HF_BLOCK + r"mlp\.(?:fc1|weights_in)\.", r"image_encoder.blocks.\1.mlp.expand."),
    (_HF_BLOCK + r"mlp\.(?:fc2|weights_out)\.", r"image_encoder.blocks.\1.mlp.contract."),
    (r"^backbone\.layernorm\.", r"image_encoder.norm."),
    (_HF_LEVEL + r"projection\.", r"reassemble.projections.\1."),
    (_HF_LEVEL + r"resize\.", r"reassemble.resizers.\1."),
    (r"^neck\.convs\.", r"fusion.adapters."),
    (r"^neck\.fusion_stage\.layers\.0\.residual_layer1\..*", None),
    (r"^neck\.fusion_stage\.layers\.0\.", r"fusion.blocks.3."),
    (r"^neck\.fusion_stage\.layers\.1\.", r"fusion.blocks.2."),
    (r"^neck\.fusion_stage\.layers\.2\.", r"fusion.blocks.1."),
    (r"^neck\.fusion_stage\.layers\.3\.", r"fusion.blocks.0."),
    (r"^(fusion\.blocks\.\d)\.residual_layer1\.convolution", r"\1.level_unit.conv_"),
    (r"^(fusion\.blocks\.\d)\.residual_layer2\.convolution", r"\1.sum_unit.conv_"),
    (r"^head\.conv1\.", r"head.conv_1."),
    (r"^head\.conv([23])\.", r"head.depth.conv_\1."),
)

_COMPILED = tuple((re.compile(pattern), name) for pattern, name in (*AUTHORS_RENAMES, *TRANSFORMERS_RENAMES))

_SIGNATURE = (
    "patch_embed.projection.weight",
    "image_encoder.position_embedding",
    "image_encoder.blocks.0.scale_1",
    "fusion.adapters.0.weight",
    "head.depth.conv_3.weight",
)


def rename(key: str) -> str | None:
    """Return our name of a published key, None for an unused entry; a key of no rule stays, for a strict load to report."""
    for pattern, name in _COMPILED:
        if pattern.match(key):
            if name is None:
                return None
            key = pattern.sub(name, key)
    return key


def matches(shapes: Shapes) -> bool:
    """Tell from the keys alone whether a state dict is of this family, any release."""
    names = {rename(key) for key in shapes}
    any_view = any(
        key.endswith("camera_token") for key in shapes
    )  # V3's networks for several views have another decoder
    return not any_view and all(name in names for name in _SIGNATURE)


def config_from_shapes(shapes: Shapes, *, variant: str | None = None) -> Config:
    """Read the network's sizes from the shapes of a published state dict.

    Args:
        shapes: shape of every entry by its published key.
        variant: one of ``VARIANTS``; it settles what shapes cannot tell. By default ``v2``, ``v3-mono`` or ``video``.

    Raises:
        ValueError: the shapes make no network of this family, or are not those of ``variant``.
    """
    named = {name: shape for key, shape in shapes.items() if (name := rename(key)) is not None}
    missing = [name for name in _SIGNATURE if name not in named]
    if missing:
        raise ValueError(
            f"this is no Depth Anything checkpoint: it has {len(shapes)} entries, but none for {', '.join(missing)}"
        )
    try:
        return _read_config(named, _choose_variant(named, variant))
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"this Depth Anything checkpoint has no usable entry for {error}; it may be truncated"
        ) from error


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give every entry of a published state dict our name and leave out those that no result depends on."""
    named = {name: tensor for key, tensor in state_dict.items() if (name := rename(key)) is not None}
    for queries in [name for name in named if ".attention.queries." in name]:
        parts = [queries, queries.replace("queries", "keys"), queries.replace("queries", "values")]
        if queries.startswith("image_encoder.") and all(part in named for part in parts):
            named[queries.replace("queries", "qkv")] = torch.cat([named.pop(part) for part in parts])
    return named


def _choose_variant(named: Shapes, variant: str | None) -> Variant:
    possible: tuple[Variant, ...] = ("v2", "v1", "v2-metric-indoor", "v2-metric-outdoor")
    if "fusion.temporal.0.enter.weight" in named:
        possible = ("video", "video-metric")
    elif "head.sky.conv_3.weight" in named:
        possible = ("v3-mono", "v3-metric")
    for candidate in possible:
        if variant in (None, candidate):
            return candidate
    raise ValueError(f"variant is {variant!r}; this checkpoint can be: {', '.join(possible)}")


def _read_config(named: Shapes, variant: Variant) -> Config:
    hidden = named["image_encoder.blocks.0.mlp.expand.weight"][0]
    width = named["image_encoder.blocks.0.mlp.contract.weight"][1]
    return Config(
        variant=variant,
        embed_dim=named["patch_embed.projection.weight"][0],
        block_count=_block_count(named),
        level_channels=(
            named["reassemble.projections.0.weight"][0],
            named["reassemble.projections.1.weight"][0],
            named["reassemble.projections.2.weight"][0],
            named["reassemble.projections.3.weight"][0],
        ),
        fusion_channels=named["fusion.adapters.0.weight"][0],
        mlp_kind="swiglu" if hidden == 2 * width else "gelu",
        mlp_width=width,
        position_grid=_position_grid(named["image_encoder.position_embedding"]),
        head_channels=named["head.depth.conv_2.weight"][0],
    )


def _block_count(named: Shapes) -> int:
    indices = (re.match(r"image_encoder\.blocks\.(\d+)\.", name) for name in named)
    return 1 + max(int(found[1]) for found in indices if found)


def _position_grid(shape: tuple[int, ...]) -> int:
    patches = shape[1] - 1
    grid = math.isqrt(patches)
    if grid * grid != patches:
        raise ValueError(f"the position embedding has {patches} patches; expected a square number")
    return grid
