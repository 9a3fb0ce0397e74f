"""Streams, events and buffers of the device, and their stand-ins on the CPU.

Every edge between streams is a named event: recorded on one line, waited for on another. On the CPU the
streams run their work at once in the calling thread, so the same stages serve both.
"""

import gc
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

import torch
from torch import Tensor

RECORDING = threading.Lock()
"""Held while work is recorded, or anything is done that a recording would not survive, such as waiting for the device."""
COMPILING = threading.Lock()
"""As ``RECORDING``, held for minutes: nothing is recorded meanwhile, and nobody waits for it but who compiles next."""
_WARM_UPS = 3
"""Runs before a recording: libraries choose kernels and reserve memory in them, which a recording must not."""


def on_own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Do work apart from every feed's. Buffers of feeds come from memory of the default stream, which thus stays idle:
    what is freed there is not still being written to.
    """
    if device.type != "cuda":
        return nullcontext()
    own: AbstractContextManager[object] = torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return own


class Graph(Protocol):
    """Work that was recorded: the same operations on the same memory, submitted at once."""

    def replay(self) -> object:
        """Submit it to the current stream."""


class Event(Protocol):
    """A point in a stream's work."""

    def synchronize(self) -> None:
        """Block the calling thread until the point is reached; at once if it was never recorded."""


class Stream(Protocol):
    """Work in order, asynchronous to the host where the device allows it."""

    def run(self, work: Callable[[], object]) -> None:
        """Submit ``work``."""

    def wait(self, event: Event) -> None:
        """Let later work of this stream wait for ``event``; the host does not wait."""

    def record(self, event: Event) -> None:
        """Mark the present end of this stream's work as ``event``."""


class Backend(Protocol):
    """A device with its three streams."""

    device: torch.device
    asynchronous: bool
    """Whether copies may be left running: only between pinned memory and a device that orders them by events."""
    upload: Stream
    compute: Stream
    download: Stream

    def event(self) -> Event:
        """Make an event that was never recorded."""

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Allocate host memory that the device can copy from and to without blocking."""

    def device_buffer(self, host: Tensor) -> Tensor:
        """Allocate the device's twin of ``host``; on the CPU it is ``host`` itself."""

    def record(self, work: Callable[[], object]) -> Graph | None:
        """Record ``work``, having run it a few times, for the compute stream; the host waits for that.

        Returns:
            None where nothing can be recorded, or not now.

        Raises:
            RuntimeError: ``work`` cannot be recorded.
        """

    def wait_for_decoder(self) -> None:
        """Let later uploads wait for pictures that the card's own decoder has been asked for."""

    def close(self) -> None:
        """Wait for all work and release the streams."""


class HostEvent:
    """The CPU's event: work is done when it was submitted, so there is nothing to wait for."""

    def synchronize(self) -> None:
        """Return at once."""


class HostStream:
    """The CPU's stream: runs work in the calling thread."""

    def run(self, work: Callable[[], object]) -> None:
        """Run ``work`` now."""
        work()

    def wait(self, event: Event) -> None:
        """Do nothing: work submitted before is done."""

    def record(self, event: Event) -> None:
        """Do nothing."""


class HostBackend:
    """The CPU, or a device without streams of its own (Apple's MPS orders its work by itself)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.asynchronous = False
        self.upload: Stream = HostStream()
        self.compute: Stream = HostStream()
        self.download: Stream = HostStream()

    def event(self) -> Event:
        """Make an event."""
        return HostEvent()

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Allocate plain memory."""
        return torch.empty(shape, dtype=dtype)

    def device_buffer(self, host: Tensor) -> Tensor:
        """Return ``host`` itself on the CPU, else its twin on the device."""
        return host if self.device.type == "cpu" else torch.empty_like(host, device=self.device)

    def record(self, work: Callable[[], object]) -> None:
        """Return None: work runs as it is submitted."""

    def wait_for_decoder(self) -> None:
        """Do nothing: there is none."""

    def close(self) -> None:
        """Do nothing."""


