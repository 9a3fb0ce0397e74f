"""From uploaded slots to depth on a device that runs by itself: the same work step by step, or recorded and repeated.

Everything between upload and download happens in buffers that stay where they are: preprocessing, the network,
smoothing, and rounding to the published codes. So one recording serves all frames of a size. What cannot be recorded
runs step by step, with the same result.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from ..frames import YuvForm
from ..models.base import DepthModel
from .backend import Backend, Graph
from .compiling import Compiler
from .config import EngineConfig
from .notes import Notes
from .slots import Slot
from .smoothing import Smoother
from .stages import explained_memory
from .yuv import rgb_from_yuv

KEPT_PLANS = 4
"""Sizes and batches whose buffers and recordings are kept; the one longest unused goes first."""


class Plan:
    """The buffers for one form of input and the way from them to depth.

    Args:
        slots: Slots of that form, as many as go through the network together.
        input_hw: Height and width the network works at.
        smoother: What steadies depth on the device, if anything does.
        dtype: What depth is rounded to for the way to the host.

    Attributes:
        model: The network; a recording repeats the one it was made with.
        improved: Whether compiled work is repeated, or is known not to be had.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        model: DepthModel,
        input_hw: tuple[int, int],
        smoother: Smoother | None,
        dtype: torch.dtype,
    ) -> None:
        first = slots[0]
        self.model = model
        self.improved = False
        self._form, self._input_hw, self._smoother, self._dtype = first.form, input_hw, smoother, dtype
        self._pictures, self._motion, self._numbers = (
            torch.empty((len(slots), *part.shape), dtype=part.dtype, device=part.device)
            for part in (first.device_input, first.motion, first.numbers)
        )
        self._maps_bnhw: Tensor | None = None
        self._graph: Graph | None = None
        self._runs = 0

    @property
    def recorded(self) -> bool:
        """Whether a recording is repeated."""
        return self._graph is not None

    @property
    def shape_bchw(self) -> tuple[int, ...]:
        """Shape of what the network is given."""
        return (len(self._pictures), 3, *self._input_hw)

    def run(self, slots: Sequence[Slot], backend: Backend, *, record: bool) -> None:
        """Submit the work from the slots' device buffers to their outputs; from the second time on repeat a recording.

        Raises:
            RuntimeError: It was to be recorded and cannot be; nothing of the slots' has been done.
        """
        if record and self._graph is None and self._runs:
            self._record(backend)
        self._runs += 1
        backend.compute.run(lambda: self._take_in(slots))
        backend.compute.run(self._work if self._graph is None else self._graph.replay)
        backend.compute.run(lambda: self._hand_out(slots))

    def improve(self, backend: Backend, twin: DepthModel) -> bool:
        """Repeat a recording of ``twin`` from now on, the same network compiled; return whether one could be made now.

        Raises:
            RuntimeError: It cannot be recorded; the recording before stays in use.
        """
        model, graph, made = self.model, self._graph, None
        try:
            # Compiled work reads the network's tables where they are. Recording it uncompiled once more pins them there.
            self._record(backend)
            if self._graph is not None:
                self.model = twin
                self._record(backend)
                made = self._graph
        finally:
            self.model, self._graph = model, made or graph
        return made is not None

    def _record(self, backend: Backend) -> None:
        self._graph = None
        # Trial runs smooth, too: what the filter remembers is put back afterwards.
        remembered = self._smoother.planes(self._input_hw) if self._smoother is not None else []
        kept: list[Tensor] = []
        backend.compute.run(lambda: kept.extend(plane.clone() for plane in remembered))
        try:
            self._graph = backend.record(self._work)
        finally:
            backend.compute.run(lambda: [plane.copy_(before) for plane, before in zip(remembered, kept, strict=True)])

    def _take_in(self, slots: Sequence[Slot]) -> None:
        for index, slot in enumerate(slots):
            self._pictures[index].copy_(slot.device_input)
            if self._smoother is not None:
                self._motion[index].copy_(slot.motion)
                self._numbers[index].copy_(slot.numbers)

    def _work(self) -> None:
        """From ``_pictures`` to ``_maps_bnhw``: the network's own depth, and the smoothed one where there is any."""
        with torch.no_grad():
            depth_bhw = self.model(self.model.preprocess(self._rgb(), self._input_hw))
            maps_bnhw = depth_bhw[:, None]
            if self._smoother is not None:
                smoothed = [
                    self._smoother.advance(depth_hw, self.model.info.kind, self._motion[index], self._numbers[index])
                    for index, depth_hw in enumerate(depth_bhw)
                ]
                maps_bnhw = torch.stack((depth_bhw, torch.stack(smoothed)), dim=1)
            if self._maps_bnhw is None:
                self._maps_bnhw = torch.empty(maps_bnhw.shape, dtype=self._dtype, device=maps_bnhw.device)
            self._maps_bnhw.copy_(maps_bnhw)

    def _rgb(self) -> Tensor:
        return self._pictures if self._form is None else rgb_from_yuv(self._pictures, self._form)

    def _hand_out(self, slots: Sequence[Slot]) -> None:
        assert self._maps_bnhw is not None
        for slot, maps_nhw in zip(slots, self._maps_bnhw, strict=True):
            slot.output_like(maps_nhw).copy_(maps_nhw)


