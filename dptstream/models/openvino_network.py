"""A network that OpenVINO runs where that is right and faster, and torch elsewhere; it says which, and why."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import DptStreamError
from .openvino_cache import Facts, GraphCache, graph_key
from .openvino_graph import (
    Program,
    convert,
    load_graph,
    one_thread,
    openvino_build,
    openvino_version,
    processor_name,
    save_graph,
)
from .probe import difference, probe_picture
from .runtime import TOLERANCES, Runtime

KEPT_PROGRAMS = 4
"""Compiled graphs kept in memory; each holds the weights once."""

_FEWEST_RUNS, _LEAST_SECONDS, _MOST_SECONDS = 5, 0.1, 1.0

Choice = Literal["auto", "openvino"]

ProgramKey = tuple[tuple[int, int], str, int]
"""Height and width, precision, and threads of a lane."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How OpenVINO is to run a network."""

    choice: Choice
    """``auto``: where it is faster than torch and near enough; ``openvino``: where it is near enough, else fail."""
    precisions: tuple[str, ...]
    """Precisions to try, in this order; those off by more than ``runtime.TOLERANCES`` are refused."""
    fingerprint: str
    """Hash of the weights."""
    cache: GraphCache = field(default_factory=GraphCache.from_environment)
    """Where graphs are kept."""
    meanwhile: bool = False
    """Let torch run pictures of a size while its graph is made, where the choice is ``auto``: live, the first depth counts."""


