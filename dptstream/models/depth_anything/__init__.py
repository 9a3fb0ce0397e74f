"""Depth Anything: DPT on a DINOv2 encoder. Imports torch and itself alone, so the folder can be copied into another project."""

from .checkpoint import config_from_shapes, convert, matches
from .config import VARIANTS, Config, DepthKind, ResizeMethod, Variant
from .features import AttentionAt, Features
from .head import fill_sky
from .model import Model
from .video import OfflineVideo, StreamState

__all__ = [
    "VARIANTS",
    "AttentionAt",
    "Config",
    "DepthKind",
    "Features",
    "Model",
    "OfflineVideo",
    "ResizeMethod",
    "StreamState",
    "Variant",
    "config_from_shapes",
    "convert",
    "fill_sky",
    "matches",
]
