"""The part of ``dptstream serve`` that runs: starts feeds and control channel, tells how it goes, ends in time."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..errors import describe
from .flags import device_words
from .listening import ending_by_signal

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ..engine.feeds import FeedReport, Player
    from ..engine.gpu import GpuUse
    from ..models import DepthModel
    from ..wire.control import ControlServer
    from ..wire.publisher import Publisher

STATUS_SECONDS = 1.0
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 1.0
"""How long feeds may take to end after Ctrl-C; what sits in a read of a silent network is left behind then."""


class StatusLines:
    """What the user sees: people get lines on stderr, machines get JSON on stdout."""

    def __init__(self, *, quiet: bool, json_lines: bool, keys: "Path | None" = None) -> None:
        self._quiet, self._json_lines, self._keys = quiet, json_lines, keys
        self._told: dict[str, tuple[str, float | None]] = {}
        self._device: torch.device | None = None

    def say(self, line: str) -> None:
        """Tell people something."""
        if not (self._quiet or self._json_lines):
            print(line, file=sys.stderr, flush=True)

    def model(self, model: "DepthModel") -> None:
        """Say which network runs where, and who may use it."""
        info, self._device = model.info, model.device
        unit = f"{info.kind.value.replace('_', ' ')} depth" + (f" in {info.kind.unit}" if info.kind.unit else "")
        self.say(f"model    {info.name} on {device_words(model)}: {unit}; licence of the weights: {info.license}")

    def serving(self, publisher: "Publisher", control: str | None, reports: "Sequence[FeedReport]") -> None:
        """Say what is served where."""
        for report in reports:
            size = f"{report.width}x{report.height}" if report.width else "waiting for it"
            self.say(f"feed     {report.feed}: {report.location}, {size}")
        key = f" --curve {self._keys / 'NAME'}" if self._keys is not None else ""
        steered = f"; steer it with: dptstream ctl {_from_here(control)} status{key}" if control else ""
        watched = f"watch it with: dptstream tap {_from_here(publisher.endpoint)}{key}"
        self.say(f"serving  at {publisher.endpoint}; {watched}{steered}")
        if _from_here(publisher.endpoint) != publisher.endpoint:
            port = publisher.endpoint.rpartition(":")[2]
            self.say(f"         other machines take tcp://{socket.gethostname()}:{port}")
        if self._json_lines:
            print(json.dumps({"endpoint": publisher.endpoint, "control": control}), flush=True)

    def gpu(self) -> "GpuUse | None":
        """Return how the network's GPU is used just now; None where there is no network, or none on a GPU."""
        if self._device is None:
            return None
        from ..engine.gpu import gpu_use

        return gpu_use(self._device)

    def feeds(self, reports: "Sequence[FeedReport]", subscribers: int) -> None:
        """Tell how each feed goes."""
        if self._quiet and not self._json_lines:
            return
        gpu = self.gpu()
        for report in reports:
            if self._json_lines:
                about_gpu = None if gpu is None else asdict(gpu)
                print(json.dumps({**asdict(report), "subscribers": subscribers, "gpu": about_gpu}), flush=True)
                continue
            self._feed(report, subscribers, gpu)

    def _feed(self, report: "FeedReport", subscribers: int, gpu: "GpuUse | None") -> None:
        note, retry = self._told.get(report.feed, ("", None))
        self._told[report.feed] = report.note, report.retry_seconds
        if report.retry_seconds is None:
            self.say(words(report, subscribers, gpu))
            if report.note and note != report.note:
                self.say(f"warning  {report.feed}: {report.note}")
        elif retry is None or report.retry_seconds > retry:  # once each time that it was tried
            self.say(f"{report.feed:8} waiting: {report.note}; trying again in {max(1, round(report.retry_seconds))} s")


def _from_here(endpoint: str) -> str:
    """Return what a program on this machine connects to: not each system takes the address that means all of them."""
    return endpoint.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def words(report: "FeedReport", subscribers: int, gpu: "GpuUse | None" = None) -> str:
    """Return one line for ``report``."""
    latency = "-"
    if report.latency_ms_p50 is not None and report.latency_ms_p95 is not None:
        latency = f"{report.latency_ms_p50:.0f} ms (p95 {report.latency_ms_p95:.0f})"
    late = f" ({report.late} late)" if report.late else ""
    return (
        f"{report.feed:8} {report.state}: {report.frames} frames, {report.fps_in:.1f} fps in, {report.fps_out:.1f} out, "
        f"latency {latency}, dropped {report.dropped}{late}, {subscribers} listening{_gpu_words(gpu)}"
    )


def _gpu_words(gpu: "GpuUse | None") -> str:
    if gpu is None:
        return ""
    busy = "memory" if gpu.utilization is None else f"{gpu.utilization:.0%} busy,"
    return f", GPU {busy} {gpu.memory_used_bytes / 1e9:.1f} of {gpu.memory_total_bytes / 1e9:.1f} GB"


def serve_until_the_end(
    players: "Sequence[Player]",
    publisher: "Publisher",
    open_control: "Callable[[Callable[[], None]], ControlServer] | None",
    lines: StatusLines,
) -> int:
    """Play until every feed has ended or somebody ends it, and a second more at most; return the exit code."""
    ending = threading.Event()
    with ExitStack() as exits:
        control = exits.enter_context(open_control(ending.set)).endpoint if open_control is not None else None
        exits.enter_context(ending_by_signal(ending.set))
        lines.serving(publisher, control, [player.report() for player in players])
        for player in players:
            player.start()
        _wait(players, publisher, ending, lines)
        for player in players:
            player.stop()
        deadline = time.monotonic() + _GRACE_SECONDS
        for player in players:
            player.join(max(0.0, deadline - time.monotonic()))
    return _sum_up(players, lines)


def _wait(players: "Sequence[Player]", publisher: "Publisher", ending: threading.Event, lines: StatusLines) -> None:
    next_status = time.monotonic() + STATUS_SECONDS
    while not ending.wait(_POLL_SECONDS):
        if all(player.join(0) for player in players):
            return
        if time.monotonic() >= next_status:
            next_status += STATUS_SECONDS
            lines.feeds([player.report() for player in players], publisher.subscribers)


def _sum_up(players: "Sequence[Player]", lines: StatusLines) -> int:
    code = 0
    for player in players:
        report = player.report()
        if player.failure is not None:
            code = 1
            print(f"dptstream: {report.feed}: {describe(player.failure)}", file=sys.stderr)
        lines.say(f"ended    {report.feed}: {report.frames} frames, {report.dropped} dropped")
    return code
