"""The models dptstream knows by name: where each is published, its licence and hash. Imports no torch and opens no file."""

import difflib
import os
from dataclasses import dataclass
from typing import Literal

from ..errors import CheckpointError
from ..geometry import DepthKind

Speed = Literal["fastest", "fast", "medium", "slow", "slowest"]
"""Cost of a frame at the base size, in steps of about three times."""

HUB_URL = "https://huggingface.co"
MIDAS_RELEASES = "https://github.com/isl-org/MiDaS/releases/download"
DPT_RELEASES = "https://github.com/isl-org/DPT/releases/download"

DEFAULT_MODEL = "tiny"
MODEL_VARIABLE = "DPTSTREAM_MODEL"

_APACHE = "Apache-2.0"
_NON_COMMERCIAL = "CC-BY-NC-4.0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One published checkpoint."""

    name: str
    """What users type."""
    family: str
    """Folder under ``dptstream.models`` that runs it."""
    variant: str | None
    """Release within the family, where its keys and shapes leave several open."""
    kind: DepthKind
    """What its output means."""
    file: str
    """Name of the file, with its folder inside the repository."""
    license: str
    """Licence of the weights, SPDX."""
    speed: Speed
    """How it compares with the others."""
    repo_id: str | None = None
    """Repository on the Hugging Face hub, for those that live there."""
    repo_type: Literal["model", "space"] = "model"
    """What that repository is."""
    url: str | None = None
    """Address of the file, for those that live elsewhere."""
    size_bytes: int | None = None
    """Exact length of the file, where known."""
    sha256: str | None = None
    """Hash of the file, lower-case hex, where known."""
    sha256_prefix: str | None = None
    """First digits of the hash, where the publisher states only those."""
    megabytes: int | None = None
    """About how long the file is, for those who wonder before a download."""

    @property
    def bundled(self) -> bool:
        """Whether the file comes with dptstream."""
        return self.repo_id is None and self.url is None

    @property
    def needs_consent(self) -> bool:
        """Whether the licence forbids some uses, so that a user has to accept it before a download."""
        return "-NC" in self.license

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.repo_id:
            return f"{HUB_URL}/{'spaces/' if self.repo_type == 'space' else ''}{self.repo_id}"
        return self.url or "bundled with dptstream"


def default_model_name() -> str:
    """Return the model to use where none is named: ``$DPTSTREAM_MODEL``, else the bundled one."""
    return os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


def find(name: str) -> Entry:
    """Return the entry called ``name``; case and ``_`` for ``-`` do not matter.

    Raises:
        CheckpointError: There is none; the text names the nearest.
    """
    entry = lookup(name)
    if entry is None:
        raise CheckpointError(unknown_name(name))
    return entry


def lookup(name: str) -> Entry | None:
    """Return the entry called ``name``, or None; as ``find``."""
    return BY_NAME.get(name.lower().replace("_", "-"))


