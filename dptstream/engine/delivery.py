"""The last stage: wait for a slot's depth, see that it is sound, steady it on the CPU, hand it to the sinks in order."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame, VideoFrame
from ..models.base import DepthModel
from ..sinks.base import Sink
from ..temporal import FilterState
from .backend import Backend
from .metrics import Metrics
from .precision import Safeguard
from .slots import Slot, SlotState
from .smoothing import SAVE_EVERY, Smoother, StatefulSink


class Delivery:
    """Takes slots and depth in order. For the one thread that writes, but for ``expect``, which decodes.

    Args:
        model: Whose depth it is.
        backend: Where the slots' downloads run.
        smoother: What steadies depth, if anything does.
        safeguard: What sees that depth is sound.
        metrics: Counts the time.
        probe: Called as writing begins, with "write" and the frame's number.
    """

    def __init__(
        self,
        model: DepthModel,
        backend: Backend,
        smoother: Smoother | None,
        safeguard: Safeguard,
        metrics: Metrics,
        probe: Callable[[str, int], None],
    ) -> None:
        self._info, self._backend, self._smoother = model.info, backend, smoother
        self._safeguard, self._metrics, self._probe = safeguard, metrics, probe
        self._cuts: dict[int, bool] = {}
        self._arrived_ns: dict[int, int] = {}
        self._state_keeper: StatefulSink | None = None
        self._sinks: list[tuple[Sink, int]] = []

    def begin(self, sinks: Sequence[tuple[Sink, int]]) -> int:
        """Give each sink the frames from its first one on; return the first that must be inferred.

        A video network sees every frame: what it gives depends on all that came before.
        """
        self._sinks = list(sinks)
        first_sequence = 0 if self._info.temporal else min((first for _, first in sinks), default=0)
        if self._smoother is None:
            return first_sequence
        self._state_keeper = next((sink for sink, _ in sinks if isinstance(sink, StatefulSink)), None)
        self._smoother.keeps_states = self._state_keeper is not None
        kept = self._state_keeper.load_state() if self._state_keeper is not None else None
        if kept is not None and kept[0] == first_sequence:
            self._smoother.restore(kept[1])
        return first_sequence

    def expect(self, frame: VideoFrame, *, arrived_ns: int, scene_cut: bool) -> None:
        """Note when a frame came, and whether a new shot begins with it."""
        self._arrived_ns[frame.sequence] = arrived_ns
        self._cuts[frame.sequence] = scene_cut

    def begins_shot(self, frame: VideoFrame) -> bool:
        """Return what was noted of a frame that is expected."""
        return self._cuts[frame.sequence]

    def take(self, slot: Slot) -> None:
        """Wait for the download, free the slot and hand its depth to the sinks."""
        frame = slot.frame
        assert frame is not None
        if self._backend.asynchronous:
            with self._metrics.busy("infer"):  # the host waits for the device: that is inference, not writing
                slot.downloaded.synchronize()
        self._probe("write", frame.sequence)
        depths_nhw = self._safeguard.sound(slot, slot.host_output.numpy().astype(np.float32))
        state_before = slot.state_before
        slot.advance(SlotState.READY)
        slot.release()
        self.write(self._smoothed(self.depth_frame(depths_nhw[0], frame), depths_nhw, state_before))

    def depth_frame(self, depth_hw: NDArray[np.float32], frame: VideoFrame) -> DepthFrame:
        """Put a frame's depth together with what is known of it."""
        info = self._info
        return DepthFrame(depth_hw, info.kind, frame, info.output_resize, scene_cut=self._cuts.pop(frame.sequence))

    def write(self, depth: DepthFrame) -> None:
        """Hand one frame to the sinks that need it."""
        with self._metrics.busy("write"):
            for sink, first in self._sinks:
                if depth.video.sequence >= first:
                    sink.write(depth)
        self._metrics.frame_written(time.monotonic_ns() - self._arrived_ns.pop(depth.video.sequence))

    def _smoothed(
        self, depth: DepthFrame, depths_nhw: NDArray[np.float32], state_before: FilterState | None
    ) -> DepthFrame:
        """Return the frame with smoothed depth, having kept now and then what a killed run needs to go on here."""
        smoother, sequence = self._smoother, depth.video.sequence
        if smoother is None:
            return depth
        with self._metrics.busy("smooth"):
            if self._state_keeper is not None and sequence % SAVE_EVERY == 0:
                state = state_before if smoother.on_device else smoother.state
                self._state_keeper.save_state(sequence, smoother.snapshot(state))
            smoothed_hw = depths_nhw[1] if smoother.on_device else smoother.smooth(depth)
            smoother.measure(depth, smoothed_hw)
            return replace(depth, depth=smoothed_hw)
