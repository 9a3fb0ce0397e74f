"""Run the engine over a moving scene whose depth is known.

The engine overlaps decoding, the network and whatever you do with the depth. Here a sink of our own keeps one number a
frame; ``SyntheticSource`` gives pictures with exact depth. Uses ``dptstream.engine.Engine`` and the ``Sink`` protocol.

    python examples/02_run_the_engine.py
"""

import numpy as np

from dptstream.engine import Engine
from dptstream.frames import DepthFrame
from dptstream.models import load_model
from dptstream.sinks import FeedInfo
from dptstream.sources import open_source


class Correlation:
    """A sink that compares each frame's inverse depth with the truth."""

    next_sequence = 0

    def __init__(self, source: object) -> None:
        self._source = source
        self.values: list[float] = []

    def open(self, feed: FeedInfo) -> None:
        print(f"{feed.name}: {feed.width}x{feed.height}, {feed.kind.value}")

    def write(self, frame: DepthFrame) -> None:
        truth = 1 / self._source.truth(frame.video.sequence).depth
        self.values.append(float(np.corrcoef(frame.at_picture_size().ravel(), truth.ravel())[0, 1]))

    def warn(self, line: str) -> None:
        print(line)

    def close(self, *, complete: bool) -> None:
        print(f"{len(self.values)} frames, complete: {complete}")


def main() -> None:
    with open_source("synthetic:width=320,height=192,frames=20") as source:
        sink = Correlation(source)
        report = Engine(source, load_model("tiny"), [sink]).run()
    print(f"correlation with the true inverse depth: {np.mean(sink.values):.2f} on average")
    print(f"{report.progress.frames_per_second:.1f} frames/s, limited by {report.progress.limiting_stage}")


if __name__ == "__main__":
    main()