def unknown_name(name: str) -> str:
    """Say that ``name`` is no model, and what comes nearest."""
    near = difflib.get_close_matches(name.lower().replace("_", "-"), BY_NAME, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "dptstream models list shows all names"
    return f"no model and no file is called {name!r}; {hint}"


def by_sha256(sha256: str) -> Entry | None:
    """Return the entry whose file has this hash."""
    return next((entry for entry in ENTRIES if entry.sha256 == sha256), None)


def by_file_name(file_name: str) -> Entry | None:
    """Return the entry whose file is called so, unless several are."""
    found = [entry for entry in ENTRIES if entry.file.rsplit("/", 1)[-1] == file_name]
    return found[0] if len(found) == 1 else None


_INVERSE = DepthKind.RELATIVE_INVERSE
_SIZES: dict[str, tuple[str, Speed, int]] = {
    "small": ("vits", "fast", 99),
    "base": ("vitb", "medium", 390),
    "large": ("vitl", "slow", 1341),
}
"""Size -> the authors' short name, speed and length of a Depth Anything network."""


def _depth_anything_v1(size: str, sha256: str, size_bytes: int | None = None) -> Entry:
    short, speed, megabytes = _SIZES[size]
    return Entry(
        f"depth-anything-v1-{size}", "depth_anything", "v1", _INVERSE, f"checkpoints/depth_anything_{short}14.pth",
        _APACHE, speed, "LiheYoung/Depth-Anything", "space", None, size_bytes, sha256, None, megabytes,
    )  # fmt: skip


def _depth_anything_v2(size: str, sha256: str, size_bytes: int | None = None) -> Entry:
    short, speed, megabytes = _SIZES[size]
    return Entry(
        f"depth-anything-v2-{size}", "depth_anything", "v2", _INVERSE, f"depth_anything_v2_{short}.pth",
        _APACHE if size == "small" else _NON_COMMERCIAL, speed,
        f"depth-anything/Depth-Anything-V2-{size.title()}", "model", None, size_bytes, sha256, None, megabytes,
    )  # fmt: skip


def _depth_anything_v2_metric(size: str, place: str, dataset: str) -> Entry:
    short, speed, megabytes = _SIZES[size]
    return Entry(
        f"depth-anything-v2-metric-{place}-{size}", "depth_anything", f"v2-metric-{place}", DepthKind.METRIC,
        f"depth_anything_v2_metric_{dataset.lower()}_{short}.pth", _APACHE if size == "small" else _NON_COMMERCIAL,
        speed, f"depth-anything/Depth-Anything-V2-Metric-{dataset}-{size.title()}", megabytes=megabytes,
    )  # fmt: skip


def _video_depth_anything(
    size: str, megabytes: int, *, metric: bool, sha256: str | None = None, size_bytes: int | None = None
) -> Entry:
    short, speed, _ = _SIZES[size]
    return Entry(
        f"video-depth-anything-{'metric-' if metric else ''}{size}", "depth_anything",
        "video-metric" if metric else "video", DepthKind.METRIC if metric else _INVERSE,
        f"{'metric_' if metric else ''}video_depth_anything_{short}.pth",
        _APACHE if size == "small" else _NON_COMMERCIAL, speed,
        f"depth-anything/{'Metric-' if metric else ''}Video-Depth-Anything-{size.title()}",
        size_bytes=size_bytes, sha256=sha256, megabytes=megabytes,
    )  # fmt: skip


def _midas(name: str, family: str, file: str, speed: Speed, megabytes: int, release: str = "v3_1") -> Entry:
    return Entry(
        name, family, None, _INVERSE, file, "MIT", speed, url=f"{MIDAS_RELEASES}/{release}/{file}", megabytes=megabytes
    )


def _dpt(name: str, file: str, speed: Speed, megabytes: int) -> Entry:
    prefix = file.rsplit("-", 1)[1].removesuffix(".pt")
    return Entry(
        name, "midas_vit", None, _INVERSE, file, "MIT", speed, url=f"{DPT_RELEASES}/1_0/{file}",
        sha256_prefix=prefix, megabytes=megabytes,
    )  # fmt: skip


ENTRIES: tuple[Entry, ...] = (
    Entry("tiny", "dpt_tiny", None, _INVERSE, "tiny.safetensors", _APACHE, "fastest"),
    _depth_anything_v2("small", "715fade13be8f229f8a70cc02066f656f2423a59effd0579197bbf57860e1378", 99_218_434),
    _depth_anything_v2("base", "0d2b7002e62d39d655571c371333340bd88f67ab95050c03591555aa05645328"),
    _depth_anything_v2("large", "a7ea19fa0ed99244e67b624c72b8580b7e9553043245905be58796a608eb9345", 1_341_395_338),
    Entry(
        "depth-anything-v2-giant", "depth_anything", "v2", _INVERSE, "depth_anything_v2_vitg.pth", _NON_COMMERCIAL,
        "slowest", "likeabruh/depth_anything_v2_vitg", megabytes=5033,
    ),
    *(
        _depth_anything_v2_metric(size, place, dataset)
        for place, dataset in (("indoor", "Hypersim"), ("outdoor", "VKITTI"))
        for size in _SIZES
    ),
    _depth_anything_v1("small", "59afe57cfd9f4284deaf5b753d954723d7136ae842fba3e068ba03537ca1e60e"),
    _depth_anything_v1("base", "64ae214ae4e27424b644c49464c0aa243016f6f753d95097c8eb9ad0b9cb2d9b", 389_962_664),
    _depth_anything_v1("large", "6c6a383e33e51c5fdfbf31e7ebcda943973a9e6a1cbef1564afe58d7f2e8fe63", 1_341_401_882),
    Entry(
        "depth-anything-v3-mono-large", "depth_anything", "v3-mono", DepthKind.RELATIVE, "model.safetensors", _APACHE,
        "slow", "depth-anything/DA3MONO-LARGE", megabytes=1337,
    ),
    Entry(
        "depth-anything-v3-metric-large", "depth_anything", "v3-metric", DepthKind.METRIC, "model.safetensors",
        _APACHE, "slow", "depth-anything/DA3METRIC-LARGE", megabytes=1337,
    ),
    _video_depth_anything(
        "small", 116, metric=False, size_bytes=116_440_756,
        sha256="13379300b739e659f076a59d52e9801bd8d38c541a7e71f73bbca4dcfb013609",
    ),
    _video_depth_anything("base", 458, metric=False),
    _video_depth_anything("large", 1538, metric=False),
    _video_depth_anything(
        "small", 116, metric=True, size_bytes=116_444_063,
        sha256="3c28432b4e1f0d7bb31cad5151b6313b49457db5aa58d82e85bfb0f8b1311b33",
    ),
    _video_depth_anything("base", 458, metric=True),
    _video_depth_anything("large", 1538, metric=True),
    _midas("midas-beit-large-512", "midas_beit", "dpt_beit_large_512.pt", "slow", 1582),
    _midas("midas-beit-large-384", "midas_beit", "dpt_beit_large_384.pt", "slow", 1441),
    _midas("midas-beit-base-384", "midas_beit", "dpt_beit_base_384.pt", "medium", 478),
    _midas("midas-swinv2-large-384", "midas_swinv2", "dpt_swin2_large_384.pt", "medium", 880),
    _midas("midas-swinv2-base-384", "midas_swinv2", "dpt_swin2_base_384.pt", "medium", 436),
    _midas("midas-swinv2-tiny-256", "midas_swinv2", "dpt_swin2_tiny_256.pt", "fast", 172),
    _midas("midas-dpt-large-384", "midas_vit", "dpt_large_384.pt", "slow", 1376, "v3"),
    _midas("midas-dpt-hybrid-384", "midas_vit", "dpt_hybrid_384.pt", "medium", 493, "v3"),
    _dpt("dpt-large", "dpt_large-midas-2f21e586.pt", "slow", 1376),
    _dpt("dpt-hybrid", "dpt_hybrid-midas-501f0c75.pt", "medium", 493),
)  # fmt: skip
"""Every published checkpoint that the families here run."""

BY_NAME = {entry.name: entry for entry in ENTRIES}
