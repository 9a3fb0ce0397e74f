"""Where pictures come from."""

from .base import Source, SourceInfo, SourceStats

__all__ = ["Source", "SourceInfo", "SourceStats"]
