"""Write a training state's averaged weights as the half-precision checkpoint that ships, with what is known of it."""

import argparse
import json
import subprocess
from pathlib import Path

import torch
from safetensors.torch import save_file

from dptstream.models import dpt_tiny

LICENSE = "Apache-2.0"
DATA = (
    "procedural scenes of examples/train_tiny alone: ray-cast streets, fields, rooms, tables, portraits and jumbles with "
    "exact depth; no photograph, no pretrained network, no teacher"
)


def export(state: Path, target: Path, *, recipe: str, measurements: Path | None = None) -> None:
    """Write the checkpoint; raise ValueError where a weight is not finite in half precision.

    Args:
        state: What train.py saved.
        target: The safetensors file.
        recipe: A sentence on how it was trained: hardware, time, samples.
        measurements: The JSON of evaluate.py, kept inside the file.
    """
    weights = torch.load(state, map_location="cpu", weights_only=True)["average"]
    half = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    broken = [key for key, value in half.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"{state} cannot be exported: not finite in half precision: {', '.join(broken[:3])}")
    config = dpt_tiny.config_from_shapes({key: tuple(value.shape) for key, value in half.items()})
    metadata = {
        "family": "dpt_tiny",
        "depth_kind": "relative_inverse",
        "base_size": str(config.base_size),
        "size_multiple": str(config.size_multiple),
        "image_mean": json.dumps(config.image_mean),
        "image_std": json.dumps(config.image_std),
        "data": DATA,
        "recipe": recipe,
        "commit": _commit(),
        "metrics": measurements.read_text(encoding="utf-8") if measurements else "{}",
        "license": LICENSE,
    }
    save_file({key: value.contiguous() for key, value in half.items()}, target, metadata=metadata)


def _commit() -> str:
    """Return the commit that the code stands at, or unknown outside a repository."""
    result = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return result.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--measurements", type=Path)
    options = parser.parse_args()
    export(options.state, options.target, recipe=options.recipe, measurements=options.measurements)


if __name__ == "__main__":
    main()
