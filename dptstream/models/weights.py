"""Checkpoint files as tensors: safetensors and torch's own, never a pickle that runs code. Knows no network."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .hashing import sha256_of

WEIGHT_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""Endings of files with weights, most trusted first."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_MOST_WRAPPERS = 3
_ALLOWED = "a .safetensors file, or a .pth, .pt or .bin file that torch saved"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of one file with weights."""

    path: Path
    """Where it was read."""
    state_dict: dict[str, Tensor]
    """Entry by its published key, on the CPU; may be mapped from the file, so do not write to it."""
    metadata: dict[str, str]
    """Remarks inside a safetensors file; empty for other files."""
    sha256: str
    """Hash of the file, lower-case hex."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every entry."""
        return {key: tuple(tensor.shape) for key, tensor in self.state_dict.items()}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file with weights, whatever it is called; its first bytes say how.

    Raises:
        CheckpointError: It is no such file, it is damaged, or reading it would run code.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    entries: object
    metadata: dict[str, str] = {}
    if _is_safetensors(head):
        entries, metadata = _read_safetensors(path)
    elif head.startswith((b"PK\x03\x04", b"\x80\x02")):
        entries = _read_torch(path, zipped=head.startswith(b"PK"))
    else:
        raise CheckpointError(f"{path.name} is no checkpoint: {_describe(head)}; give {_ALLOWED}")
    return Checkpoint(path, unwrap(entries, path.name), metadata, sha256_of(path))


def find_weights(folder: Path) -> Path:
    """Return the one checkpoint in a folder, such as a model repository; of several formats the safest.

    Raises:
        CheckpointError: There is none, or more than one.
    """
    for ending in WEIGHT_ENDINGS:
        found = sorted(path for path in folder.iterdir() if path.suffix == ending and path.is_file())
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found[:4])
            raise CheckpointError(f"{folder} holds {len(found)} checkpoints ({names} ...): name one of them")
    raise CheckpointError(f"{folder} is a folder without a checkpoint; give {_ALLOWED}")


def unwrap(loaded: object, name: str) -> dict[str, Tensor]:
    """Return the state dict inside what a file held: out of a training checkpoint, without ``module.`` prefixes.

    Raises:
        CheckpointError: There are no tensors in it.
    """
    for _ in range(_MOST_WRAPPERS):
        if isinstance(loaded, Mapping):
            loaded = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded)
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{name} holds a {type(loaded).__name__}, no state dict: save model.state_dict() instead")
    tensors = {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{name} holds no tensors; its first keys are {[str(key) for key in loaded][:3]}")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 100_000_000


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        missing = _missing_bytes(path)
        reason = f"it ends {missing} bytes early" if missing else " ".join(str(error).split())
        raise CheckpointError(f"{path.name} is damaged: {reason}; download it again") from error


def _missing_bytes(path: Path) -> int:
    """Count the bytes that a safetensors file lacks by its own table of contents; 0 where that cannot be told."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if 8 + length > path.stat().st_size:
                return 8 + length - path.stat().st_size
            entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
        return max(0, 8 + length + max(ends, default=0) - path.stat().st_size)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return 0


def _read_torch(path: Path, *, zipped: bool) -> object:
    if zipped and (fault := _zip_fault(path)):
        raise CheckpointError(f"{path.name} {fault}")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path.name} {_refusal(str(error))}") from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise CheckpointError(f"{path.name} is damaged or cut off: {reason}; download it again") from error
    return loaded


def _zip_fault(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "is cut off: it has no end record; download it again"
    if any(name.endswith("data.pkl") for name in names):
        return None
    return f"is a zip archive of {names[:3]}, no checkpoint; unpack it, and give {_ALLOWED}"


def _refusal(message: str) -> str:
    culprit = re.search(r"GLOBAL ([\w.]+)", message)
    if culprit:
        return (
            f"wants to run {culprit[1]} when it is read and is refused: dptstream loads tensors alone; "
            "convert it to .safetensors where you trust it"
        )
    return "is no pure state dict and is refused, as reading it might run code; convert it to .safetensors where you trust it"


def _describe(head: bytes) -> str:
    start = head.lstrip().lower()
    if not head:
        return "it is empty"
    if start.startswith(b"<"):
        return "it is a web page, saved in place of the file"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the weights (fetch them with: git lfs pull)"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return f"it is text that begins with {head[:24].decode('ascii')!r}"
    return f"its first bytes are {head[:8].hex(' ')}"
