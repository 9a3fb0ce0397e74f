"""Subscribe: take the newest depth frame whenever you are ready for one.

Start a sender first, such as ``dptstream serve clip.mp4 --loop``, then ``python examples/03_subscribe.py``. However slow
this loop is, each frame it gets is fresh: a thread empties the network, and what was not taken in time is skipped.

Uses: wire.subscriber.Subscriber.
"""

import sys
import time

import numpy as np

from dptstream.wire.subscriber import Subscriber


def main(endpoint: str = "tcp://127.0.0.1:5577", count: str = "100") -> None:
    with Subscriber(endpoint) as subscriber:
        for _, message in zip(range(int(count)), subscriber.frames(timeout=10), strict=False):
            depth = message.depth.values()  # (H, W) float32; message.depth.kind says what the numbers mean
            row, column = depth.shape[0] // 2, depth.shape[1] // 2
            age_ms = (time.time_ns() - message.published_unix_ns) / 1e6
            print(
                f"{message.feed} #{message.sequence} at {message.pts_seconds:.2f} s: {message.depth.kind.value} "
                f"{np.nanmin(depth):.2f}..{np.nanmax(depth):.2f}, centre {depth[row, column]:.2f}, {age_ms:.1f} ms old"
            )
        stats = subscriber.stats
        print(f"{stats.received} frames came, {stats.skipped} were skipped, {stats.lost} lost on the way")


if __name__ == "__main__":
    main(*sys.argv[1:])
