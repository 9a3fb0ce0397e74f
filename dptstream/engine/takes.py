"""Recorded takes into sinks: the depth as it was sent, nothing inferred anew."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SourceError
from ..frames import DepthFrame
from ..geometry import Intrinsics
from ..sinks.base import FeedInfo, Sink
from ..sources.base import SourceInfo
from ..sources.options import SourceOptions
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


def describe_take(path: Path, camera: Callable[[SourceInfo], Intrinsics | None] = lambda _: None) -> FeedInfo:
    """Return what sinks are told of a recording.

    Args:
        path: The recording.
        camera: Returns the camera that the user described for the pictures that the depth was made of, if any; the
            recorded one is taken otherwise.

    Raises:
        SourceError: It is no recording, or holds no frame.
    """
    first = next(iter(read_recording(path)), None)
    if first is None:
        raise SourceError(f"{path} holds no frame")
    pictures = SourceInfo(path.stem, str(path), first.source.width, first.source.height, first.time_base)
    intrinsics = camera(pictures) or first.intrinsics
    return FeedInfo(
        name=path.stem,
        location=str(path),
        width=first.depth.width,
        height=first.depth.height,
        time_base=first.time_base,
        average_rate=None,
        frame_count=None,
        has_audio=False,
        intrinsics=intrinsics.scaled_to(first.depth.width, first.depth.height),
        kind=first.depth.kind,
        model={"name": first.model, "license": first.model_license},
        settings={"recorded": True, "temporal": first.smoothing},
    )


def write_take(
    path: Path,
    sink: Sink,
    options: SourceOptions | None = None,
    *,
    camera: Callable[[SourceInfo], Intrinsics | None] = lambda _: None,
) -> TakeReport:
    """Write a recording's frames to ``sink``, values and times as recorded.

    Args:
        path: The recording.
        sink: Opened and closed here.
        options: Which part is wanted; see ``read_depth_frames``.
        camera: See ``describe_take``.

    Raises:
        SourceError: It is no recording, is damaged, holds nothing of the part wanted, or is to be cropped.
        SinkError: The sink cannot write.
    """
    wanted = read_depth_frames(path, options)
    feed = describe_take(path, camera)
    sink.open(replace(feed, settings={**feed.settings, **_part(options or SourceOptions())}))
    complete = False
    frames = 0
    try:
        wanted_from = sink.next_sequence
        if wanted_from is not None:
            for depth in wanted:
                frames += _write(sink, depth, wanted_from)
        complete = True
    finally:
        sink.close(complete=complete)
    return TakeReport(frames, str(feed.model["name"]), str(feed.model["license"]))


def _part(options: SourceOptions) -> dict[str, object]:
    """Return the part wanted as plain values, so that a run is only resumed with the same."""
    parts = {"start": options.start, "end": options.end, "every": options.every, "fps": options.fps}
    return {name: None if value is None else str(value) for name, value in parts.items()}


def _write(sink: Sink, depth: DepthFrame, wanted_from: int) -> int:
    if depth.video.sequence < wanted_from:
        return 0
    sink.write(depth)
    return 1
