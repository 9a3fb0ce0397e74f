"""Where depth goes."""

from .base import FeedInfo, Sink
from .folder import DepthFolder
from .manifest import read_manifest
from .memory import MemorySink
from .options import FolderOptions, parse_range

__all__ = ["DepthFolder", "FeedInfo", "FolderOptions", "MemorySink", "Sink", "parse_range", "read_manifest"]
