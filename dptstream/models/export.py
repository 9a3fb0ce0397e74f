"""Networks as ONNX files: written, run by ONNX Runtime, and kept only if that gives the same depth."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DptStreamError, MissingExtraError
from .network import NetworkModel
from .probe import difference, probe_picture
from .quiet import quiet

INPUT, OUTPUT = "images", "depth"
TOLERANCE = 1e-3
"""Largest difference to PyTorch, in standard deviations of the depth, with which a file is kept."""

NEEDED = ("onnx", "onnxruntime", "onnxscript")

_LARGEST_SINGLE_FILE = 1_900_000_000
"""Bytes of weights from which they go into a file of their own: a protobuf message ends at 2 GiB."""

_LONGEST_SIDE = 16384

_FIXED_SIZE_FAMILIES = {
    "midas_beit": "its position bias is a table that belongs to one size",
    "midas_swinv2": "its windows, masks and position bias belong to one size",
}


@dataclass(frozen=True, slots=True)
class OnnxExport:
    """A file that was written and checked."""

    path: Path
    """The ONNX file."""
    data_path: Path | None
    """The file beside it that holds the weights of a very large network; the two stay together."""
    sizes_hw: tuple[tuple[int, int], ...]
    """Sizes it was checked at, the one it was made for first."""
    error: float
    """Largest difference to PyTorch over all of them, in standard deviations of the depth."""


def export_onnx(
    model: NetworkModel,
    path: Path,
    size_hw: tuple[int, int],
    *,
    dynamic: bool = False,
    overwrite: bool = False,
    tolerance: float = TOLERANCE,
) -> OnnxExport:
    """Write a float32 network that takes one normalised picture, (1, 3, H, W), and gives its depth, (1, H, W).

    The file is made and checked beside its place and moved there last, so a failure leaves nothing and keeps what was there.

    Args:
        model: A model on the CPU, in float32.
        path: Where the file goes.
        size_hw: Height and width of the input, multiples of what the network needs.
        dynamic: Let height and width be any such multiples.
        overwrite: Replace a file that is there.
        tolerance: Largest difference to PyTorch allowed, in standard deviations of the depth.

    Raises:
        MissingExtraError: The packages for it are not installed.
        ValueError: The network cannot be exported this way, or the file exists.
        DptStreamError: The exported network gives other depths.
    """
    check_exportable(model, size_hw, dynamic=dynamic)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f'ONNX export needs {", ".join(missing)}: pip install "dptstream[export]"')
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give --overwrite to replace it, or another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        sizes_hw = _checked_sizes(size_hw, model.info.size_multiple) if dynamic else (size_hw,)
        _write(model, made, size_hw, dynamic=dynamic)
        error = max(_difference(model.network, made, checked_hw) for checked_hw in sizes_hw)
        if not error <= tolerance:  # a NaN is refused as well
            raise DptStreamError(
                f"the exported network differs from PyTorch by {error:.2g} standard deviations of the depth, more than the "
                f"{tolerance:g} allowed; {path.name} was not kept"
            )
        data = _data_file(made)
        data_path = path.with_name(data.name) if data.exists() else None
        if data_path is not None:
            os.replace(data, data_path)
        os.replace(made, path)
    return OnnxExport(path, data_path, sizes_hw, error)


def check_exportable(model: NetworkModel, size_hw: tuple[int, int], *, dynamic: bool) -> None:
    """Raise ValueError with the reason where a network cannot be exported for a size, or for all sizes."""
    info = model.info
    if model.dtype != torch.float32 or model.device.type != "cpu":
        raise ValueError(f"the model is {model.dtype} on {model.device}; load it as float32 on the CPU to export it")
    if info.temporal:
        raise ValueError(
            f"{info.name} is a video network: its depth depends on earlier frames, and an ONNX graph remembers none. "
            "Export a picture network, such as depth-anything-v2-small"
        )
    if dynamic and info.family in _FIXED_SIZE_FAMILIES:
        raise ValueError(
            f"{info.name} cannot be exported for all sizes: {_FIXED_SIZE_FAMILIES[info.family]}. "
            "Leave --dynamic out and export one file a size"
        )
    multiple = info.size_multiple
    if any(side < multiple or side % multiple for side in size_hw):
        raise ValueError(
            f"size {size_hw[0]}x{size_hw[1]} does not suit {info.name}: both sides must be positive multiples of {multiple}"
        )


def metadata(model: NetworkModel, size_hw: tuple[int, int], *, dynamic: bool) -> dict[str, str]:
    """Return what a user of the file has to know, as ONNX keeps it: text by name."""
    info = model.info
    multiple = info.size_multiple
    rule = f"height and width are multiples of {multiple}" if dynamic else f"height {size_hw[0]}, width {size_hw[1]}"
    facts: dict[str, object] = {
        **info.as_record(),
        "input": f"{INPUT}: (1, 3, H, W) float32 RGB in 0..1, minus image_mean, divided by image_std; {rule}",
        "output": f"{OUTPUT}: (1, H, W) float32, larger is {'nearer' if info.kind.larger_is_nearer else 'farther'}",
        "size_hw": None if dynamic else list(size_hw),
        "generator": f"dptstream {version('dptstream')}",
    }
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}


def _write(model: NetworkModel, path: Path, size_hw: tuple[int, int], *, dynamic: bool) -> None:
    multiple = model.info.size_multiple
    shapes, traced_hw = None, size_hw
    if dynamic:
        rows, columns = (torch.export.Dim(name, min=2, max=_LONGEST_SIDE // multiple) for name in ("rows", "columns"))
        shapes = ({2: multiple * rows, 3: multiple * columns},)
        traced_hw = (4 * multiple, 6 * multiple)  # two equal sides, or the trained size, could be taken for constants
    with torch.no_grad(), quiet("torch.onnx", "onnxscript", "onnx_ir"):
        program: Any = torch.onnx.export(
            model.network,
            (probe_picture(traced_hw),),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
        program.model.metadata_props.update(metadata(model, size_hw, dynamic=dynamic))
        weight_bytes = sum(weight.numel() * weight.itemsize for weight in model.network.parameters())
        program.save(path, external_data=weight_bytes > _LARGEST_SINGLE_FILE)


def _difference(network: nn.Module, path: Path, size_hw: tuple[int, int]) -> float:
    """Run a picture through both; return the largest difference in standard deviations of the depth."""
    import onnxruntime

    image_1chw = probe_picture(size_hw)
    with torch.no_grad():
        expected_1hw: Tensor = network(image_1chw)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    actual_1hw = torch.from_numpy(session.run([OUTPUT], {INPUT: image_1chw.numpy()})[0])
    return difference(actual_1hw, expected_1hw).largest


def _checked_sizes(size_hw: tuple[int, int], multiple: int) -> tuple[tuple[int, int], ...]:
    """Return the wanted size, a square and a wide one that it was not made for."""
    return (size_hw, (4 * multiple, 4 * multiple), (2 * multiple, 7 * multiple))


def _data_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")
