"""MiDaS 3.1 with BEiT encoders: large-512, large-384 and base-384. Needs torch and nothing else of this project."""

from .checkpoint import config_from_shapes, convert, matches
from .config import Config
from .features import AttentionAt, Features
from .model import Model

__all__ = ["AttentionAt", "Config", "Features", "Model", "config_from_shapes", "convert", "matches"]
