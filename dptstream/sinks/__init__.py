"""Where depth goes."""

from .base import FeedInfo, Sink
from .folder import DepthFolder
from .manifest import read_manifest
from .memory import MemorySink
from .options import FolderOptions, parse_range
from .summary import ASSUMED_CAMERA

__all__ = [
    "ASSUMED_CAMERA",
    "DepthFolder",
    "FeedInfo",
    "FolderOptions",
    "MemorySink",
    "Sink",
    "parse_range",
    "read_manifest",
]
