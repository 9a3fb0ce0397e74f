"""Which network a checkpoint belongs to: family and size from keys and shapes, the release from what stands beside them."""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from torch import Tensor, nn

from ..errors import CheckpointError
from ..geometry import DepthKind
from .base import ResizeMethod

LOGGER = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]

FAMILIES = ("dpt_tiny", "midas_swinv2", "midas_beit", "midas_vit", "depth_anything")
"""Folders beside this module, asked in this order."""

_DINOV2_SIZES = {384: "vits", 768: "vitb", 1024: "vitl", 1536: "vitg"}

_KINDS = {
    "relative_inverse": DepthKind.RELATIVE_INVERSE,
    "relative_depth": DepthKind.RELATIVE,
    "metric": DepthKind.METRIC,
}


class FamilyConfig(Protocol):
    """What every family's ``Config`` says about its recipe."""

    @property
    def size_multiple(self) -> int: ...  # noqa: D102
    @property
    def base_size(self) -> int: ...  # noqa: D102
    @property
    def resize_method(self) -> ResizeMethod: ...  # noqa: D102
    @property
    def image_mean(self) -> tuple[float, float, float]: ...  # noqa: D102
    @property
    def image_std(self) -> tuple[float, float, float]: ...  # noqa: D102


class Family(Protocol):
    """What every family's folder exports."""

    def matches(self, shapes: Shapes) -> bool: ...  # noqa: D102
    def config_from_shapes(self, shapes: Shapes, *, variant: str | None = ...) -> FamilyConfig: ...  # noqa: D102
    def convert(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]: ...  # noqa: D102
    def Model(self, config: FamilyConfig) -> nn.Module: ...  # noqa: D102, N802