class CudaStream:
    """One CUDA stream."""

    def __init__(self, device: torch.device, *, priority: int = 0) -> None:
        self.raw = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]

    def run(self, work: Callable[[], object]) -> None:
        """Submit the kernels and copies that ``work`` launches."""
        with torch.cuda.stream(self.raw):
            work()

    def wait(self, event: Event) -> None:
        """Make the stream, not the host, wait for ``event``."""
        assert isinstance(event, CudaEvent)
        self.raw.wait_event(event.raw)

    def record(self, event: Event) -> None:
        """Record ``event`` behind the work submitted so far."""
        assert isinstance(event, CudaEvent)
        event.raw.record(self.raw)


class CudaEvent:
    """A CUDA event whose host wait sleeps instead of spinning, so that decoding keeps its core."""

    def __init__(self) -> None:
        self.raw = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def synchronize(self) -> None:
        """Sleep until the event is reached."""
        self.raw.synchronize()


class CudaBackend:
    """An NVIDIA GPU with one stream each for upload, compute and download, and pinned host memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.asynchronous = True
        self.upload: Stream = CudaStream(device)
        compute = CudaStream(device)
        self.compute: Stream = compute
        self.download: Stream = CudaStream(device)
        # Weights are brought to the card on the default stream.
        compute.raw.wait_stream(torch.cuda.default_stream(device))
        self._side: CudaStream | None = None

    def event(self) -> Event:
        """Make an event."""
        return CudaEvent()

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Allocate pinned memory, without which copies would block the host."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def device_buffer(self, host: Tensor) -> Tensor:
        """Allocate memory on the card.

        The caching allocator ties memory to the stream it was asked on; the slots hold these buffers for
        as long as any stream uses them, so no ``record_stream`` is needed.
        """
        return torch.empty_like(host, device=self.device)

    def record(self, work: Callable[[], object]) -> Graph | None:
        """Record ``work`` as a CUDA graph, on a stream of its own; None while anything else records.

        Only calls of this thread can spoil the recording: decoding and writing go on beside it.
        """
        if not COMPILING.acquire(blocking=False):
            return None
        try:
            with RECORDING:
                return self._recorded(work)
        finally:
            COMPILING.release()

    def _recorded(self, work: Callable[[], object]) -> Graph:
        # torch hands out the same few streams again and again; of those with priority nobody else has one, so that no
        # other feed's work ends up in the recording. Libraries keep memory for each stream they met: one is enough.
        side = self._side = self._side or CudaStream(self.device, priority=-1)
        before, tried = CudaEvent(), CudaEvent()
        self.compute.record(before)
        side.wait(before)
        for _ in range(_WARM_UPS):
            side.run(work)
        side.record(tried)
        tried.synchronize()
        # What the trials took is kept for this stream alone, and a recording has no way to get it back.
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        side.run(lambda: _capture(graph, work))
        return graph

    def wait_for_decoder(self) -> None:
        """Let later uploads wait: FFmpeg decodes on the legacy default stream, for which torch's other streams do not wait."""
        asked = CudaEvent()
        asked.raw.record(torch.cuda.default_stream(self.device))
        self.upload.wait(asked)

    def close(self) -> None:
        """Wait for the card: the one device-wide wait, at shutdown."""
        with RECORDING:
            torch.cuda.synchronize(self.device)


def _capture(graph: torch.cuda.CUDAGraph, work: Callable[[], object]) -> None:
    # Not ``torch.cuda.graph``, which waits for the whole device.
    # What the collector finds may be another run's graphs and events, and a recording may not survive their end in its thread.
    collects = gc.isenabled()
    gc.disable()
    try:
        graph.capture_begin(capture_error_mode="thread_local")
        work()
    except BaseException:
        with suppress(RuntimeError):  # the recording is spoilt, which is what ``work`` raised already says
            graph.capture_end()
        raise
    else:
        graph.capture_end()
    finally:
        if collects:
            gc.enable()


def backend_for(device: torch.device) -> Backend:
    """Return the streams and buffers that suit ``device``."""
    return CudaBackend(device) if device.type == "cuda" else HostBackend(device)
