"""Joins the segments of a finished run into its videos, with their true times and the source's sound."""

import os
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av

from ..errors import SinkError
from .audio import Sound, Treatment
from .base import FeedInfo
from .journal import Journal
from .layout import Layout
from .options import FolderOptions, Format
from .progress import frame_records
from .video import VIDEO_FORMATS, Clock, join_segments

_USUAL_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a run covers, in seconds of the source's clock."""

    start: Fraction
    """When the first frame is shown."""
    end: Fraction
    """When the last frame gives way."""


def join_videos(
    feed: FeedInfo, options: FolderOptions, layout: Layout, journal: Journal, warnings: list[str]
) -> dict[str, object]:
    """Write the video formats asked for; return what the manifest says of them.

    A sound that cannot be read costs a warning, not the video. Raises SinkError.
    """
    period = _period(feed, journal)
    if period is None:
        return {}
    videos: dict[str, object] = {}
    for name in layout.video_formats:
        # Data keep their own times; only negative ones, which Matroska cannot hold, are shifted.
        start = min(period.start, Fraction(0)) if VIDEO_FORMATS[name].keeps_start else period.start
        wants_sound = name == "preview" and options.audio and feed.has_audio
        sound = _join_with_sound(feed, layout, journal, period, warnings) if wants_sound else None
        if sound is None:
            _join(name, feed, layout, journal, start, None)
        videos[name] = {"file": layout.video(name).name, "start_seconds": float(start), "sound": sound}
    return videos


def _join_with_sound(
    feed: FeedInfo, layout: Layout, journal: Journal, period: Period, warnings: list[str]
) -> str | None:
    """Write the preview with the source's sound; return how it was treated, or None if that failed."""
    if not os.path.isfile(feed.location):  # a camera or an address would be opened anew, perhaps without end
        warnings.append(f"the preview has no sound: {feed.location} is no file that can be read again")
        return None
    reason: Exception | None = None
    treatments: tuple[Treatment, ...] = ("copied", "aac")
    # A codec that MP4 can hold may still come in a form that it cannot, such as AAC out of a broadcast.
    for treatment in treatments:
        try:
            with closing(Sound(feed.location, period.start, period.end, treatment)) as sound:
                _join("preview", feed, layout, journal, period.start, sound)
        except (SinkError, av.FFmpegError, OSError, ValueError) as error:
            reason = error
        else:
            return treatment
    warnings.append(f"the preview has no sound: {reason}")
    return None


def _join(name: Format, feed: FeedInfo, layout: Layout, journal: Journal, start: Fraction, sound: Sound | None) -> None:
    path = layout.video(name)
    segments = [layout.segment(cast("int", entry["first"]), name) for entry in journal.entries("segment")]
    clock = Clock((record.pts for record in frame_records(journal)), feed.time_base, start)
    join_segments(
        path, layout.scratch / f"{path.name}.part", VIDEO_FORMATS[name], segments, clock, sound, feed.provenance
    )


def _period(feed: FeedInfo, journal: Journal) -> Period | None:
    first = last = None
    for record in frame_records(journal):
        first = record.pts if first is None else first
        last = record.pts
    if first is None or last is None:
        return None
    return Period(first * feed.time_base, last * feed.time_base + 1 / (feed.average_rate or _USUAL_RATE))
