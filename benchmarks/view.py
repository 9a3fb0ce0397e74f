"""Measure the desktop window: ``python benchmarks/view.py [--rounds 40] [--output FILE]``.

Messages of 518x924 (half floats, picture of the same size) of the computed room become points and surfaces, are handed to
Open3D and drawn. ``python`` is all that Python does for an update: values, distances, edges, back-projection, the float64
arrays that Open3D takes, and handing them over. ``draw`` is the graphics stack's part; without a GPU that is Mesa's
software renderer. CPU times are those of the thread, which other work on the machine disturbs less than wall times.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from dptstream.geometry import DepthKind
from dptstream.sources.synthetic import SyntheticSettings, SyntheticSource
from dptstream.viewer.canvas import Canvas
from dptstream.viewer.poses import Lens, frame_of, orbited
from dptstream.viewer.scene import Scene
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.updating import draw
from dptstream.wire import DepthPlane, FrameMessage, RawColor, SourceNote

HEIGHT, WIDTH = 518, 924
SIZE_WH = (1280, 800)
POOL = 4


@dataclass
class Times:
    """Wall and CPU milliseconds of one part."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, work: Callable[[], object]) -> object:
        """Do it and note how long it took."""
        wall, cpu = time.perf_counter(), time.thread_time()
        result = work()
        self.wall.append((time.perf_counter() - wall) * 1e3)
        self.cpu.append((time.thread_time() - cpu) * 1e3)
        return result

    def summary(self) -> dict[str, float]:
        """Return medians and the best."""
        return {
            "cpu_ms_median": round(statistics.median(self.cpu), 2),
            "cpu_ms_min": round(min(self.cpu), 2),
            "wall_ms_median": round(statistics.median(self.wall), 2),
        }


def messages() -> list[FrameMessage]:
    source = SyntheticSource(SyntheticSettings(width=WIDTH, height=HEIGHT, frames=POOL))
    made = []
    for number, video in enumerate(source):
        inverse = 3 / source.truth(number).depth
        low, high = (float(np.percentile(inverse, share)) for share in (1, 99))
        depth = DepthPlane(inverse.astype(np.float16), DepthKind.RELATIVE_INVERSE, low, high)
        assert source.info.intrinsics is not None
        made.append(
            FrameMessage(
                "room",
                "0" * 32,
                number,
                number,
                number,
                Fraction(1, 25),
                None,
                0,
                SourceNote("room", WIDTH, HEIGHT),
                source.info.intrinsics,
                depth,
                RawColor(video.image),
                "synthetic",
                "",
            )
        )
    return made


def measure(settings: ViewSettings, pool: list[FrameMessage], rounds: int) -> dict[str, object]:
    scene, made, handed, drawn = Scene(), Times(), Times(), Times()
    with Canvas("benchmark", SIZE_WH, visible=False) as canvas:
        drawing = draw(scene, pool[0], settings)
        frame, lens = frame_of(drawing.cloud), Lens.fitting(drawing.cloud, SIZE_WH)
        canvas.put(drawing, settings)
        canvas.look(orbited(frame, lens.tangents), frame, lens)
        canvas.draw()
        for number in range(rounds):
            message = pool[(number + 1) % POOL]
            drawing = made.measure(lambda message=message: draw(scene, message, settings))  # type: ignore[assignment]
            handed.measure(lambda drawing=drawing: canvas.put(drawing, settings))
            drawn.measure(canvas.draw)
    points = WIDTH * HEIGHT
    python_ms = [first + second for first, second in zip(made.cpu, handed.cpu, strict=True)]
    update_ms = [a + b + c for a, b, c in zip(made.wall, handed.wall, drawn.wall, strict=True)]
    return {
        "points": points,
        "python_cpu_ms_median": round(statistics.median(python_ms), 2),
        "python_cpu_ms_min": round(min(python_ms), 2),
        "make": made.summary(),
        "hand_over": handed.summary(),
        "draw": drawn.summary(),
        "points_per_second_handed_over": round(points / statistics.median(python_ms) * 1e3),
        "points_per_second_drawn": round(points / statistics.median(update_ms) * 1e3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    pool, base = messages(), ViewSettings()
    kinds = {
        "points": base,
        "points, coloured by depth": replace(base, color="depth"),
        "points, sharpened edges": replace(base, sharpen_edges=True),
        "surface": replace(base, mode="surface"),
    }
    report = {
        "machine": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "size": [HEIGHT, WIDTH],
        "results": {name: measure(settings, pool, options.rounds) for name, settings in kinds.items()},
    }
    text = json.dumps(report, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
