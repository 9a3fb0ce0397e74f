"""How the engine runs. Nothing here changes the depth a frame gets, but the network's size and way, and smoothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from ..temporal import TemporalConfig
from .device import cpu_count

Policy = Literal["lossless", "live"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine runs."""

    size: int | None = None
    """The network's size for ``DepthModel.input_size_hw``; None is the family's own."""
    slots: int | None = None
    """Buffer sets in flight; None is two more than ``workers``, live one more."""
    workers: int | None = None
    """Threads that run the network; None is one on a GPU (its streams overlap by themselves) and up to four on the CPU."""
    temporal: TemporalConfig | None = None
    """How depth is smoothed in time; None leaves it as it is, and so does a network that looks back in time by itself."""
    windows: bool = False
    """Let a video network see whole windows of frames, later ones included, as its authors convert files. False streams
    it frame by frame. Other networks do not care."""
    policy: Policy = "lossless"
    """``lossless``: every frame is inferred and the source waits. ``live``: the source is read as its frames come, the
    newest is inferred, and older ones are dropped, before upload and never after, and counted."""
    pace: bool = False
    """Play a file at its own speed, by the frames' times. What is ``live`` is paced always."""
    deadline_ms: float | None = None
    """With ``live``, also drop a frame that is older than this, in milliseconds since it was captured, when its turn to
    be uploaded comes."""
    pipelined: bool = True
    """Overlap the stages; False runs them one after another in the calling thread, as a reference."""
    poison: bool = False
    """Spoil freed buffers, so that a race shows in the result. For tests."""
    probe: Callable[[str, int], None] | None = None
    """Called with a stage's name and a frame's number as the stage begins. For tests and tracing."""

    def __post_init__(self) -> None:
        if self.deadline_ms is not None and self.policy != "live":
            raise ValueError("a deadline drops frames: it needs the live policy")
        if self.deadline_ms is not None and not self.deadline_ms > 0:
            raise ValueError(f"deadline_ms must be positive; got {self.deadline_ms:g}")

    def workers_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many threads run the network on ``device``; one where it must see frames ``in_order``."""
        if in_order:
            return 1
        if self.workers is not None:
            return max(1, self.workers)
        # On the CPU one frame a thread scales better than many threads a frame: nobody waits at a
        # barrier for a thread that the decoder or a writer has pushed aside.
        return min(4, cpu_count()) if device.type == "cpu" and self.pipelined else 1

    def threads_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many threads each of them shares one frame's work among, on the CPU."""
        return max(1, cpu_count() // self.workers_for(device, in_order=in_order))

    def slots_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many slots are made on ``device``."""
        if not self.pipelined:
            return 1
        # Frames that wait in slots grow old: live, one slot beyond those being inferred is filled or written.
        spare = 1 if self.policy == "live" else 2
        return self.slots or (self.workers_for(device, in_order=in_order) + spare)
