"""From a name or a file to a running ``DepthModel``: find, read, recognise, convert, load strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import CheckpointError, DeviceError, MissingExtraError
from ..frames import OutputResize
from ..geometry import DepthKind
from . import catalog
from .base import ModelInfo
from .catalog import Entry
from .http_file import OnProgress
from .network import NetworkModel
from .preprocess import AS_AUTHORS, Preprocessing
from .recognise import Evidence, Recognition, recognise
from .runtime import RuntimeChoice, has_openvino
from .store import Store
from .weights import WEIGHT_ENDINGS, Checkpoint, find_weights, read_checkpoint

SHOWN_KEYS = 3


def load(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    runtime: RuntimeChoice = "torch",
    meanwhile: bool = False,
    variant: str | None = None,
    preprocessing: Preprocessing = AS_AUTHORS,
    accept_license: bool = False,
    on_progress: OnProgress | None = None,
) -> NetworkModel:
    """Load a model; see ``dptstream.models.load_model``."""
    path, entry = find_checkpoint(name_or_path, accept_license=accept_license, on_progress=on_progress)
    checkpoint = read_checkpoint(path)
    if entry and entry.sha256 and checkpoint.sha256 != entry.sha256:
        raise CheckpointError(
            f"{path.name} is not the published {entry.name} (SHA-256 {checkpoint.sha256[:16]}...): it was damaged or "
            f"replaced here; run dptstream models remove {entry.name} and download it again"
        )
    known = catalog.by_sha256(checkpoint.sha256)
    evidence = Evidence(
        path,
        option=variant,
        by_sha256=known.variant if known else None,
        by_catalog=entry.variant if entry else None,
    )
    recognition = recognise(checkpoint.shapes, evidence)
    network = build_network(recognition, checkpoint)
    info = describe(recognition, checkpoint, network, entry)
    crashing = bool(getattr(network.config, "is_hybrid", False))
    precisions = (
        () if crashing and runtime == "auto" else openvino_precisions(info, torch.device(device), dtype, runtime)
    )
    if crashing and precisions:
        raise ValueError(f"OpenVINO's compiler crashes on {info.name}; leave --runtime to auto or torch")
    placed = place(network, device, torch.float32 if precisions else dtype or torch.float32)
    runner = with_openvino(placed, precisions, checkpoint.sha256, runtime, meanwhile=meanwhile)
    return NetworkModel(runner, info, preprocessing)


def openvino_precisions(
    info: ModelInfo, device: torch.device, dtype: torch.dtype | None, runtime: RuntimeChoice
) -> tuple[str, ...]:
    """Return the precisions in which OpenVINO may run a network, best first; none where torch shall.

    Raises:
        MissingExtraError: OpenVINO was asked for and is not installed.
        ValueError: It was asked for and cannot run this.
    """
    faults = [
        f"it runs on the CPU, not on {device.type}: add --device cpu" if device.type != "cpu" else "",
        f"{info.name} is a video network, which remembers frames" if info.temporal else "",
        "on the CPU it runs float32 or bfloat16" if dtype == torch.float16 else "",
    ]
    fault = next(filter(None, faults), None)
    if runtime == "torch" or (runtime == "auto" and (fault or not has_openvino())):
        return ()
    if fault:
        raise ValueError(f"OpenVINO cannot run this, as {fault}; or leave --runtime to auto or torch")
    if not has_openvino():
        raise MissingExtraError('OpenVINO is not installed: pip install "dptstream[openvino]"')
    from .openvino_graph import runs_bfloat16

    if dtype == torch.bfloat16 and not runs_bfloat16() and runtime == "openvino":
        raise ValueError("this processor has no bfloat16; use --precision auto or float32 with OpenVINO")
    wanted = ("float32",) if dtype == torch.float32 else ("bfloat16",) if dtype else ("bfloat16", "float32")
    return wanted if runs_bfloat16() else tuple(name for name in wanted if name == "float32")


def with_openvino(
    network: nn.Module,
    precisions: tuple[str, ...],
    fingerprint: str,
    runtime: RuntimeChoice,
    *,
    meanwhile: bool = False,
) -> nn.Module:
    """Let OpenVINO run a network in one of ``precisions``; without any, return the network itself."""
    if not precisions or runtime == "torch":
        return network
    from .openvino_network import OpenVinoNetwork, Plan

    return OpenVinoNetwork(network, Plan(runtime, precisions, fingerprint, meanwhile=meanwhile)).eval()


def find_checkpoint(
    name_or_path: str | Path, *, accept_license: bool = False, on_progress: OnProgress | None = None
) -> tuple[Path, Entry | None]:
    """Return the file that a name or a path means, and the catalog's entry where it is a name.

    Raises:
        CheckpointError: There is no such file and no such name, or it cannot be fetched.
    """
    path = Path(name_or_path).expanduser()
    text = str(name_or_path)
    entry = None if isinstance(name_or_path, Path) or _looks_like_path(text) else catalog.lookup(text)
    if entry:
        return Store.from_environment().fetch(entry, accept_license=accept_license, on_progress=on_progress), entry
    if path.is_dir():
        return find_weights(path), None
    if not path.exists():
        if _looks_like_path(text):
            raise CheckpointError(f"no file {path}; give a checkpoint or a name that dptstream models list shows")
        raise CheckpointError(catalog.unknown_name(text))
    return path, None


def build_network(recognition: Recognition, checkpoint: Checkpoint) -> nn.Module:
    """Make the network and fill it strictly: every weight once, none missing, none left over.

    Raises:
        CheckpointError: The file's entries are not the network's.
    """
    name = checkpoint.path.name
    try:
        converted = recognition.module.convert(checkpoint.state_dict)
        with _WithoutRandomWeights():
            network = recognition.module.Model(recognition.config)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"{name} cannot be read as {recognition.family}: {' '.join(str(error).split())}"
        ) from error
    _check_entries({key: tensor.shape for key, tensor in network.state_dict().items()}, converted, recognition, name)
    network.load_state_dict(converted)
    return network.eval().requires_grad_(False)


def describe(recognition: Recognition, checkpoint: Checkpoint, network: nn.Module, entry: Entry | None) -> ModelInfo:
    """Put together what is known of a loaded model."""
    config, decided_by = recognition.config, dict(recognition.decided_by)
    temporal = bool(getattr(config, "has_temporal_head", False))
    focal_px: float | None = getattr(config, "canonical_focal_px", None)
    known = catalog.by_sha256(checkpoint.sha256)
    named = catalog.by_file_name(checkpoint.path.name)
    license_name, decided_by["license"] = next(
        (
            (text, witness)
            for text, witness in (
                (known.license if known else None, "sha256"),
                (entry.license if entry else None, "catalog"),
                (checkpoint.metadata.get("license"), "file"),
                (named.license if named and named.family == recognition.family else None, "name"),
            )
            if text
        ),
        ("unknown", "default"),
    )
    return ModelInfo(
        name=entry.name if entry else known.name if known else checkpoint.path.stem,
        family=recognition.family,
        variant=recognition.variant,
        # What needs a focal length to be metres is not metric until ``with_field_of_view`` gives one.
        kind=recognition.kind if focal_px is None else DepthKind.RELATIVE,
        parameters=sum(weight.numel() for weight in network.parameters()),
        size_multiple=config.size_multiple,
        base_size=config.base_size,
        resize_method=config.resize_method,
        image_mean=config.image_mean,
        image_std=config.image_std,
        output_resize=_output_resize(recognition),
        file=checkpoint.path.name,
        sha256=checkpoint.sha256,
        license=license_name,
        max_depth=getattr(config, "max_depth", None),
        narrow_beyond=1.78 if temporal else None,
        canonical_focal_px=focal_px,
        temporal=temporal,
        decided_by=decided_by,
    )


def place(network: nn.Module, device: str | torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a network to a device and convert its weights.

    Raises:
        DeviceError: The device is absent or too small.
    """
    wanted = torch.device(device)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"device {device} was asked for, but torch {torch.__version__} finds no CUDA device here; use cpu"
        )
    try:
        if wanted.type == "cpu" and dtype == torch.bfloat16:
            # A tenth faster so, with the same depth; in float32 it wins nothing.
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.to(device=wanted, dtype=dtype)
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"the weights do not fit on {device}: {' '.join(str(error).split())[:120]}") from error
    except RuntimeError as error:
        raise DeviceError(f"device {device} cannot be used: {' '.join(str(error).split())[:120]}") from error


