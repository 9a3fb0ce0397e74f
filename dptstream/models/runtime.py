"""What runs a network: torch itself, or OpenVINO. Imports neither."""

import importlib.util
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from .base import DepthModel, ModelInfo

RuntimeName = Literal["torch", "openvino"]
RuntimeChoice = Literal["auto", "torch", "openvino"]

RUNTIME_VARIABLE = "DPTSTREAM_RUNTIME"

TOLERANCES = {"float32": 1e-3, "bfloat16": 0.04}
"""Mean difference to torch's float32, in standard deviations of the depth, from which on a precision is refused."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a network, and why."""

    name: RuntimeName
    """Which."""
    precision: str
    """Precision of the work inside, as torch names it."""
    version: str = ""
    """The runtime's version."""
    why: str = ""
    """What decided it, in words for a status line."""

    @property
    def words(self) -> str:
        """The runtime in words: name, version, precision and reason."""
        name = {"torch": "PyTorch", "openvino": "OpenVINO"}[self.name]
        reason = f" ({self.why})" if self.why else ""
        return f"{' '.join(part for part in (name, self.version) if part)}, {self.precision}{reason}"


def runtime_of(model: "DepthModel") -> Runtime:
    """Return what runs a model; where that depends on the size, what runs the size met last."""
    found = getattr(model, "runtime", None)
    if isinstance(found, Runtime):
        return found
    inner: DepthModel | None = getattr(
        model, "model", None
    )  # what tiles pictures or serves several feeds wraps another
    return torch_runtime(model.info, model.device, model.dtype) if inner is None else runtime_of(inner)


def torch_runtime(info: "ModelInfo", device: "torch.device", dtype: "torch.dtype") -> Runtime:
    """Return torch as the runtime, and why it is where another one might be expected."""
    why = ""
    if device.type == "cpu" and info.temporal:
        why = "video networks run in PyTorch: they remember frames"
    elif device.type == "cpu" and not has_openvino():
        why = 'pip install "dptstream[openvino]" would be faster'
    return Runtime("torch", str(dtype).removeprefix("torch."), why=why)


def prepare(model: "DepthModel", input_hw: tuple[int, int]) -> Runtime:
    """Get a model ready for pictures of a size ahead of the first one, and return what runs it.

    Args:
        model: Any model; one that torch runs is ready as it is.
        input_hw: What ``model.input_size_hw`` gives for the pictures.

    Raises:
        DptStreamError: OpenVINO was asked for and cannot run the network.
    """
    get_ready = getattr(model, "prepare", None)
    if get_ready is not None:
        get_ready(input_hw)
    return runtime_of(model)


def wanted_runtime(choice: RuntimeChoice) -> RuntimeChoice:
    """Return the choice, for ``auto`` what ``$DPTSTREAM_RUNTIME`` says where it says anything.

    Raises:
        ValueError: The variable holds something else.
    """
    said = os.environ.get(RUNTIME_VARIABLE)
    if choice != "auto" or not said:
        return choice
    choices: tuple[RuntimeChoice, ...] = ("auto", "torch", "openvino")
    for known in choices:
        if said == known:
            return known
    raise ValueError(f"${RUNTIME_VARIABLE} is {said!r}; allowed: auto, torch, openvino")


def has_openvino() -> bool:
    """Return whether OpenVINO is installed; does not import it."""
    return importlib.util.find_spec("openvino") is not None
