"""Flags that several commands share, grouped as they are used. Imports nothing heavy, so that --help is quick."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..geometry import Intrinsics
    from ..models import DepthModel
    from ..sources import SourceInfo, SourceOptions


@dataclass(frozen=True)
class SourceFlags:
    """Which part of the input is taken."""

    start: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """First moment, as 90, 30s, 1:02.5 or 120f (frames)."""
    end: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    """First moment no longer wanted, written as --start."""
    every: int = 1
    """Take each N-th frame."""
    fps: Annotated[str | None, tyro.conf.arg(metavar="RATE")] = None
    """Thin to at most so many frames per second, e.g. 12 or 24000/1001; frames keep their true times."""
    crop: Annotated[str | None, tyro.conf.arg(metavar="X,Y,W,H")] = None
    """Window of the picture: x,y,width,height in pixels."""
    picture_rate: str = "24"
    """Frames per second of numbered pictures, which carry no time."""

    def options(self) -> "SourceOptions":
        """Return the source's options; raises ValueError naming the flag's text and what is allowed."""
        from fractions import Fraction

        from ..sources import SourceOptions, parse_crop, parse_time

        def rate(text: str) -> Fraction:
            try:
                return Fraction(text)
            except (ValueError, ZeroDivisionError):
                raise ValueError(f"cannot read the rate {text!r}; write 12, 29.97 or 24000/1001") from None

        return SourceOptions(
            start=None if self.start is None else parse_time(self.start),
            end=None if self.end is None else parse_time(self.end),
            every=self.every,
            fps=None if self.fps is None else rate(self.fps),
            crop=None if self.crop is None else parse_crop(self.crop),
            picture_rate=rate(self.picture_rate),
        )


@dataclass(frozen=True)
class ModelFlags:
    """Which network runs, where and how."""

    model: Annotated[str | None, tyro.conf.arg(aliases=["-m"], metavar="NAME|PATH")] = None
    """A name from `dptstream models list`, or a checkpoint file; the default is $DPTSTREAM_MODEL, else the bundled tiny."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What the file's shapes cannot tell, e.g. v1, v2, v2-metric-indoor; see `dptstream models list`."""
    accept_license: bool = False
    """Accept the licence of weights that are not free for commercial use, and download them."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Size the network works at (of the side its authors' rule names); the default is the model's own."""
    fit: Annotated[Literal["aspect", "stretch", "pad"] | None, tyro.conf.arg(metavar="aspect|stretch|pad")] = None
    """aspect keeps the picture's shape; stretch makes it square; pad repeats edges and cuts them off again. The default
    is the authors' way: aspect, but stretch for SwinV2."""
    tile: Annotated[float | None, tyro.conf.arg(metavar="N")] = None
    """Work at N times the detail: overlapping tiles, each aligned to the whole picture's depth and blended. Slow."""
    device: str = "auto"
    """auto (CUDA, then Apple's MPS, then the CPU), cpu, cuda, cuda:1 or mps."""
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    """What runs the network on a CPU. auto is OpenVINO where it is installed, measures faster and gives the same depth, or
    what $DPTSTREAM_RUNTIME says; torch gives the authors' numbers to within rounding."""
    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """auto is float16 on a GPU; on the CPU float32, with OpenVINO bfloat16 where the processor has it."""

    def load(self, *, live: bool = False) -> "DepthModel":
        """Load the model onto its device; ``live`` does not let the first depth wait for a faster runtime."""
        from contextlib import nullcontext

        from ..engine.device import choose_device, choose_dtype
        from ..models import default_model_name, load_model
        from ..models.catalog import ENTRIES
        from ..models.runtime import wanted_runtime
        from .models import progress_bar

        device = choose_device(self.device)
        by_runtime = device.type == "cpu" and self.precision == "auto"
        name = self.model or default_model_name()
        entry = next((entry for entry in ENTRIES if entry.name == name), None)
        with progress_bar(entry) if entry else nullcontext() as on_progress:
            model: DepthModel = load_model(
                name,
                device=device,
                dtype=None if by_runtime else choose_dtype(device, self.precision),
                runtime=wanted_runtime(self.runtime),
                meanwhile=live,
                variant=self.variant,
                fit=self.fit,
                accept_license=self.accept_license,
                on_progress=on_progress,
            )
        if self.tile is None:
            return model
        from ..models.tiling import TiledModel, Tiling

        return TiledModel(model, Tiling(detail=self.tile))


@dataclass(frozen=True)
class CameraFlags:
    """The camera's field of view, for point clouds and 3-D tools. Give one; else the file's tags are asked."""

    fov_x_deg: Annotated[float | None, tyro.conf.arg(metavar="DEGREES")] = None
    """Horizontal field of view, degrees."""
    focal_px: Annotated[float | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Focal length in pixels of the input picture."""
    focal_mm: Annotated[float | None, tyro.conf.arg(metavar="MM")] = None
    """Focal length in millimetres, for a sensor of --sensor-mm."""
    sensor_mm: float = 36.0
    """Width of the sensor in millimetres; 36 is full frame, which 35-mm-equivalent focal lengths refer to."""

    def intrinsics(self, info: "SourceInfo") -> "Intrinsics | None":
        """Return the camera the user described for this source, or None where nothing was said."""
        import math

        from ..geometry import Intrinsics

        given = [name for name in ("fov_x_deg", "focal_px", "focal_mm") if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(f"{flags} say the same thing twice: give one of them")
        if self.fov_x_deg is not None:
            return Intrinsics.from_fov_x(math.radians(self.fov_x_deg), info.width, info.height)
        if self.focal_px is not None:
            if self.focal_px <= 0:
                raise ValueError(f"--focal-px must be positive; got {self.focal_px:g}")
            return Intrinsics.from_focal_px(self.focal_px, info.width, info.height)
        if self.focal_mm is not None:
            return Intrinsics.from_focal_mm(self.focal_mm, self.sensor_mm, info.width, info.height)
        return None


def device_words(model: "DepthModel") -> str:
    """Return where a model runs, by what and how, for a status line."""
    from ..models.runtime import runtime_of

    return f"{model.device}, {runtime_of(model).words}"
