"""What is known across frames: where shots begin, what smooths them, and how much they flicker."""

from .base import TemporalFilter
from .config import TemporalConfig, TemporalPreset
from .filter import CausalFilter, DeviceFilter, MotionFinder
from .flicker import FlickerMeter, FlickerScore
from .lookahead import smooth_shot
from .scene_cuts import CutState, SceneCutDetector
from .shot_store import RawShot, ShotStore
from .state import FilterState

__all__ = [
    "CausalFilter",
    "CutState",
    "DeviceFilter",
    "FilterState",
    "FlickerMeter",
    "FlickerScore",
    "MotionFinder",
    "RawShot",
    "SceneCutDetector",
    "ShotStore",
    "TemporalConfig",
    "TemporalFilter",
    "TemporalPreset",
    "smooth_shot",
]
