"""Figures of ``dptstream convert`` for the bundled clip and a 1080p clip, with the pipeline on and off.

    python benchmarks/convert.py [--model tiny] [--frames 60] [--rounds 5] [--runtime auto] [--name MACHINE]

The 1080p clip is made on the spot: the synthetic room, H.264 (libx264, veryfast, crf 20). The protocol is that of
``dptstream bench``, which this calls; run it on a machine that does nothing else.
"""

import argparse
import tempfile
from pathlib import Path

import av
from shared import machine, say, write

from dptstream.cli.bench import Bench, measure
from dptstream.cli.flags import ModelFlags
from dptstream.sources import open_source

BUNDLED = Path(__file__).parents[1] / "examples" / "media" / "big_buck_bunny.mp4"


def make_1080p_clip(path: Path, frames: int) -> None:
    with (
        open_source(f"synthetic:width=1920,height=1080,frames={frames}") as source,
        av.open(str(path), "w") as container,
    ):
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for frame in source:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", default="auto", choices=("auto", "torch", "openvino"))
    parser.add_argument("--compare", action="store_true", help="run the usual loop beside it")
    parser.add_argument("--name", default="this_machine", help="the results' file is convert_MODEL_NAME.json")
    arguments = parser.parse_args()
    results: dict[str, object] = machine()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "room_1080p.mp4"
        make_1080p_clip(clip, arguments.frames)
        for name, location in (("bundled clip, 640x360", BUNDLED), ("synthetic room, 1920x1080", clip)):
            say(name)
            bench = Bench(
                input=str(location),
                frames=arguments.frames,
                rounds=arguments.rounds,
                compare=arguments.compare,
                network=ModelFlags(model=arguments.model, runtime=arguments.runtime),
            )
            results[name] = {**measure(bench), "input": name}
    write(f"convert_{Path(arguments.model).stem}_{arguments.name}", results)


if __name__ == "__main__":
    main()
