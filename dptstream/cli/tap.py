"""``dptstream tap``: what is on the wire."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .listening import ListenFlags, ending_by_signal

if TYPE_CHECKING:
    from ..wire import FrameMessage, Message, StatusMessage
    from ..wire.subscriber import Subscriber

_REPORT_SECONDS = 1.0
_CAPACITY = 32


@dataclass(frozen=True)
class Tap:
    """Show what a sender sends: rate, latency, losses, sizes; Ctrl-C ends it.

    Latency is from the picture's arrival at the sender to here; between two machines it is as good as their clocks
    agree.
    """

    listen: ListenFlags
    seconds: float | None = None
    """End after so many seconds."""
    frames: int | None = None
    """End after so many frames."""
    save: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Keep each frame as FEED.SEQUENCE.npz: depth (float32), color or color_jpeg (bytes), header (JSON)."""
    json: bool = False
    """Print one JSON object per second and feed instead of lines; shorter ones of feeds that sent no frame."""

    def run(self) -> int:
        """Listen and report; exit code 0."""
        self.listen.check(seconds=self.seconds, frames=self.frames)
        meter = Meter()
        subscriber = self.listen.subscriber(capacity=_CAPACITY, on_message=meter.take)
        if self.save is not None:
            self.save.mkdir(parents=True, exist_ok=True)
        with subscriber, ending_by_signal(subscriber.close):
            count = self._listen(subscriber, meter)
        self._report(subscriber, meter)
        stats = subscriber.stats
        if not self.json:
            print(f"{count} frames, {stats.lost} lost on the way, {stats.rejected} messages not understood")
        return 0

    def _listen(self, subscriber: "Subscriber", meter: "Meter") -> int:
        from ..errors import WireError
        from ..wire.subscriber import KEY_HINT

        count, begin = 0, time.monotonic()
        next_report, last_frame = begin + _REPORT_SECONDS, begin
        while self.frames is None or count < self.frames:
            message = subscriber.receive(0.1)
            now = time.monotonic()
            if message is not None:
                count, last_frame = count + 1, now
                if self.save is not None:
                    save_frame(message, self.save)
            elif not subscriber.running or subscriber.ended:
                break
            elif self.listen.patience is not None and now - last_frame > self.listen.patience and not subscriber.alive:
                raise WireError(f"nothing comes from {self.listen.endpoint}; is dptstream serving there? {KEY_HINT}")
            if now >= next_report:
                next_report += _REPORT_SECONDS
                self._report(subscriber, meter)
            if self.seconds is not None and now - begin >= self.seconds:
                break
        return count

    def _report(self, subscriber: "Subscriber", meter: "Meter") -> None:
        for report in meter.reports(subscriber):
            if self.json:
                print(json.dumps(report), flush=True)
            elif meter.news(report):
                print(words(report), flush=True)


@dataclass(slots=True)
class _Window:
    """What came of one feed since the last report."""

    newest: "FrameMessage"
    latencies_ms: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Count:
    """What a feed lost on the way."""

    session: str = ""
    next_sequence: int = 0
    lost: int = 0

    def take(self, message: "Message") -> None:
        from ..wire import FrameMessage

        is_frame = isinstance(message, FrameMessage)
        reached = message.sequence if isinstance(message, FrameMessage) else message.next_sequence
        if message.session == self.session:
            self.lost += max(0, reached - self.next_sequence)
        self.session, self.next_sequence = message.session, reached + is_frame