Key = tuple[int | None, torch.dtype, int, YuvForm | None, tuple[int, ...], tuple[int, ...]]


class Estimator:
    """Puts slots through the device. For the one thread that submits work.

    Args:
        backend: The device.
        config: The network's size, and whether work may be recorded.
        smoother: What steadies depth on the device, if anything does.
        notes: Told what did not go as planned.
        compiler: Compiles networks, if anything does. Compiled work is used through recordings alone.

    Attributes:
        dtype: What depth is rounded to for the way to the host.
    """

    def __init__(
        self,
        backend: Backend,
        config: EngineConfig,
        smoother: Smoother | None,
        notes: Notes,
        compiler: Compiler | None = None,
    ) -> None:
        self._backend, self._config, self._smoother, self._notes = backend, config, smoother, notes
        self.dtype = torch.float32
        self._plans: OrderedDict[Key, Plan] = OrderedDict()
        self._may_record = config.graphs
        self._compiler = compiler

    def infer(self, slots: Sequence[Slot], model: DepthModel) -> None:
        """Submit uploaded slots of one form, in order; what does not fit the device's memory goes unrecorded and one by one."""
        for slot in slots:
            self._backend.compute.wait(slot.uploaded)
        with explained_memory(slots[0], self._backend.device):
            self._submit(slots, model)
        for slot in slots:
            self._backend.compute.record(slot.inferred)

    def _submit(self, slots: Sequence[Slot], model: DepthModel) -> None:
        try:
            self._run(slots, model)
        except torch.OutOfMemoryError:
            if len(slots) == 1 and not (self._may_record and getattr(model, "recordable", False)):
                raise
        else:
            return
        # Only here the failed attempt's tensors are let go.
        if len(slots) == 1:
            self._may_record = False
            self._notes.add(
                f"work for {self._backend.device} goes out step by step: recorded, it does not fit its memory"
            )
        else:
            self._notes.add(f"{len(slots)} pictures at once did not fit the device's memory and went one by one")
        while self._plans:
            self._forget_oldest()
        for slot in slots:
            self._submit([slot], model)

    def _run(self, slots: Sequence[Slot], model: DepthModel) -> None:
        record = self._may_record and getattr(model, "recordable", False)
        plan = self._plan(slots, model, alone=record)
        if record and plan.recorded and self._compiler is not None:
            self._improve(plan, self._compiler, model)
        try:
            plan.run(slots, self._backend, record=record)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if not record:
                raise
            self._may_record = False
            reason = " ".join(str(error).split())[:120]
            self._notes.add(
                f"work for {self._backend.device} goes out step by step, as it cannot be recorded: {reason}"
            )
            plan.run(slots, self._backend, record=False)

    def _improve(self, plan: Plan, compiler: Compiler, model: DepthModel) -> None:
        """Put the compiled network into a plan's recording as soon as there is one."""
        if plan.improved:
            return
        twin = compiler.twin(model, plan.shape_bchw)
        if twin is None:
            return
        try:
            plan.improved = plan.improve(self._backend, twin)
        except RuntimeError as error:  # running out of memory is one
            plan.improved = True
            self._notes.add(f"the network runs uncompiled: {' '.join(str(error).split())[:120]}")

    def _plan(self, slots: Sequence[Slot], model: DepthModel, *, alone: bool) -> Plan:
        """Return the buffers for such slots: ``alone`` for this model, or for any that comes."""
        first = slots[0]
        owner = id(model) if alone else None
        shapes = (tuple(first.device_input.shape), tuple(first.motion.shape))
        key = (owner, self.dtype, len(slots), first.form, *shapes)
        plan = self._plans.pop(key, None)
        if plan is None:
            while len(self._plans) >= KEPT_PLANS:
                self._forget_oldest()
            input_hw = model.input_size_hw(first.picture_hw, size=self._config.size)
            plan = Plan(slots, model, input_hw, self._smoother, self.dtype)
        self._plans[key] = plan
        plan.model = model
        return plan

    def _forget_oldest(self) -> None:
        # Its memory may be given to others at once, so what is still running in it must end first.
        done = self._backend.event()
        self._backend.compute.record(done)
        done.synchronize()
        self._plans.popitem(last=False)