def _output_resize(recognition: Recognition) -> OutputResize:
    if recognition.family.startswith("midas"):
        return "bicubic"
    return "bilinear_corners" if getattr(recognition.config, "output_align_corners", False) else "bilinear"


def _looks_like_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.endswith(WEIGHT_ENDINGS)


def _check_entries(
    expected: dict[str, torch.Size], converted: dict[str, Tensor], recognition: Recognition, name: str
) -> None:
    missing = [key for key in expected if key not in converted]
    left_over = [key for key in converted if key not in expected]
    wrong = [key for key, shape in expected.items() if key in converted and converted[key].shape != shape]
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:SHOWN_KEYS])}{', ...' if len(keys) > SHOWN_KEYS else ''})"
        for keys, what in ((missing, "missing"), (left_over, "left over"), (wrong, "of another shape"))
        if keys
    ]
    if faults:
        raise CheckpointError(
            f"{name} is not a whole {recognition.family} checkpoint: of {len(expected)} entries {'; '.join(faults)}"
        )


_RANDOM_FILLS = {
    Tensor.uniform_,
    Tensor.normal_,
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.kaiming_uniform_,
    nn.init.xavier_uniform_,
}


class _WithoutRandomWeights(TorchFunctionMode):
    """Skip the random numbers that torch fills new layers with: seconds for a large network, all overwritten."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
