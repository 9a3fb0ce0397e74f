"""What the CUDA backend asks of PyTorch, in which order, with stand-ins for streams, events and graphs."""

import gc
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from dptstream.engine.backend import COMPILING, RECORDING, CudaBackend, backend_for, on_own_stream

CARD = torch.device("cuda:0")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every call of a stand-in, as words. Streams are numbered; the default one is called so."""
    told: list[str] = []
    names = iter(["upload", "compute", "download", *(f"side{number}" for number in range(9))])

    class Stream:
        def __init__(self, device: torch.device, *, priority: int = 0) -> None:
            self.name = next(names) + ("!" if priority < 0 else "")

        def wait_event(self, event: "Event") -> None:
            told.append(f"{self.name} waits for {event.at}")

        def wait_stream(self, stream: SimpleNamespace) -> None:
            told.append(f"{self.name} waits for {stream.name}")

    class Event:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking
            self.at = "nothing"

        def record(self, stream: SimpleNamespace) -> None:
            self.at = stream.name

        def synchronize(self) -> None:
            told.append(f"host waits for {self.at}")

    class Graph:
        def capture_begin(self, *, capture_error_mode: str) -> None:
            told.append(f"begin {capture_error_mode}")

        def capture_end(self) -> None:
            told.append("end")

        def replay(self) -> None:
            told.append("replay")

    @contextmanager
    def stream(of: Stream):
        told.append(f"on {of.name}")
        yield

    for name, stand_in in (("Stream", Stream), ("Event", Event), ("CUDAGraph", Graph), ("stream", stream)):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda _device: SimpleNamespace(name="default"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: told.append("free memory goes back"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: told.append("host waits for all"))
    return told


def test_computing_waits_for_the_weights(calls: list[str]) -> None:
    assert isinstance(backend_for(CARD), CudaBackend)
    assert calls == ["compute waits for default"]


def test_work_is_tried_waited_for_and_recorded_on_a_stream_of_its_own(calls: list[str]) -> None:
    backend = CudaBackend(CARD)
    calls.clear()
    graph = backend.record(lambda: calls.append("work"))
    tries = ["on side0!", "work"] * 3
    assert calls == [
        "side0! waits for compute",
        *tries,
        "host waits for side0!",
        "free memory goes back",
        "on side0!",
        "begin thread_local",
        "work",
        "end",
    ]
    assert graph is not None
    backend.compute.run(graph.replay)
    assert calls[-2:] == ["on compute", "replay"]
    backend.record(lambda: None)
    assert calls[-3] == "on side0!"  # the same stream, so that libraries need no memory for another
    assert not RECORDING.locked()
    assert not COMPILING.locked()


def test_a_recording_that_fails_is_ended_and_told(calls: list[str]) -> None:
    backend, runs = CudaBackend(CARD), iter(range(4))

    def work() -> None:
        if next(runs) == 3:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        backend.record(work)
    assert calls[-2:] == ["begin thread_local", "end"]
    assert not RECORDING.locked()
    assert not COMPILING.locked()


@pytest.mark.parametrize("spoilt", [False, True])
def test_no_rubbish_is_collected_in_a_recording(calls: list[str], spoilt: bool) -> None:
    backend, collects = CudaBackend(CARD), []

    def work() -> None:
        collects.append(gc.isenabled())
        if spoilt and not gc.isenabled():
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError) if spoilt else nullcontext():
        backend.record(work)
    assert collects == [True, True, True, False]
    assert gc.isenabled()


def test_nothing_is_recorded_while_a_network_is_compiled(calls: list[str]) -> None:
    backend = CudaBackend(CARD)
    calls.clear()
    with COMPILING:
        assert backend.record(lambda: calls.append("work")) is None
    assert calls == []


def test_uploads_wait_for_what_the_cards_decoder_was_asked_for(calls: list[str]) -> None:
    backend = CudaBackend(CARD)
    calls.clear()
    backend.wait_for_decoder()
    assert calls == ["upload waits for default"]


def test_the_end_waits_for_all_and_other_work_keeps_off_the_default_stream(calls: list[str]) -> None:
    CudaBackend(CARD).close()
    assert calls[-1] == "host waits for all"
    with on_own_stream(CARD):
        assert calls[-1] == "on side0"
    with on_own_stream(torch.device("cpu")):
        assert calls[-1] == "on side0"
