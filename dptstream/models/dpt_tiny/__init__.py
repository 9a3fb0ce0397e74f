"""The family of the bundled checkpoint: DPT-Hybrid in miniature. Imports torch and itself."""

from .config import Config, config_from_shapes, matches
from .features import AttentionAt, Features
from .model import Model, convert

__all__ = ["AttentionAt", "Config", "Features", "Model", "config_from_shapes", "convert", "matches"]