class Meter:
    """Measures frames as they arrive."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._counts: dict[str, _Count] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._since = time.monotonic()

    def take(self, message: "Message") -> None:
        """Measure one message; called in the receiving thread."""
        from ..wire import FrameMessage

        self._counts.setdefault(message.feed, _Count()).take(message)
        if not isinstance(message, FrameMessage):
            return
        window = self._windows.setdefault(message.feed, _Window(message))
        window.newest = message
        window.latencies_ms.append((time.time_ns() - (message.captured_unix_ns or message.published_unix_ns)) / 1e6)
        window.sizes.append(message.depth.codes.nbytes + _color_bytes(message))

    def reports(self, subscriber: "Subscriber") -> list[dict[str, object]]:
        """Return what came since the last call, feed by feed, and begin anew; of a feed without frames, its state."""
        windows, self._windows = self._windows, {}
        now = time.monotonic()
        elapsed, self._since = now - self._since, now
        statuses, counts = subscriber.status(), self._counts
        return [
            _report(windows[feed], elapsed, counts[feed].lost, statuses.get(feed))
            if feed in windows
            else _idle_report(statuses[feed], counts[feed].lost)
            for feed in sorted({*windows, *statuses})
        ]

    def news(self, report: dict[str, object]) -> bool:
        """Return whether people should see ``report``: frames came, or why none does is not what they saw last."""
        feed, seen = str(report["feed"]), (str(report["state"]), str(report["note"]))
        before = self._told.get(feed)
        self._told[feed] = seen
        # A slow network's frames need not come each second.
        return bool(report["fps"]) or (report["state"] != "playing" and seen != before)


def _idle_report(status: "StatusMessage", lost: int) -> dict[str, object]:
    return {
        "feed": status.feed,
        "session": status.session,
        "sequence": status.next_sequence - 1 if status.next_sequence else None,
        "fps": 0.0,
        "lost": lost,
        "state": status.state,
        "note": status.note,
    }


def _report(window: _Window, elapsed: float, lost: int, status: "StatusMessage | None") -> dict[str, object]:
    import numpy as np

    message = window.newest
    p50, p95 = np.percentile(window.latencies_ms, (50, 95))
    return {
        "feed": message.feed,
        "session": message.session,
        "sequence": message.sequence,
        "pts_seconds": round(message.pts_seconds, 6),
        "width": message.depth.width,
        "height": message.depth.height,
        "depth": message.depth.codes.dtype.name,
        "kind": message.depth.kind.value,
        "range": [message.depth.low, message.depth.high],
        "color": type(message.color).__name__.removesuffix("Color").lower() if message.color is not None else None,
        "fps": round(len(window.sizes) / elapsed, 2),
        "latency_from": "capture" if message.captured_unix_ns is not None else "publication",
        "latency_ms_p50": round(float(p50), 2),
        "latency_ms_p95": round(float(p95), 2),
        "megabytes_per_second": round(sum(window.sizes) / elapsed / 1e6, 2),
        "lost": lost,
        "model": message.model,
        "model_license": message.model_license,
        "state": status.state if status is not None else None,
        "note": status.note if status is not None else "",
    }


def words(report: dict[str, object]) -> str:
    """Return one line for ``report``."""
    if not report["fps"]:
        note = f": {report['note']}" if report["note"] else ""
        return f"{report['feed']}  {report['state']}{note}"
    color = f" + {report['color']}" if report["color"] else ""
    clocks = "; the machines' clocks differ" if isinstance(p50 := report["latency_ms_p50"], float) and p50 < 0 else ""
    return (
        f"{report['feed']}  {report['width']}x{report['height']} {report['depth']} {report['kind']}{color}  "
        f"{report['fps']} fps  {report['latency_ms_p50']} ms from {report['latency_from']} "
        f"(p95 {report['latency_ms_p95']}{clocks})  {report['megabytes_per_second']} MB/s  lost {report['lost']}  "
        f"session {str(report['session'])[:8]}"
    )


def _color_bytes(message: "FrameMessage") -> int:
    from ..wire import RawColor

    color = message.color
    return 0 if color is None else color.pixels.nbytes if isinstance(color, RawColor) else len(color.data)


def save_frame(message: "FrameMessage", folder: Path) -> Path:
    """Write one frame as ``FEED.SEQUENCE.npz`` and return its path."""
    import numpy as np

    from ..wire import RawColor
    from ..wire.packing import frame_header

    path = folder / f"{message.feed}.{message.sequence:06d}.npz"
    arrays = {"depth": message.depth.values(), "header": np.array(frame_header(message).decode())}
    if isinstance(message.color, RawColor):
        arrays["color"] = message.color.pixels
    elif message.color is not None:
        arrays["color_jpeg"] = np.frombuffer(message.color.data, np.uint8)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path
