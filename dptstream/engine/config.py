"""How the engine runs. Nothing here changes the depth a frame gets, but the network's size and way, and smoothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from ..temporal import TemporalConfig
from .device import cpu_count

Policy = Literal["lossless", "live"]

AUTOMATIC_BATCH = 4
"""Pictures together where nobody says how many: beyond four little is won, and memory and latency grow."""
MEMORY_FOR_BATCHES = 6 * 2**30
"""Bytes that must be free on the device for it."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine runs."""

    size: int | None = None
    """The network's size for ``DepthModel.input_size_hw``; None is the family's own."""
    slots: int | None = None
    """Buffer sets in flight; None is two more than ``workers``, live one more."""
    workers: int | None = None
    """Threads that run the network; None is one on a GPU (its streams overlap by themselves) and, live, on the CPU;
    else up to four on the CPU."""
    batch: int | None = None
    """Pictures that go through the network together, as far as their sizes and a shot's needs allow; None is one, but on a
    CUDA device with room for it and the ``lossless`` policy four."""
    graphs: bool = True
    """Record the device's work once a size and repeat it, on devices that can; what cannot be recorded goes out step by
    step, with the same result."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the network for each size, on a CUDA device: ``on`` before the first frame, which takes minutes once; ``auto``
    in the background of what is live, while the uncompiled network serves. The depth changes by rounding."""
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
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"batch must be at least 1; got {self.batch}")

    def workers_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many threads run the network on ``device``; one where it must see frames ``in_order``."""
        if in_order:
            return 1
        if self.workers is not None:
            return max(1, self.workers)
        # On the CPU one frame a thread scales better than many threads a frame: nobody waits at a
        # barrier for a thread that the decoder or a writer has pushed aside. Live, a frame's age counts for more.
        return min(4, cpu_count()) if device.type == "cpu" and self.pipelined and self.policy != "live" else 1

    def threads_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many threads each of them shares one frame's work among, on the CPU."""
        return max(1, cpu_count() // self.workers_for(device, in_order=in_order))

    def compiles_for(self, device: torch.device) -> bool:
        """Return whether networks are compiled on ``device``. Offline, a change halfway would show in the files."""
        wanted = self.compile == "on" or (self.compile == "auto" and self.policy == "live")
        return wanted and device.type == "cuda" and self.graphs

    def batch_for(self, device: torch.device, *, in_order: bool = False) -> int:
        """Return how many pictures go through the network together on a device that runs by itself, at most.

        Frames that are live, or come at a clip's own speed, wait for nobody.
        """
        if in_order or not self.pipelined or self.policy == "live" or self.pace:
            return 1
        if self.batch is not None or device.type != "cuda":
            return self.batch or 1
        return AUTOMATIC_BATCH if torch.cuda.mem_get_info(device)[0] >= MEMORY_FOR_BATCHES else 1

    def slots_for(self, workers: int, batch: int = 1) -> int:
        """Return how many slots are made."""
        if not self.pipelined:
            return 1
        if batch > 1:  # one batch is put together while another one runs
            return max(self.slots or 2 * batch + 1, batch + 1)
        # Frames that wait in slots grow old: live, one slot beyond those being inferred is filled or written.
        return self.slots or (workers + (1 if self.policy == "live" else 2))
