"""Where depth goes."""

from .base import FeedInfo, Sink
from .memory import MemorySink

__all__ = ["FeedInfo", "MemorySink", "Sink"]
