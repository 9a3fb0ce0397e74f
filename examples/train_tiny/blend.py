"""Average two checkpoints of one network: what a longer run learned, with what it forgot of other pictures.

A run that goes on from shipped weights gets better at rendered scenes and may get worse at photographs. On the
line between the two lie weights that have most of both (Wortsman et al., "Robust fine-tuning of zero-shot
models", 2022).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .evaluate import read_weights


def blend(older: Mapping[str, Tensor], newer: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return float32 weights ``share`` of the way from the older to the newer; counters are the newer's.

    Raises:
        ValueError: The share lies outside 0..1, or the two are not of one network.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"the share of the newer weights lies in 0..1; got {share:g}")
    shapes = [{key: value.shape for key, value in weights.items()} for weights in (older, newer)]
    if shapes[0] != shapes[1]:
        raise ValueError("only checkpoints of one network, with the same keys and shapes, can be averaged")
    return {
        key: torch.lerp(older[key].float(), value.float(), share) if value.is_floating_point() else value
        for key, value in newer.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("older", type=Path, help="safetensors, or a training state")
    parser.add_argument("newer", type=Path, help="safetensors, or a training state")
    parser.add_argument("target", type=Path, help="a state that evaluate, sheet and export take")
    parser.add_argument("--share", type=float, default=0.35, help="of the newer weights")
    options = parser.parse_args()
    torch.save(
        {"average": blend(read_weights(options.older), read_weights(options.newer), options.share)}, options.target
    )


if __name__ == "__main__":
    main()
