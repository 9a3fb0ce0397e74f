"""Every family with and without each runtime, in one table: the smallest network of each, seeded weights, modest size.

    python benchmarks/families.py [--rounds 5] [--size 256] [--only tiny vits] [--name MACHINE]

CPU time of a picture on one thread, interleaved, and the mean difference to PyTorch's float32 in standard deviations of
the depth. On a machine with CUDA the GPU's time a picture in float32 and float16 stands beside it.
"""

import argparse
import gc
import statistics

import torch
from rich.console import Console
from rich.table import Table
from shared import cpu_ms, interleaved, machine, median_ratio, say, seed, torch_threads, write
from torch import nn

from dptstream.models import depth_anything, dpt_tiny, midas_beit, midas_swinv2, midas_vit
from dptstream.models.openvino_graph import Program, convert, runs_bfloat16
from dptstream.models.probe import difference, probe_picture
from dptstream.models.runtime import TOLERANCES

NETWORKS = {
    "tiny (dpt_tiny)": lambda: dpt_tiny.Model(dpt_tiny.Config.tiny()),
    "Depth Anything V2 ViT-S": lambda: depth_anything.Model(depth_anything.Config.vits("v2")),
    "Depth Anything V3 of ViT-S size": lambda: depth_anything.Model(depth_anything.Config.vits("v3-mono")),
    "Video Depth Anything ViT-S": lambda: depth_anything.Model(depth_anything.Config.vits("video")),
    "MiDaS SwinV2-T": lambda: midas_swinv2.Model(midas_swinv2.Config.tiny_256()),
    "MiDaS BEiT-B": lambda: midas_beit.Model(midas_beit.Config.base_384()),
    "DPT hybrid": lambda: midas_vit.Model(midas_vit.Config.hybrid_384()),
    "DPT large": lambda: midas_vit.Model(midas_vit.Config.large_384()),
}


def network_size_hw(config, size: int) -> tuple[int, int]:
    """About size x 16/9 size; a square where the family is made for one."""
    multiple = config.size_multiple
    if config.resize_method == "stretch":
        return (config.base_size, config.base_size)
    return round(size / multiple) * multiple, round(size * 16 / 9 / multiple) * multiple


@torch.inference_mode()
def measure(name: str, size: int, rounds: int) -> dict[str, object]:
    network = seed(NETWORKS[name]())
    head = network.head
    nn.init.ones_(head.predict.bias if hasattr(head, "predict") else head.depth.conv_3.bias)
    if getattr(head, "sky", None) is not None:
        nn.init.constant_(head.sky.conv_3.bias, -5)  # no sky: where it is would be a matter of rounding
    size_hw = network_size_hw(network.config, size)
    image = probe_picture(size_hw)
    half = NETWORKS[name]().eval().requires_grad_(False)
    half.load_state_dict(network.state_dict())
    half = half.to(torch.bfloat16).to(memory_format=torch.channels_last)
    half_image = image.bfloat16().to(memory_format=torch.channels_last)
    ways = {"PyTorch float32": lambda: network(image), "PyTorch bfloat16": lambda: half(half_image).float()}
    # Video networks stay with PyTorch, and so does the hybrid, on which OpenVINO's compiler crashes.
    if not (getattr(network.config, "has_temporal_head", False) or getattr(network.config, "is_hybrid", False)):
        graph = convert(network, size_hw)
        for precision in ("float32", "bfloat16") if runs_bfloat16() else ("float32",):
            program = Program(network, graph, precision, lanes=1, threads=1)
            ways[f"OpenVINO {precision}"] = lambda program=program: program(image)
    with torch_threads(1):
        times = interleaved(ways, rounds, cpu_ms)
        expected = ways["PyTorch float32"]()
        errors = {way: difference(work(), expected).mean for way, work in ways.items()}
    gpu = measure_gpu(network, image, rounds) if torch.cuda.is_available() else {}
    return {
        "size_hw": size_hw,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "cpu_ms": {way: statistics.median(spent) for way, spent in times.items()},
        "times_as_fast": {way: median_ratio(times["PyTorch float32"], spent) for way, spent in times.items()},
        "mean_error": errors,
        "within_tolerance": all(error <= TOLERANCES[way.split()[1]] for way, error in errors.items() if "Open" in way),
        **gpu,
    }


def measure_gpu(network: nn.Module, image: torch.Tensor, rounds: int) -> dict[str, object]:
    """GPU milliseconds a picture, by events."""
    found = {}
    for dtype in (torch.float32, torch.float16):
        moved, picture = network.to("cuda", dtype), image.to("cuda", dtype)
        spent = []
        for _ in range(3 + 4 * rounds):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            moved(picture)
            end.record()
            end.synchronize()
            spent.append(start.elapsed_time(end))
        found[f"eager {dtype}".replace("torch.", "")] = statistics.median(spent[3:])
    return {"gpu_ms": found}


def show(results: dict[str, dict[str, object]]) -> None:
    ways = ("PyTorch float32", "PyTorch bfloat16", "OpenVINO float32", "OpenVINO bfloat16")
    table = Table("network", "size", *ways, "error of the last")
    for name, figures in results.items():
        cells = []
        for way in ways:
            if way not in figures["cpu_ms"]:
                cells.append("-")
                continue
            cells.append(f"{figures['cpu_ms'][way]:.0f} ms ({figures['times_as_fast'][way]:.1f}x)")
        last = list(figures["mean_error"])[-1]
        height, width = figures["size_hw"]
        table.add_row(name, f"{height}x{width}", *cells, f"{figures['mean_error'][last]:.3f}")
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="about the shorter side, pixels")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--name", default="this_machine", help="the results' file is families_NAME.json")
    arguments = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    for name in NETWORKS:
        if arguments.only and not any(part.lower() in name.lower() for part in arguments.only):
            continue
        say(name)
        results[name] = measure(name, arguments.size, arguments.rounds)
        gc.collect()
    write(f"families_{arguments.name}", {**machine(), "families": results})
    show(results)


if __name__ == "__main__":
    main()
