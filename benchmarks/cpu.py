"""The CPU: a ViT-S Depth Anything in dptstream against float32 eager PyTorch of transformers, on the same weights.

    python benchmarks/cpu.py [--rounds 9] [--sizes 252x448 518x924] [--frames 40] [--name MACHINE]

Both run interleaved, and ratios are of neighbours in time. Three ways to look at the network: CPU time of a picture on
one thread, which other work on the machine disturbs least; wall time of one picture with all threads (live); pictures a
second with all threads (convert: one picture a thread). Then whole runs of convert against their bound.
"""

import argparse
import statistics
import tempfile
import threading
from pathlib import Path

import torch
from shared import cpu_ms, interleaved, machine, median_ratio, say, seed, torch_threads, wall_ms, write

from dptstream.cli.convert import OutputFlags
from dptstream.engine.bench import Workload, run_bench
from dptstream.engine.device import cpu_count
from dptstream.models import load_model
from dptstream.models.probe import difference, probe_picture
from dptstream.models.runtime import prepare
from dptstream.sinks import DepthFolder
from dptstream.sources import open_source
from dptstream.temporal import SceneCutDetector, TemporalConfig

CLIP = Path(__file__).parents[1] / "examples" / "media" / "big_buck_bunny.mp4"


def their_network(folder: Path):
    """ViT-S in transformers with seeded weights, saved to ``folder``."""
    import transformers

    backbone = transformers.Dinov2Config(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        out_indices=[3, 6, 9, 12],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=384,
        neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64,
        head_hidden_size=32,
    )
    network = seed(transformers.DepthAnythingForDepthEstimation(config))
    torch.nn.init.constant_(network.head.conv3.bias, 5)
    network.save_pretrained(folder)
    return network


def side_by_side(work, pictures_each: int) -> None:
    """Run one picture a thread on every core, as convert does."""

    def lane() -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for _ in range(pictures_each):
                work()

    lanes = [threading.Thread(target=lane) for _ in range(cpu_count())]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()


@torch.inference_mode()
def compare(theirs, folder: Path, size_hw: tuple[int, int], rounds: int) -> dict[str, object]:
    image = probe_picture(size_hw)
    torch_model = load_model(folder, variant="v2")
    fast = load_model(folder, variant="v2", runtime="openvino")
    exact = load_model(folder, variant="v2", runtime="openvino", dtype=torch.float32)
    say(prepare(fast, size_hw).words)
    prepare(exact, size_hw)
    ways = {
        "transformers": lambda: theirs(image).predicted_depth,
        "dptstream, PyTorch float32": lambda: torch_model(image),
        "dptstream, OpenVINO float32": lambda: exact(image),
        f"dptstream, OpenVINO {fast.runtime.precision}": lambda: fast(image),
    }
    ours = list(ways)[-1]
    with torch_threads(1):
        on_one_core = interleaved(ways, rounds, cpu_ms)
    one_picture = interleaved({name: ways[name] for name in ("transformers", ours)}, rounds, wall_ms)
    count = 4
    both_ways = {
        "transformers": lambda: [ways["transformers"]() for _ in range(count * cpu_count())],
        ours: lambda: side_by_side(ways[ours], count),
    }
    many = interleaved(both_ways, max(3, rounds // 3), wall_ms)
    expected = ways["dptstream, PyTorch float32"]()
    result = {
        "cpu_ms_one_thread": {name: statistics.median(times) for name, times in on_one_core.items()},
        "wall_ms_all_threads": {name: statistics.median(times) for name, times in one_picture.items()},
        "pictures_a_second": {
            name: count * cpu_count() * 1000 / statistics.median(times) for name, times in many.items()
        },
        "times_as_fast": {
            "CPU time, one thread": median_ratio(on_one_core["transformers"], on_one_core[ours]),
            "one picture, all threads": median_ratio(one_picture["transformers"], one_picture[ours]),
            "many pictures, all threads": median_ratio(many["transformers"], many[ours]),
        },
        "mean_error_in_standard_deviations": {
            name: difference(work(), expected).mean for name, work in ways.items() if name.startswith("dptstream")
        },
    }
    for name, times in result["times_as_fast"].items():
        say(f"  {name}: {times:.2f} times as fast as transformers")
    return result


def whole_runs(folder: Path, size_hw: tuple[int, int], frames: int, rounds: int) -> dict[str, object]:
    model = load_model(folder, variant="v2", runtime="openvino")
    prepare(model, size_hw)
    with tempfile.TemporaryDirectory() as parent:
        places = (Path(parent) / f"run{number}" for number in range(1000))
        workload = Workload(
            open_source=lambda: open_source(str(CLIP)),
            model=model,
            make_sink=lambda: DepthFolder(OutputFlags(format=("exr",)).options(next(places))),
            make_cut_detector=SceneCutDetector,
            temporal=TemporalConfig(),
            size=min(size_hw),
            frames=frames,
            endurance_frames=0,
        )
        report = run_bench(workload, rounds=rounds, say=say)
    say(f"  end to end {report.end_to_end_fps:.2f} frames/s, {report.ratio_to_bound:.3f} of the bound")
    return {
        "stage_cpu_ms": {stage: cost.cpu_ms for stage, cost in report.stages.items()},
        "network_fps": report.model_fps,
        "end_to_end_fps": report.pipelined_fps,
        "bound_fps": report.bound_fps,
        "end_to_end_to_bound": report.ratio_to_bound,
        "gain_of_the_pipeline": report.pipeline_gain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--sizes", nargs="+", default=["252x448", "518x924"], help="HxW, multiples of 14, of a 16:9 picture"
    )
    parser.add_argument("--frames", type=int, default=40, help="frames of a whole run; 0 leaves them out")
    parser.add_argument("--name", default="this_machine", help="the results' file is cpu_NAME.json")
    arguments = parser.parse_args()
    results: dict[str, object] = {**machine(), "weights": "seeded ViT-S", "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as place:
        theirs = their_network(Path(place))
        for text in arguments.sizes:
            height, width = (int(side) for side in text.split("x"))
            say(text)
            figures = compare(theirs, Path(place), (height, width), arguments.rounds)
            if arguments.frames:
                figures["convert"] = whole_runs(
                    Path(place), (height, width), arguments.frames, max(1, arguments.rounds // 3)
                )
            results[text] = figures
    write(f"cpu_{arguments.name}", results)


if __name__ == "__main__":
    main()
