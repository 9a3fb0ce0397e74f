"""Smoothing with the whole shot at hand: a sink that holds depth back until its shot ends. For clips that can be read twice."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from ..errors import SourceError
from ..frames import DepthFrame, VideoFrame
from ..sinks.base import FeedInfo, Sink
from ..sources.base import Source
from ..temporal import FlickerMeter, FlickerScore, ShotStore, TemporalConfig, smooth_shot


class LookaheadSink:
    """A sink before another one: keeps each shot's raw depth on disk, and hands it on smoothed when the shot ends.

    The pictures are not kept: they are decoded a second time, a shot behind the first.

    Args:
        sink: Gets the smoothed frames.
        reopen: Opens the same source, with the same options, a second time.
        config: The filter's stages.
        scratch: Folder for the scratch files of one shot, four bytes for each value of the network's maps; None is the
            system's folder for such files.
    """

    def __init__(
        self, sink: Sink, reopen: Callable[[], Source], config: TemporalConfig, *, scratch: Path | None = None
    ) -> None:
        self._sink, self._reopen, self._config, self._scratch = sink, reopen, config, scratch
        self._resources = ExitStack()
        self._again: Iterator[VideoFrame] | None = None
        self._shot: ShotStore | None = None
        self._first: DepthFrame | None = None
        self._meter = FlickerMeter()
        self._name = ""
        self._wanted_from: int | None = 0

    @property
    def flicker(self) -> FlickerScore:
        """Flicker before and after, over all shots handed on so far."""
        return self._meter.score

    @property
    def next_sequence(self) -> int | None:
        """0 where the sink behind needs anything: a shot is smoothed as a whole."""
        return None if self._wanted_from is None else 0

    def open(self, feed: FeedInfo) -> None:
        """Open the sink behind."""
        self._name = feed.location
        self._sink.open(feed)
        self._wanted_from = self._sink.next_sequence

    def write(self, frame: DepthFrame) -> None:
        """Keep a frame; at the first one of a new shot, hand on the shot before."""
        if self._shot is not None and not self._shot.accepts(frame):
            self._hand_on()
        if self._shot is None:
            self._shot, self._first = ShotStore(self._scratch), frame
        self._shot.append(frame)

    def note(self, name: str, value: object) -> None:
        """Pass a fact on."""
        self._sink.note(name, value)

    def warn(self, line: str) -> None:
        """Pass a line on."""
        self._sink.warn(line)

    def close(self, *, complete: bool) -> None:
        """Hand on the last shot where the run is complete; drop it otherwise. Closes the sink behind."""
        try:
            if complete:
                self._hand_on()
                if self._wanted_from is not None:
                    self._sink.note("flicker", asdict(self.flicker))
        except BaseException:
            complete = False
            raise
        finally:
            if self._shot is not None:
                self._shot.close()
                self._shot = None
            self._resources.close()
            self._sink.close(complete=complete)

    def _hand_on(self) -> None:
        """Smooth the shot and give it, with its pictures, to the sink behind."""
        shot, first = self._shot, self._first
        if shot is None or first is None or self._wanted_from is None:
            return
        self._shot = None
        if self._again is None:
            self._again = iter(self._resources.enter_context(self._reopen()))
        with shot:
            for index, smoothed_hw in enumerate(smooth_shot(shot, self._config, scratch=self._scratch)):
                video = next(self._again, None)
                if video is None or abs(video.pts_seconds - shot.pts_seconds(index)) > float(video.time_base) / 2:
                    raise SourceError(
                        f"{self._name} gave other frames when it was read a second time: use another --temporal than offline"
                    )
                raw = DepthFrame(shot.depth(index), first.kind, video, first.output_resize)
                raw = replace(raw, scene_cut=index == 0 and first.scene_cut)
                self._meter.step(raw, smoothed_hw)
                if video.sequence >= self._wanted_from:
                    self._sink.write(replace(raw, depth=smoothed_hw))
