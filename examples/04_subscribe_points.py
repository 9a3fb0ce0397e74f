"""Subscribe and unproject: live coloured points from a feed, saved as PLY.

Start a sender first, such as ``dptstream serve clip.mp4 --loop``. A feed of relative inverse depth has no scale; here
its range is laid out between 1 and 10 units, which shows the shape but measures nothing.

Uses: wire.subscriber.Subscriber, geometry.unproject.
"""

import sys
from pathlib import Path

import numpy as np

from dptstream.geometry import DepthKind, edge_mask, unproject
from dptstream.wire import FrameMessage, RawColor
from dptstream.wire.subscriber import Subscriber


def distances(message: FrameMessage) -> np.ndarray:
    values = message.depth.values()
    if message.depth.kind is not DepthKind.RELATIVE_INVERSE:
        return values
    nearness = np.clip((values - message.depth.low) / (message.depth.high - message.depth.low), 0, 1)
    return 1 / (0.1 + 0.9 * nearness)


def save_ply(path: Path, points: np.ndarray, colors: np.ndarray) -> None:
    vertices = np.empty(len(points), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    vertices["xyz"], vertices["rgb"] = points, colors
    properties = [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {c}" for c in ("red", "green", "blue")
    ]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *properties, "end_header", ""]
    path.write_bytes("\n".join(lines).encode() + vertices.tobytes())


def main(endpoint: str = "tcp://127.0.0.1:5577", output: str = "points.ply") -> None:
    with Subscriber(endpoint) as subscriber:
        message = next(subscriber.frames(timeout=10))
    depth = distances(message)
    valid = np.isfinite(depth) & (depth > 0)
    valid &= ~edge_mask(np.where(valid, depth, 1e6).astype(np.float32))
    points = unproject(depth.astype(np.float32), message.intrinsics)
    grey = np.full((*depth.shape, 3), 128, np.uint8)
    same_size = isinstance(message.color, RawColor) and message.color.pixels.shape == grey.shape
    colors = message.color.pixels if same_size else grey
    save_ply(Path(output), points[valid], colors[valid])
    print(f"{output}: {valid.sum()} points of {message.feed} #{message.sequence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
