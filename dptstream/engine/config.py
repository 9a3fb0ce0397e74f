"""How the engine runs. Nothing here changes the depth it gives, but the network's size and way."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..temporal import TemporalConfig
from .device import cpu_count


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine runs; nothing here changes the depth it gives, but ``size``."""

    size: int | None = None
    """The network's size for ``DepthModel.input_size_hw``; None is the family's own."""
    slots: int | None = None
    """Buffer sets in flight; None is three on a GPU, and two more than ``workers`` on the CPU."""
    workers: int | None = None
    """Threads that run the network; None is one on a GPU (its streams overlap by themselves) and up to four on the CPU."""
    temporal: TemporalConfig | None = None
    """How depth is smoothed in time; None leaves it as it is, and so does a network that looks back in time by itself."""
    windows: bool = False
    """Let a video network see whole windows of frames, later ones included, as its authors convert files. False streams
    it frame by frame. Other networks do not care."""
    pipelined: bool = True
    """Overlap the stages; False runs them one after another in the calling thread, as a reference."""
    poison: bool = False
    """Spoil freed buffers, so that a race shows in the result. For tests."""
    probe: Callable[[str, int], None] | None = None
    """Called with a stage's name and a frame's number as the stage begins. For tests and tracing."""

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
        return self.slots or (self.workers_for(device, in_order=in_order) + 2)
