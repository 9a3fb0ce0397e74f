"""Start-up: how long until the help is there, and until the bundled model has given its first depth.

    python benchmarks/startup.py [--rounds 5] [--name MACHINE]

Every figure is that of a new process, from its start to its end, in which a picture is converted to one file. OpenVINO's
graph is made once a size and kept; that first time stands apart.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shared import machine, say, write

SCENE = "synthetic:width=640,height=360,frames=1"


def timed(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run dptstream in a new process; return its wall and CPU time, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "dptstream", *arguments],
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="this_machine", help="the results' file is startup_NAME.json")
    arguments = parser.parse_args()
    results: dict[str, object] = {**machine(), "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as place:
        runs = iter(range(1000))

        def convert(*flags: str) -> list[str]:
            output = str(Path(place) / f"run{next(runs)}")
            return ["convert", SCENE, "-o", output, "--model", "tiny", "--format", "npy", *flags]

        kept = {"DPTSTREAM_CACHE": str(Path(place) / "cache")}
        ways = {
            "--help": lambda: timed(["--help"], kept),
            "first depth, PyTorch": lambda: timed(convert("--runtime", "torch"), kept),
            "first depth, OpenVINO, graph made by this run": lambda: timed(
                convert("--runtime", "openvino"), {"DPTSTREAM_CACHE": str(Path(place) / f"new{next(runs)}")}
            ),
            "first depth, OpenVINO, graph kept by an earlier run": lambda: timed(
                convert("--runtime", "openvino"), kept
            ),
        }
        timed(convert("--runtime", "openvino"), kept)
        for name, way in ways.items():
            times = [way() for _ in range(arguments.rounds)]
            wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
            results[name] = {"wall_seconds": wall, "cpu_seconds": cpu, "least_wall_seconds": min(times)[0]}
            say(f"{name}: {wall:.2f} s, of which {cpu:.2f} s CPU")
    write(f"startup_{arguments.name}", results)


if __name__ == "__main__":
    main()