class OpenVinoNetwork(nn.Module):
    """A network of any picture family, whose pictures OpenVINO runs.

    The first picture of a size has the graph of that size made or read, checked against torch's float32 and, where the
    choice is open, timed; all this is kept for later runs. The choice made at the first size holds for later ones.

    Threads share it. A picture gets as many threads as torch would give it in the calling thread
    (``torch.set_num_threads``), and as many such calls run side by side as the processor has room for.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        """Wrap a float32 network on the CPU that is no video network."""
        super().__init__()
        self.network = network
        self.config = getattr(network, "config", None)
        self._plan = plan
        self._lock = threading.Lock()
        self._runtimes: dict[tuple[int, int], Runtime] = {}
        self._programs: OrderedDict[ProgramKey, Program] = OrderedDict()
        self._graphs: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._tried: ProgramKey | None = None
        """A program that was measured and has not run a picture since."""
        self._in_the_making: set[tuple[int, int]] = set()
        self._latest = Runtime("openvino", plan.precisions[0], openvino_version())

    @property
    def runtime(self) -> Runtime:
        """What runs pictures of the size met last."""
        return self._latest

    def prepare(self, size_hw: tuple[int, int]) -> Runtime:
        """Choose what runs pictures of a size, and get it ready.

        Raises:
            DptStreamError: OpenVINO was asked for and cannot run the network, or gives another depth.
        """
        with self._lock:
            if size_hw not in self._runtimes:
                self._runtimes[size_hw] = self._chosen(size_hw)
            self._latest = self._runtimes[size_hw]
            return self._latest

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Estimate depth: (B, 3, H, W) float32, normalised -> (B, H, W) float32."""
        height, width = images_bchw.shape[-2:]
        runtime = self._runtimes.get((height, width)) or self._first_met((height, width))
        if runtime.name == "torch":
            depth_bhw: Tensor = self.network(images_bchw)
            return depth_bhw
        return self._program((height, width), runtime.precision)(images_bchw)

    def features(self, images_bchw: Tensor, **options: Any) -> Any:
        """Return what the network computes on the way, which torch alone can tell."""
        network: Any = self.network
        return network.features(images_bchw, **options)

    def _first_met(self, size_hw: tuple[int, int]) -> Runtime:
        if not self._plan.meanwhile or self._plan.choice != "auto":
            return self.prepare(size_hw)
        if size_hw not in self._in_the_making:
            self._in_the_making.add(size_hw)
            threads = torch.get_num_threads()
            # No daemon, though its starter may be one: taking Python down around OpenVINO at work aborts the process.
            threading.Thread(
                target=self._make_ready, args=(size_hw, threads), name="dptstream-openvino", daemon=False
            ).start()
        return Runtime("torch", "float32", torch.__version__, "until OpenVINO is ready")

    def _make_ready(self, size_hw: tuple[int, int], threads: int) -> None:
        """Prepare a size and compile its graph for pictures with so many threads each; only then is it used."""
        with self._lock:
            runtime = self._chosen(size_hw)
        if runtime.name == "openvino":
            torch.set_num_threads(threads)
            self._program(size_hw, runtime.precision)
        with self._lock:
            self._runtimes[size_hw] = self._latest = runtime

    def _program(self, size_hw: tuple[int, int], precision: str) -> Program:
        key = (size_hw, precision, torch.get_num_threads())
        program = self._programs.get(key)
        if program is not None and key != self._tried:
            return program
        with self._lock:
            if key != self._tried:
                self._forget_tried()  # pictures get other threads
            self._tried = None
            return self._compiled(key)

    def _compiled(self, key: ProgramKey) -> Program:
        """Return a program from memory or newly made; for who holds the lock."""
        if key not in self._programs:
            size_hw, precision, threads = key
            graph, _ = self._graph(size_hw)
            lanes = max(1, _cores() // threads)
            self._programs[key] = Program(self.network, graph, precision, lanes=lanes, threads=threads)
            while len(self._programs) > KEPT_PROGRAMS:
                self._programs.popitem(last=False)
        return self._programs[key]

    def _forget_tried(self) -> None:
        """Let a program go that was measured and is not used: it holds the weights. For who holds the lock."""
        if self._tried is not None:
            self._programs.pop(self._tried, None)
        self._tried = None

    def _chosen(self, size_hw: tuple[int, int]) -> Runtime:
        settled = next(iter(self._runtimes.values()), None)
        if settled is not None and settled.name == "torch":
            return settled
        try:
            runtime = self._within_tolerance(size_hw, settled)
        except DptStreamError as error:
            self._forget_tried()
            if self._plan.choice == "openvino":
                raise
            return Runtime("torch", "float32", torch.__version__, str(error))
        if runtime.name == "torch":
            self._forget_tried()
        return runtime

    def _within_tolerance(self, size_hw: tuple[int, int], settled: Runtime | None) -> Runtime:
        refused = []
        _, key = self._graph(size_hw)
        for precision in self._plan.precisions:
            facts = self._facts(size_hw, key, precision)
            if not facts.error <= TOLERANCES[precision]:  # a NaN is refused as well
                refused.append(f"{precision} is off by {facts.error:.2g} where {TOLERANCES[precision]:g} is allowed")
                continue
            compared = (
                f"{facts.speedup:.1f} times as fast as PyTorch float32 here, off by {facts.error:.1g} of the spread"
            )
            if self._plan.choice == "auto" and settled is None and facts.speedup <= 1:
                return Runtime("torch", "float32", torch.__version__, f"OpenVINO {precision} is {compared}")
            return Runtime("openvino", precision, openvino_version(), "; ".join([compared, *refused]))
        raise DptStreamError(
            f"OpenVINO gives another depth than PyTorch ({'; '.join(refused)}, in standard deviations of the depth): "
            "use --runtime torch"
        )

    def _graph(self, size_hw: tuple[int, int]) -> tuple[Any, str]:
        """Return the graph of a size, from memory, from the cache or newly made, and its name in the cache."""
        cache, key = self._plan.cache, self._key(size_hw)
        if size_hw in self._graphs:
            return self._graphs[size_hw], key
        graph: Any = None
        path = cache.graph(key)
        if path is not None:
            try:
                graph = load_graph(path)
            except DptStreamError:
                cache.forget(key)
        if graph is None:
            graph = convert(self.network, size_hw)
            made = graph
            path = cache.keep(key, lambda place: save_graph(made, place))
            # The file is mapped to memory, of which all processes share one copy.
            graph = load_graph(path) if path is not None else graph
        self._graphs[size_hw] = graph
        while len(self._graphs) > KEPT_PROGRAMS:
            self._graphs.popitem(last=False)
        return graph, key

    def _facts(self, size_hw: tuple[int, int], key: str, precision: str) -> Facts:
        cache, processor = self._plan.cache, processor_name()
        facts = cache.facts(key, processor, precision)
        if facts is None:
            self._forget_tried()
            self._tried = (size_hw, precision, 1)  # as files are converted: a lane for each thread
            facts = measure(self.network, self._compiled(self._tried), size_hw)
            cache.keep_facts(key, processor, precision, facts)
        return facts

    def _key(self, size_hw: tuple[int, int]) -> str:
        return graph_key(
            weights=self._plan.fingerprint,
            network=f"{type(self.network).__module__} {self.config!r}",
            size_hw=size_hw,
            openvino=openvino_build(),
            torch=torch.__version__,
            dptstream=_own_version(),
        )


@torch.no_grad()
def measure(network: nn.Module, program: Program, size_hw: tuple[int, int]) -> Facts:
    """Compare a network's program of one thread a picture with the network: how far off, and what a picture costs."""
    image_1chw = probe_picture(size_hw)
    with one_thread():
        expected_1hw, torch_ms = _timed(lambda: network(image_1chw))
    found_1hw, openvino_ms = _timed(lambda: program(image_1chw))
    return Facts(error=difference(found_1hw, expected_1hw).mean, torch_ms=torch_ms, openvino_ms=openvino_ms)


def weights_fingerprint(network: nn.Module) -> str:
    """Return a hash of a network's weights and buffers, for those that come from no file."""
    digest = hashlib.sha256()
    for key, tensor in network.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Return what some work gives, and the least CPU time of a few runs, which others disturb least; milliseconds."""
    spent_ns: list[int] = []
    while True:
        started_ns = time.process_time_ns()
        result = work()
        spent_ns.append(time.process_time_ns() - started_ns)
        if sum(spent_ns) >= (_LEAST_SECONDS if len(spent_ns) >= _FEWEST_RUNS else _MOST_SECONDS) * 1e9:
            return result, min(spent_ns) / 1e6


def _own_version() -> str:
    try:
        return version("dptstream")
    except PackageNotFoundError:
        return "source tree"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
