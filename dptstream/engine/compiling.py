"""Networks compiled for one size while the uncompiled one serves. Knows no stream and no slot."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..models.base import DepthModel
from .backend import COMPILING, on_own_stream
from .notes import Notes

LARGEST_CHANGE = 0.02
"""Mean difference from the uncompiled network, as a share of the depth's range, up to which a compiled one is used."""


MOST_SIZES = 64
"""Sizes and batches that a family's networks are compiled for in one process; those met later run uncompiled."""


@runtime_checkable
class Compilable(Protocol):
    """A model whose network is a module that can be exchanged."""

    network: nn.Module

    def with_network(self, network: nn.Module) -> DepthModel:
        """Return the same model with another module in its place."""


@dataclass(slots=True)
class _Job:
    done: threading.Event = field(default_factory=threading.Event)
    twin: DepthModel | None = None
    failure: str | None = None


_JOBS: WeakKeyDictionary[Compilable, dict[tuple[int, ...], _Job]] = WeakKeyDictionary()
"""What was compiled, by model and shape: a feed that lost its connection need not wait for it again."""


class Compiler:
    """Compiles networks for the sizes they are asked for; what cannot be compiled is told and left as it is.

    Args:
        notes: Told what did not go as planned.
        ahead: Compile before the first answer, instead of in the background.
        compile_network: Returns a compiled module; for tests.
    """

    def __init__(
        self, notes: Notes, *, ahead: bool = False, compile_network: Callable[[nn.Module], nn.Module] | None = None
    ) -> None:
        self._notes, self._ahead = notes, ahead
        self._compile_network = compile_network or compiled_for_one_size
        self._told: set[str] = set()

    def twin(self, model: DepthModel, shape_bchw: tuple[int, ...]) -> DepthModel | None:
        """Return ``model`` compiled for pictures of that shape, as soon as that is done; None until then, and where it fails."""
        if not isinstance(model, Compilable):
            return None
        jobs = _JOBS.setdefault(model, {})
        job = jobs.get(shape_bchw)
        if job is None:
            job = jobs[shape_bchw] = _Job()
            work = threading.Thread(
                target=self._run, args=(job, model, shape_bchw), name="dptstream-compiler", daemon=True
            )
            work.start()
            if self._ahead:
                work.join()
        if not job.done.is_set():
            return None
        if job.failure is not None and job.failure not in self._told:
            self._told.add(job.failure)
            self._notes.add(f"the network runs uncompiled: {job.failure}")
        return job.twin

    def _run(self, job: _Job, model: Any, shape_bchw: tuple[int, ...]) -> None:
        try:
            # Trying out kernels waits for the whole device, which no recording survives.
            with COMPILING, on_own_stream(model.device), _many_sizes():
                twin: DepthModel = model.with_network(self._compile_network(model.network))
                if _alike(model, twin, shape_bchw):
                    job.twin = twin
                else:
                    job.failure = "compiled, it gave another depth"
        except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and the uncompiled network serves on
            job.failure = _too_many(error) or f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        finally:
            job.done.set()


def compiled_for_one_size(network: nn.Module) -> nn.Module:
    """Compile with tuned kernels and without graphs of the compiler's own, which take one thread for granted."""
    compiled: nn.Module = torch.compile(network, mode="max-autotune-no-cudagraphs", dynamic=False)  # type: ignore[assignment]
    return compiled


def _many_sizes() -> AbstractContextManager[object]:
    """Let torch compile the same code for more than its eight sizes, and fail rather than pass over one with a warning."""
    from torch._dynamo import config

    patch: Any = config.patch
    context: AbstractContextManager[object] = patch(cache_size_limit=MOST_SIZES, fail_on_cache_limit_hit=True)
    return context


def _too_many(error: Exception) -> str | None:
    limits = ("FailOnRecompileLimitHit", "FailOnCacheLimitHit")  # its name now, and in older versions
    return f"{MOST_SIZES} sizes were compiled already" if type(error).__name__ in limits else None


def _alike(model: DepthModel, twin: DepthModel, shape_bchw: tuple[int, ...]) -> bool:
    """Compile by running once, twice, and compare with the uncompiled network on a smooth picture."""
    rows, columns = (torch.linspace(-2, 2, length, device=model.device) for length in shape_bchw[2:])
    # Laid out as pictures will be: for other strides it would all be compiled again, when the first picture comes.
    images_bchw = (rows[:, None].sin() + columns.cos()).expand(shape_bchw).to(model.dtype).contiguous()
    with torch.no_grad():
        expected: Tensor = model(images_bchw)
        for _ in range(2):
            given: Tensor = twin(images_bchw)
        change = (given - expected).abs().mean()
        reach = expected.amax() - expected.amin()
        return bool(torch.isfinite(given).all()) and bool(change <= LARGEST_CHANGE * reach + 1e-6)
