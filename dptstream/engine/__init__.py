"""The engine: runs a model over a source and hands depth to sinks."""

from .config import EngineConfig
from .device import PRECISIONS, choose_device, choose_dtype
from .engine import Engine, RunReport
from .intake import Drops
from .lookahead import LookaheadSink
from .metrics import Progress
from .takes import TakeReport, write_take

__all__ = [
    "PRECISIONS",
    "Drops",
    "Engine",
    "EngineConfig",
    "LookaheadSink",
    "Progress",
    "RunReport",
    "TakeReport",
    "choose_device",
    "choose_dtype",
    "write_take",
]
