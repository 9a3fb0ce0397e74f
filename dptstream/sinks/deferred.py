"""Writes the formats that wait for a shot's range: 16-bit codes, point clouds and the parts of videos.

A span's frames wait on the disk, not in memory. Spans are worked off by one thread of its own, so that
frames go on coming in; it has its frames rendered by the shared pool a little ahead.
"""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .base import FeedInfo
from .files import discard
from .journal import FrameRecord, Journal
from .layout import Layout
from .mapping import Mapping, display_range, fixed_range, sample
from .options import FolderOptions, Format
from .pool import OrderedWindow
from .quantity import Quantity
from .renderer import FrameRenderer, Rendered
from .spans import SEGMENT_FRAMES, Span, SpanPlanner
from .video import VIDEO_FORMATS, SegmentEncoder

_WAITING_SPANS = 2
"""Spans that may wait to be worked off before frames have to wait: bounds the scratch on the disk."""
_SAMPLED_FRAMES = 64
"""Most frames of a span whose values are sampled for the preview's range."""


class _StoppedError(Exception):
    """The run was given up while a segment was being written."""


class DeferredWriter:
    """Takes records of frames whose depth waits in scratch, and turns each closed span into its files.

    Used from one thread; an error met on the way is raised by the next call.
    """

    def __init__(
        self, feed: FeedInfo, options: FolderOptions, layout: Layout, journal: Journal, executor: ThreadPoolExecutor
    ) -> None:
        self._options, self._layout, self._journal, self._executor = options, layout, journal, executor
        quantity = Quantity.of(feed.kind, options.encode)
        self._fixed = fixed_range(options.range, quantity)
        self._renderer = FrameRenderer(feed, options, layout, quantity)
        waits_for_range = options.range in ("shot", "clip") and (
            "preview" in options.formats or "ply" in options.formats or not quantity.in_millimetres
        )
        self._planner = SpanPlanner(
            split_at_cuts=options.range == "shot", largest=None if waits_for_range else SEGMENT_FRAMES
        )
        self._mappings: dict[int, Mapping] = {}
        self._finished: set[object] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dptstream-shots")
        self._jobs: deque[Future[None]] = deque()
        self._stopping = threading.Event()

    def take_up(self) -> None:
        """Read from the journal what an earlier run has done."""
        mappings = map(Mapping.from_record, self._journal.entries("mapping"))
        self._mappings = {mapping.first: mapping for mapping in mappings}
        self._finished = {entry["first"] for entry in self._journal.entries("segment")}

    def add(self, record: FrameRecord) -> None:
        """Take the next frame, whose depth lies in scratch unless its segment is finished; may wait."""
        self._start(self._planner.add(record))
        while self._jobs and (len(self._jobs) > _WAITING_SPANS or self._jobs[0].done()):
            self._jobs.popleft().result()

    def finish(self) -> None:
        """Close the last span and wait until every segment is written."""
        self._start(self._planner.finish())
        while self._jobs:
            self._jobs.popleft().result()

    def close(self) -> None:
        """Give up what is not finished; may be called twice."""
        self._stopping.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _start(self, span: Span | None) -> None:
        if span is not None and any(first not in self._finished for first, _ in span.segments()):
            self._jobs.append(self._thread.submit(self._work_off, span))

    def _work_off(self, span: Span) -> None:
        mapping = self._mappings.get(span.first)
        if mapping is None and self._options.range != "frame":
            mapping = self._decide_mapping(span)
            self._journal.append({"kind": "mapping", **mapping.record()})
        for first, end in span.segments():
            if first not in self._finished:
                self._write_segment(first, end, mapping)

    def _decide_mapping(self, span: Span) -> Mapping:
        if self._fixed:
            return Mapping(span.first, span.end, self._renderer.codes(*self._fixed), *self._fixed)
        extremes = (span.minimum or 0.0, 1.0 if span.maximum is None else span.maximum)
        return Mapping(span.first, span.end, self._renderer.codes(*extremes), *display_range(self._samples(span)))

    def _samples(self, span: Span) -> Iterator[NDArray[np.float32]]:
        quantity = self._renderer.quantity
        for sequence in range(span.first, span.end, -(-(span.end - span.first) // _SAMPLED_FRAMES)):
            yield sample(quantity.encode(self._renderer.load(sequence).depth), quantity)

    def _write_segment(self, first: int, end: int, mapping: Mapping | None) -> None:
        sizes: dict[str, list[int]] = {}
        own: list[Mapping] = []
        encoders: dict[Format, SegmentEncoder] = {}
        with ExitStack() as stack:
            for rendered in self._rendered(first, end, mapping):
                for name, picture in rendered.pictures.items():
                    if name not in encoders:
                        path = self._layout.segment(first, name)
                        encoder = SegmentEncoder(path, VIDEO_FORMATS[name], (picture.shape[1], picture.shape[0]))
                        encoders[name] = stack.enter_context(encoder)
                    encoders[name].add(picture)
                for name, size in rendered.sizes.items():
                    sizes.setdefault(name, []).append(size)
                if mapping is None:
                    own.append(rendered.mapping)
        for name in encoders:
            sizes[name] = [self._layout.segment(first, name).stat().st_size]
        self._journal.append(
            {
                "kind": "segment",
                "first": first,
                "end": end,
                "sizes": sizes,
                "mappings": [one.record() for one in own],
            }
        )
        self._finished.add(first)
        for sequence in range(first, end):
            discard(self._layout.scratch_frame(sequence))

    def _rendered(self, first: int, end: int, mapping: Mapping | None) -> Iterator[Rendered]:
        window = OrderedWindow[Rendered](self._executor, self._options.workers + 1)
        try:
            for sequence in range(first, end):
                if self._stopping.is_set():
                    raise _StoppedError
                yield from window.submit(partial(self._renderer.render, sequence, mapping))
            yield from window.drain()
        finally:
            window.abandon()
