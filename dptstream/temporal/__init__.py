"""What is known across frames: where shots begin."""

from .scene_cuts import CutState, SceneCutDetector

__all__ = ["CutState", "SceneCutDetector"]
