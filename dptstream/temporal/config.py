"""How depth is smoothed in time: every stage with its switch, and the presets that users choose by name."""

from dataclasses import dataclass
from typing import Literal, get_args

TemporalPreset = Literal["off", "minimal", "light", "default", "strong"]
"""Names of the causal presets, from none to most."""

REFERENCE_RATE = 25.0
"""Every ``per step`` figure is meant per 1/25 s; frames spaced otherwise are converted by their time."""


@dataclass(frozen=True, slots=True)
class TemporalConfig:
    """The stages of the filter. Shares of the range refer to 2 % to 98 % of the frame's inverse depth."""

    align: bool = True
    """Bring each frame's scale and shift to the history's."""
    bend: bool = True
    """Also bring slow bumps across the picture to the history's."""
    average: bool = True
    """Average each surface point over time."""
    motion: bool = True
    """Carry the history along with the picture's motion."""
    confidence: bool = True
    """Start anew where the picture or the depth disagrees with the history."""
    clamp: bool = True
    """Keep the history within what the neighbourhood of the new depth allows."""
    gate: bool = True
    """Distrust a single frame that differs from the history far more than frames have lately."""
    memory: float = 0.9
    """Weight of the history against one new frame, per step, in [0, 1)."""
    leak: float = 0.19
    """How fast scale and shift follow the network's own, per step, in (0, 1]: 0 would freeze a true approach."""
    bend_leak: float = 0.18
    """As ``leak``, for the bumps."""
    clamp_tolerance: float = 0.04
    """How far outside its neighbourhood the history may lie, share of the range."""
    consistency: float = 0.07
    """Disagreement of depth at which trust in the history falls to 1/e, share of the range."""
    photometric: float = 11.0
    """Disagreement of brightness at which trust in the history falls to 1/e, 0..255."""
    align_metric: bool = False
    """Also align metric depth to its history; otherwise metres stay as the network gives them."""
    cuts_only: bool = False
    """Pass depth on untouched: for networks that are steady in time by themselves (Video Depth Anything)."""

    def __post_init__(self) -> None:
        if not (0 <= self.memory < 1 and 0 < self.leak <= 1 and 0 < self.bend_leak <= 1):
            raise ValueError(
                "memory must lie in [0, 1), leak and bend_leak in (0, 1]; "
                f"got {self.memory}, {self.leak} and {self.bend_leak}"
            )
        if not min(self.clamp_tolerance, self.consistency, self.photometric) > 0:
            raise ValueError(
                "clamp_tolerance, consistency and photometric must be positive; "
                f"got {self.clamp_tolerance}, {self.consistency} and {self.photometric}"
            )

    @classmethod
    def preset(cls, name: TemporalPreset) -> "TemporalConfig":
        """Return the stages behind a preset's name; raises ValueError for an unknown one."""
        presets = {
            "off": cls(cuts_only=True),
            "minimal": cls(bend=False, average=False),
            "light": cls(bend=False, memory=0.6),
            "default": cls(),
            "strong": cls(bend_leak=0.12, consistency=0.09),
        }
        if name not in presets:
            raise ValueError(f"unknown preset {name!r}; known: {', '.join(get_args(TemporalPreset))}")
        return presets[name]
