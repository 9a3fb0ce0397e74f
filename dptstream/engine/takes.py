"""Recorded takes into sinks: the depth as it was sent, nothing inferred anew."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from ..frames import DepthFrame
from ..sinks.base import FeedInfo, Sink
from ..sources.recording import read_depth_frames, read_recording


@dataclass(frozen=True, slots=True)
class TakeReport:
    """What became of a take."""

    frames: int
    """Frames written."""
    model: str
    """Name of the model that made the depth."""
    model_license: str
    """Licence of its weights."""


def describe_take(path: Path) -> FeedInfo:
    """Return what sinks are told of a recording; raises SourceError where it is none or holds no frame."""
    first = next(iter(read_recording(path)), None)
    if first is None:
        raise SourceError(f"{path} holds no frame")
    return FeedInfo(
        name=path.stem,
        location=str(path),
        width=first.depth.width,
        height=first.depth.height,
        time_base=first.time_base,
        average_rate=None,
        frame_count=None,
        has_audio=False,
        intrinsics=first.intrinsics.scaled_to(first.depth.width, first.depth.height),
        kind=first.depth.kind,
        model={"name": first.model, "license": first.model_license},
        settings={"recorded": True, "temporal": first.smoothing},
    )


def write_take(path: Path, sink: Sink) -> TakeReport:
    """Write a recording's frames to ``sink``, values and times as recorded.

    Raises:
        SourceError: It is no recording, is damaged, or holds no frame.
        SinkError: The sink cannot write.
    """
    feed = describe_take(path)
    sink.open(feed)
    complete = False
    frames = 0
    try:
        wanted_from = sink.next_sequence
        if wanted_from is not None:
            for depth in read_depth_frames(path):
                frames += _write(sink, depth, wanted_from)
        complete = True
    finally:
        sink.close(complete=complete)
    return TakeReport(frames, str(feed.model["name"]), str(feed.model["license"]))


def _write(sink: Sink, depth: DepthFrame, wanted_from: int) -> int:
    if depth.video.sequence < wanted_from:
        return 0
    sink.write(depth)
    return 1
