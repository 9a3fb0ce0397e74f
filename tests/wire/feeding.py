"""A publisher in a process of its own, to be killed: ``python -m tests.wire.feeding ENDPOINT FPS [HEIGHT WIDTH]``."""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np

from dptstream.geometry import Intrinsics
from dptstream.wire import DepthPlane, FrameMessage, RawColor
from dptstream.wire.messages import DepthKind
from dptstream.wire.publisher import Publisher

from .making import make_frame

ROOT = Path(__file__).parents[2]


def numbered_frame(sequence: int, session: str, height: int = 8, width: int = 12, feed: str = "cam1") -> FrameMessage:
    """Return a frame whose every depth code tells its number."""
    now = time.time_ns()
    codes = np.full((height, width), sequence % 65535 + 1, np.uint16)
    color = np.full((height, width, 3), sequence % 256, np.uint8)
    return make_frame(
        feed=feed,
        session=session,
        sequence=sequence,
        frame_number=sequence,
        captured_unix_ns=now,
        published_unix_ns=now,
        intrinsics=Intrinsics.default(width, height),
        depth=DepthPlane(codes, DepthKind.METRIC, 0.1, 10.0, 0.001),
        color=RawColor(color),
    )


def main() -> None:
    endpoint, fps, *size = sys.argv[1:]
    height, width = map(int, size or (8, 12))
    session = uuid.uuid4().hex
    with Publisher(endpoint, insecure=True) as publisher:
        print(publisher.endpoint, flush=True)
        begin = time.monotonic()
        for sequence in range(1_000_000):
            publisher.send(numbered_frame(sequence, session, height, width))
            time.sleep(max(0.0, begin + (sequence + 1) / float(fps) - time.monotonic()))


@contextmanager
def publisher_process(
    endpoint: str = "tcp://127.0.0.1:*", fps: float = 30, *size: int
) -> Iterator[tuple[Popen[str], str]]:
    """Run a publisher; yields the process and its true endpoint."""
    words = [sys.executable, "-m", "tests.wire.feeding", endpoint, str(fps), *map(str, size)]
    with Popen(words, stdout=PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    main()