@dataclass(frozen=True, slots=True)
class Recognition:
    """A checkpoint's network, and what decided each point."""

    family: str
    """Name of the family's folder."""
    module: Family
    """The family's folder, imported."""
    config: FamilyConfig
    """The network's sizes and recipe."""
    decided_by: dict[str, str]
    """Point -> keys, option, sha256, config.json, name, catalog or default."""

    @property
    def variant(self) -> str:
        """Release and size in the authors' words, such as ``v2 vits`` or ``beit_large_512``."""
        release = str(getattr(self.config, "variant", ""))
        width = getattr(self.config, "embed_dim", 0)
        size = _DINOV2_SIZES.get(width) if self.family == "depth_anything" else None
        return " ".join(part for part in (release, size) if part)

    @property
    def kind(self) -> DepthKind:
        """What the network's output means."""
        return _KINDS[getattr(self.config, "depth_kind", "relative_inverse")]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands beside the keys and shapes and may tell releases apart."""

    path: Path
    """The file; its name and folder count."""
    option: str | None = None
    """What the user said."""
    by_sha256: str | None = None
    """What a known file with this hash is."""
    by_catalog: str | None = None
    """What the catalog name that fetched the file says."""


def recognise(shapes: Shapes, evidence: Evidence) -> Recognition:
    """Find the family, size and release of a checkpoint.

    Family and size follow from keys and shapes alone. What these cannot tell (V1 or V2, relative or metric) is
    settled by the user's option, else the file's SHA-256, the catalog, a ``config.json`` beside it, its name.

    Raises:
        CheckpointError: No family has such keys, or the shapes make no sense, or the option is not one of the family's.
    """
    name, module = _find_family(shapes, evidence.path.name)
    allowed = _allowed_variants(module, shapes)
    decided_by = {"family": "keys", "size": "shapes"}
    variant: str | None = None
    config_file = _read_config_file(evidence.path)
    if len(allowed) > 1 or evidence.option:
        variant, decided_by["variant"] = _decide(allowed, evidence, config_file, name)
    elif allowed:
        variant, decided_by["variant"] = allowed[0], "keys"
    try:
        config = module.config_from_shapes(shapes, variant=variant) if variant else module.config_from_shapes(shapes)
    except (ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{evidence.path.name} looks like {name}, but its shapes make no network: {reason}"
        ) from error
    max_depth = config_file.get("max_depth")
    if isinstance(max_depth, int | float) and decided_by.get("variant") == "config.json" and max_depth != 1:
        config = _with_max_depth(config, float(max_depth))
    decided_by["kind"] = decided_by.get("variant", "keys")
    return Recognition(name, module, config, decided_by)


def _find_family(shapes: Shapes, file_name: str) -> tuple[str, Family]:
    for name in FAMILIES:
        module = cast("Family", import_module(f".{name}", __package__))
        if module.matches(shapes):
            return name, module
    keys = list(shapes)[:3]
    known = ", ".join(FAMILIES)
    for marker, what in _STRANGERS:
        if any(re.search(marker, key) for key in shapes):
            raise CheckpointError(f"{file_name} is {what}, which dptstream cannot run; known families: {known}")
    raise CheckpointError(f"unknown checkpoint {file_name}: first keys are {keys}; known families: {known}")


_STRANGERS = (
    (
        r"(^|\.)camera_token$",
        "an any-view Depth Anything V3 network (camera tokens; only mono and metric are plain DPT)",
    ),
    (r"^core\.core\.|attractors\.\d|conditional_log_binomial", "a ZoeDepth network"),
    (
        r"scratch\.(refinenet1\.resConfUnit1\.bn1|output_conv\.1\.running_mean)",
        "a segmentation DPT (batch norm in its fusion)",
    ),
    (r"(^|\.)mamba|hybrid_fusion", "a FlashDepth network"),
    (r"^pretrained\.layer1\.\d\..*(conv_pw|conv_dw|bn\d)", "a convolutional MiDaS v2.1 network"),
    (r"^unet|^vae\.|down_blocks\.\d\.attentions", "a diffusion network"),
)
"""A pattern of keys, and what has them: networks people may take for one of ours."""


def _allowed_variants(module: Family, shapes: Shapes) -> tuple[str, ...]:
    """Return the releases that the keys leave open."""
    variants: tuple[str, ...] = tuple(getattr(module, "VARIANTS", ()))
    if any(".motion_modules." in key for key in shapes):
        return tuple(name for name in variants if name.startswith("video"))
    if any("sky_output_conv2" in key for key in shapes):
        return tuple(name for name in variants if name.startswith("v3"))
    return tuple(name for name in variants if not name.startswith(("video", "v3")))


def _decide(
    allowed: tuple[str, ...], evidence: Evidence, config_file: Mapping[str, Any], family: str
) -> tuple[str, str]:
    """Return the release and what decided it, and warn where two witnesses disagree."""
    witnesses = {
        "option": evidence.option,
        "sha256": evidence.by_sha256,
        "catalog": evidence.by_catalog,
        "config.json": _variant_of_config(config_file, allowed),
        "name": _variant_of_name(evidence.path, allowed),
    }
    if evidence.option and evidence.option not in allowed:
        choices = ", ".join(allowed) or "none, its family has one release"
        raise CheckpointError(
            f"variant {evidence.option!r} does not fit {evidence.path.name} ({family}); allowed: {choices}"
        )
    heard = {witness: variant for witness, variant in witnesses.items() if variant in allowed}
    if not heard:
        if "metric" in evidence.path.name.lower() and "v2-metric-indoor" in allowed:
            raise CheckpointError(
                f"{evidence.path.name} is called metric, but nothing tells its range: "
                "say --variant v2-metric-indoor (20 m) or v2-metric-outdoor (80 m)"
            )
        assumed = "v2" if "v2" in allowed else allowed[0]
        LOGGER.warning(
            "nothing tells which of %s %s is; %s is assumed: say --variant if that is wrong",
            ", ".join(allowed), evidence.path.name, assumed,
        )  # fmt: skip
        return assumed, "default"
    witness, variant = next(iter(heard.items()))
    assert variant is not None
    for other, claim in heard.items():
        if claim != variant:
            LOGGER.warning(
                "%s: %s says %s, but %s says %s; going by %s",
                evidence.path.name, witness, variant, other, claim, witness,
            )  # fmt: skip
    return variant, witness


def _read_config_file(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _variant_of_config(content: Mapping[str, Any], allowed: tuple[str, ...]) -> str | None:
    """Read a release from the ``config.json`` of a Hugging Face or Depth Anything V3 repository."""
    if "v3-mono" in allowed:
        name = str(content.get("model_name", "")).lower()
        return next((f"v3-{word}" for word in ("mono", "metric") if word in name), None)
    if "v2" not in allowed or content.get("model_type") != "depth_anything":
        return None
    if content.get("depth_estimation_type") == "metric":
        # The two published ranges are 20 m and 80 m; a network tuned to another keeps its own number.
        return "v2-metric-outdoor" if float(content.get("max_depth") or 0) > 40 else "v2-metric-indoor"
    backbone = content.get("backbone_config")
    taps = backbone.get("out_indices") if isinstance(backbone, dict) else None
    if not isinstance(taps, list) or len(taps) != 4:
        return None
    return "v1" if taps[3] - taps[0] == 3 else "v2"


def _variant_of_name(path: Path, allowed: tuple[str, ...]) -> str | None:
    """Read a release from the file's name, else its folder's, else its repository's in the hub's cache."""
    repository = next((part for part in path.parts if part.startswith("models--")), "")
    for name in (path.name, path.parent.name, repository):
        if found := _variant_of_text(name.lower(), allowed):
            return found
    return None


def _variant_of_text(text: str, allowed: tuple[str, ...]) -> str | None:
    metric = "metric" in text
    if "video" in allowed:
        return "video-metric" if metric else "video" if "video" in text or "vda" in text else None
    if "v3-mono" in allowed:
        return "v3-metric" if metric else "v3-mono" if "mono" in text else None
    if "v2" not in allowed:
        return None
    if "hypersim" in text or "indoor" in text:
        return "v2-metric-indoor"
    if "vkitti" in text or "outdoor" in text:
        return "v2-metric-outdoor"
    if metric:
        return None
    if re.search(r"(^|[^a-z0-9])(da)?v2([^0-9]|$)", text):
        return "v2"
    return (
        "v1"
        if re.search(r"(^|[^a-z0-9])(da)?v1([^0-9]|$)|vit[sblg]14|depth-anything-(small|base|large)", text)
        else None
    )


def _with_max_depth(config: FamilyConfig, max_depth: float) -> FamilyConfig:
    if getattr(config, "max_depth", None) in (None, max_depth):
        return config
    return cast("FamilyConfig", dataclasses.replace(cast("Any", config), max_depth=max_depth))
