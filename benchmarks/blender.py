"""Measure live depth in Blender: ``python benchmarks/blender.py --python BPY_PYTHON [--python ...]``.

Each Python named has the ``bpy`` package of one Blender version. The extension is built, installed from its zip and
connected to a publisher that sends 924x518 half floats and RGB at 30 frames a second from a process of its own; the
timer's function is called as Blender calls it, and timed. Then how long Blender takes to make the picture's geometry of it,
and the timer again with the pictures as JPEGs.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH, FPS = 518, 924, 30
DISPLAYS: dict[str, dict[str, object]] = {
    "surface, edges cut": {"As Points": False, "Edge Cut": 0.1},
    "surface": {"As Points": False, "Edge Cut": 0.0},
    "points": {"As Points": True, "Edge Cut": 0.0},
    "surface, stride 2, edges cut": {"As Points": False, "Edge Cut": 0.1, "Stride": 2},
}


def publish(seconds: float) -> None:
    """Publish a wavy surface at two addresses, with plain pictures and with JPEGs; prints both."""
    import cv2
    import numpy as np

    from dptstream.geometry import DepthKind, Intrinsics
    from dptstream.wire import DepthPlane, FrameMessage, JpegColor, RawColor, SourceNote
    from dptstream.wire.publisher import Publisher

    rng = np.random.default_rng(0)
    x, y = np.arange(WIDTH) / 90, np.arange(HEIGHT)[:, None] / 70
    depths = [(3 + np.sin(x + n) * np.cos(y)).astype(np.float16) for n in range(8)]
    coarse = rng.integers(0, 256, (8, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    plain = [RawColor(cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)) for picture in coarse]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    jpegs = [JpegColor(cv2.imencode(".jpg", it.pixels, quality)[1].tobytes(), WIDTH, HEIGHT) for it in plain]
    with Publisher("tcp://127.0.0.1:*") as one, Publisher("tcp://127.0.0.1:*") as other:
        print(one.endpoint, other.endpoint, flush=True)
        for n in range(round(seconds * FPS)):
            now = time.time_ns()
            # Whoever has no listener sends nothing.
            for publisher, pictures in ((one, plain), (other, jpegs)):
                publisher.send(
                    FrameMessage(
                        "bench",
                        "0" * 32,
                        n,
                        n,
                        n,
                        Fraction(1, FPS),
                        now,
                        now,
                        SourceNote("bench", WIDTH, HEIGHT),
                        Intrinsics.default(WIDTH, HEIGHT),
                        DepthPlane(depths[n % 8], DepthKind.METRIC, 2.0, 4.0),
                        pictures[n % 8],
                        "synthetic",
                        "",
                    )
                )
            time.sleep(1 / FPS)


def inside(archive: str, endpoint: str, jpeg_endpoint: str, frames: int) -> None:
    """Measure within Blender; prints JSON in the last line."""
    import importlib

    import bpy

    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    parts = {
        name: importlib.import_module(f"bl_ext.user_default.dptstream.{name}") for name in ("live", "compat", "scene")
    }
    live = parts["live"]
    first = _connect(live, endpoint)
    shown = bpy.context.scene.dptstream.shown
    modifier = parts["scene"].live_modifier(shown)
    ticks: list[float] = []
    evaluations: dict[str, list[float]] = {}
    for name, inputs in DISPLAYS.items():
        for key, value in inputs.items():
            parts["compat"].set_input(modifier, key, value)
        times = evaluations.setdefault(name, [])
        for _ in range(frames // len(DISPLAYS)):
            ticks.append(_tick_until_shown(live))
            begin = time.perf_counter()
            bpy.context.view_layer.update()
            times.append((time.perf_counter() - begin) * 1e3)
    result = {
        "blender": bpy.app.version_string,
        "python": platform.python_version(),
        "points": WIDTH * HEIGHT,
        "timer_ms": _summary(ticks),
        "first_frame_ms": round(first, 1),
        "latency_ms": round(live.connection().figures.latency_ms or 0.0, 1),
        "evaluation_ms": {name: _summary(times) for name, times in evaluations.items()},
    }
    _connect(live, jpeg_endpoint)
    result["timer_jpeg_ms"] = _summary([_tick_until_shown(live) for _ in range(frames)])
    bpy.ops.dptstream.disconnect()
    print(json.dumps(result), flush=True)


def _connect(live: Any, endpoint: str) -> float:
    """Connect to another address; return the milliseconds of the timer's call that shows its first frame."""
    import bpy

    live.disconnect()
    bpy.context.scene.dptstream.endpoint = endpoint
    bpy.ops.dptstream.connect()
    return _tick_until_shown(live)


def _tick_until_shown(live: Any) -> float:
    """Call the timer's function until it shows a frame; return the milliseconds it spent on that frame."""
    spent = 0.0
    while True:
        connection = live.connection()
        before, was_busy = connection.figures.count, connection.darkroom.busy
        begin = time.perf_counter()
        live.tick()
        elapsed = (time.perf_counter() - begin) * 1e3
        if connection.darkroom.busy and not was_busy:
            spent += elapsed  # a JPEG is decoded in one call and shown in a later one
        if connection.figures.count > before:
            return spent + elapsed
        time.sleep(0.002)


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "min": round(ordered[0], 2),
        "median": round(statistics.median(ordered), 2),
        "p95": round(ordered[int(0.95 * len(ordered))], 2),
        "max": round(ordered[-1], 2),
    }


def measure(python: str, zips: Path, frames: int) -> dict[str, Any]:
    """Measure one Blender version."""
    code = "import sys, bpy; print('4.2-5.0' if bpy.app.version < (5, 1) else '5.1-on', file=sys.stderr)"
    span = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stderr.split()[-1]
    archive = next(zips.glob(f"*-blender-{span}.zip"))
    words = [sys.executable, __file__, "--publish", str(frames / FPS * 12 + 60)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        ) as sender,
    ):
        try:
            assert sender.stdout is not None
            endpoints = sender.stdout.readline().split()
            command = [python, __file__, "--inside", str(archive), *endpoints, str(frames)]
            environment = os.environ | {"BLENDER_USER_RESOURCES": folder}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=600)
        finally:
            sender.kill()
    result: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines()[::-1] if line.startswith("{")))
    return result


def main() -> None:
    """Measure each version, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="a Python that has bpy; may be repeated")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument("--publish", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish:
        return publish(options.publish)
    if options.inside:
        archive, endpoint, jpeg_endpoint, count = options.inside
        return inside(archive, endpoint, jpeg_endpoint, int(count))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for python in options.python or parser.error("name at least one --python"):
            _build(Path(folder), python)
            results.append(measure(python, Path(folder), options.frames))
            print(json.dumps(results[-1], indent=2), flush=True)
    if options.output is not None:
        machine = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
        }
        options.output.write_text(json.dumps(machine | {"versions": results}, indent=2) + "\n", "utf-8")
    return None


def _build(folder: Path, python: str) -> None:
    if any(folder.glob("*.zip")):
        return
    code = "import importlib.util; print(importlib.util.find_spec('bpy').submodule_search_locations[0])"
    package = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    tool = next(Path(package).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    system = {"linux": "linux-x64", "darwin": "macos-arm64", "win32": "windows-x64"}[sys.platform]
    build = [sys.executable, str(ROOT / "blender_addon/build.py"), f"--output={folder}", f"--blender-ext={tool}"]
    subprocess.run([*build, f"--platform={system}"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
