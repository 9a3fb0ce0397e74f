"""The first dense prediction transformers, of MiDaS 3.0: DPT-Large and DPT-Hybrid. Needs torch and nothing else of this project."""

from .checkpoint import config_from_shapes, convert, matches
from .config import Config
from .features import AttentionAt, Features
from .model import Model

__all__ = ["AttentionAt", "Config", "Features", "Model", "config_from_shapes", "convert", "matches"]
