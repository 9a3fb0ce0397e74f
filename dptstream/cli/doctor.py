"""``dptstream doctor``: what this machine has, and what to install for what is missing."""

import importlib.util
import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

REQUIRED = ("torch", "av", "numpy", "opencv-python-headless", "OpenEXR", "safetensors", "huggingface_hub")
"""Distributions that every installation has."""

OPTIONAL = {
    "matplotlib": ("plots of `dptstream evaluate`", "evaluate"),
    "onnxruntime": ("`dptstream export`", "export"),
    "openvino": ("networks on the CPU, two to four times as fast", "openvino"),
}
"""Import name -> what it is for, and the extra that brings it."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    """What was looked at."""
    found: str
    """What is there."""
    advice: str = ""
    """What to do where something is missing; empty where nothing is."""
    works: bool = True
    """Whether this part can be used."""


@dataclass(frozen=True)
class Doctor:
    """Show what this machine has: device, precision, decoders, models and optional parts."""

    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Print the findings; exit code 1 when a required part is missing."""
        findings = examine()
        if self.json:
            print(json.dumps([finding.__dict__ for finding in findings], indent=2))
        else:
            _print_table(findings)
        required_works = all(finding.works for finding in findings if finding.topic in REQUIRED)
        return 0 if required_works else 1


def examine() -> list[Finding]:
    """Look at the machine and return what was found, line by line."""
    findings = [
        Finding("dptstream", _version_of("dptstream") or "source tree"),
        Finding("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Finding("Python", sys.version.split()[0]),
    ]
    findings += [_package(name) for name in REQUIRED]
    findings += _devices()
    findings += _video()
    findings += _models()
    findings += [_optional(name, purpose, extra) for name, (purpose, extra) in OPTIONAL.items()]
    return findings


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _package(distribution: str) -> Finding:
    found = _version_of(distribution)
    if found is None and distribution == "opencv-python-headless":
        found = _version_of("opencv-python")
    if found is None:
        return Finding(distribution, "missing", f"pip install {distribution}", works=False)
    return Finding(distribution, found)


def _devices() -> list[Finding]:
    import torch

    from ..engine.device import choose_device, cpu_count

    cores = Finding("CPU", f"{cpu_count()} cores for this process, {torch.backends.cpu.get_cpu_capability()}")
    if torch.cuda.is_available():
        cards = ", ".join(
            f"cuda:{index} {torch.cuda.get_device_name(index)} "
            f"({torch.cuda.get_device_properties(index).total_memory / 2**30:.0f} GiB)"
            for index in range(torch.cuda.device_count())
        )
        cuda = Finding("CUDA", f"{cards}, PyTorch built for CUDA {torch.version.cuda}")
    elif torch.version.cuda is None:
        advice = "on a machine with an NVIDIA card, install a CUDA build of PyTorch"
        cuda = Finding("CUDA", "this PyTorch is a build for the CPU", advice, works=False)
    else:
        advice = "install or update the NVIDIA driver, if this machine has an NVIDIA card"
        cuda = Finding(
            "CUDA", f"PyTorch is built for CUDA {torch.version.cuda}, but finds no card", advice, works=False
        )
    used = Finding("used by default", _default_words(choose_device()))
    found = [cores, cuda]
    if platform.system() == "Darwin":
        available = torch.backends.mps.is_available()
        found.append(Finding("Apple MPS", "available" if available else "not available", works=available))
    return [*found, used]


def _default_words(device: "torch.device") -> str:
    """Return what runs networks where no flag says it."""
    from ..engine.device import choose_dtype
    from ..models.runtime import has_openvino, wanted_runtime

    precision = str(choose_dtype(device)).removeprefix("torch.")
    if device.type != "cpu" or wanted_runtime("auto") == "torch" or not has_openvino():
        return f"{device}, PyTorch, {precision}"
    from ..models.openvino_graph import runs_bfloat16

    faster = "bfloat16" if runs_bfloat16() else "float32"
    return f"{device}, OpenVINO, {faster}, where it gives the same depth faster; else PyTorch, {precision}"


def _video() -> list[Finding]:
    import av
    from av.codec.hwaccel import hwdevices_available

    ffmpeg = ".".join(str(part) for part in av.library_versions["libavcodec"])
    decoders = [name for name in ("h264", "hevc", "av1", "vp9", "prores", "ffv1") if _has_codec(name, "r")]
    encoders = [name for name in ("libx264", "ffv1", "aac") if _has_codec(name, "w")]
    findings = [
        Finding("video library", f"PyAV {av.__version__}, libavcodec {ffmpeg}"),
        Finding("decoders", ", ".join(decoders)),
        Finding("encoders", ", ".join(encoders)),
        Finding(
            "hardware decoders",
            f"FFmpeg knows {', '.join(hwdevices_available()) or 'none'}; convert decodes on the CPU",
        ),
    ]
    cameras = sorted(str(path) for path in Path("/dev").glob("video*")) if platform.system() == "Linux" else []
    if platform.system() == "Linux":
        findings.append(Finding("cameras", ", ".join(cameras) or "none under /dev/video*"))
    return findings


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    import av

    try:
        av.Codec(name, mode)
    except (av.codec.codec.UnknownCodecError, ValueError):
        return False
    return True


def _models() -> list[Finding]:
    from ..models import default_model_name, installed_models

    installed = installed_models()
    default = default_model_name()
    origin = "$DPTSTREAM_MODEL" if os.environ.get("DPTSTREAM_MODEL") else "bundled"
    only_tiny = installed == ["tiny"]
    advice = "dptstream models download depth-anything-v2-small" if only_tiny else ""
    return [
        Finding("default model", f"{default} ({origin})"),
        Finding("models at hand", ", ".join(installed), advice),
    ]


def _optional(name: str, purpose: str, extra: str) -> Finding:
    if importlib.util.find_spec(name) is not None:
        return Finding(name, f"{_version_of(name) or 'present'}: {purpose}")
    return Finding(name, f"not installed: {purpose}", f'pip install "dptstream[{extra}]"', works=False)


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.works else "[yellow]--[/]"
        advice = f"\n[dim]→ {escape(finding.advice)}[/]" if finding.advice else ""
        table.add_row(mark, f"[bold]{finding.topic}[/]", escape(finding.found) + advice)
    Console().print(table)
