"""MiDaS 3.1 with SwinV2 encoders: large-384, base-384 and tiny-256. Needs torch and nothing else of this project."""

from .checkpoint import config_from_shapes, convert, matches
from .config import Config
from .features import AttentionAt, Features
from .model import Model

__all__ = ["AttentionAt", "Config", "Features", "Model", "config_from_shapes", "convert", "matches"]
