"""Depth Anything: DPT on a DINOv2 encoder. Imports torch and itself alone, so the folder can be copied into another project."""

from .checkpoint import config_from_shapes, convert, matches
from .config import VARIANTS, Config, DepthKind, ResizeMethod, Variant
from .model import Model

__all__ = [
    "VARIANTS",
    "Config",
    "DepthKind",
    "Model",
    "ResizeMethod",
    "Variant",
    "config_from_shapes",
    "convert",
    "matches",
]
