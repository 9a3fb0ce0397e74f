"""``dptstream inspect``: what a model is, what it costs, and what it computes on the way from a picture to depth."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .flags import ModelFlags
from .network_size import USUAL_PICTURE_HW, network_size_hw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models.network import NetworkModel
    from .inside import Look


@dataclass(frozen=True)
class Inspect:
    """Show a model's family, sizes, weights, memory and operations; with a picture, also draw what it computes inside."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name from `dptstream models list`, or a checkpoint file."""
    image: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[IMAGE]")] = None
    """A picture (of a video, the first frame) to run it on."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = None
    """Folder for the sheets; the default is named after the picture. Earlier sheets there are replaced."""
    size: Annotated[str | None, tyro.conf.arg(metavar="HxW|PIXELS")] = None
    """Size of the network's input, such as 518x924 (height first), or one number for the authors' rule; without a picture
    that rule takes one of 1920x1080."""
    layer: Annotated[int | None, tyro.conf.arg(metavar="BLOCK")] = None
    """Block of the encoder, from 0, whose attention is drawn; the default is the last."""
    head: Annotated[str, tyro.conf.arg(metavar="all|NUMBER")] = "all"
    """One attention head, or all of them and their mean."""
    at: Annotated[str | None, tyro.conf.arg(metavar="X,Y|class")] = None
    """Whose attention: that of a point of the picture, as shares of its width and height (0.5,0.5 is the middle), or of the
    class token. The default is the class token, or the middle for networks that have none."""
    level_scale: Annotated[str, tyro.conf.arg(metavar="A,B,C,D")] = "1,1,1,1"
    """Factors of the four reassembled levels, finest first; 0 hides a level. Where all are 1, each is hidden in turn."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What the file's shapes cannot tell; see `dptstream convert --help`."""
    accept_license: bool = False
    """Accept the licence of weights that are not free for commercial use, and download them."""
    fit: Annotated[Literal["aspect", "stretch"] | None, tyro.conf.arg(metavar="aspect|stretch")] = None
    """Keep the picture's shape, or make it square; the default is the authors' way."""
    device: str = "cpu"
    """auto, cpu, cuda, cuda:1 or mps."""
    json: bool = False
    """Print one JSON object instead of tables."""

    def run(self) -> int:
        """Print the figures; draw the sheets where there is a picture."""
        from ..models.network import NetworkModel

        scales = parse_scales(self.level_scale)
        model = ModelFlags(
            model=self.model,
            variant=self.variant,
            accept_license=self.accept_license,
            fit=self.fit,
            device=self.device,
            runtime="torch",
            precision="float32",
        ).load()
        assert isinstance(model, NetworkModel)
        look = self._look(model, scales)
        rgb_hwc = None if self.image is None else first_picture(self.image)
        picture_hw = USUAL_PICTURE_HW if rgb_hwc is None else (rgb_hwc.shape[0], rgb_hwc.shape[1])
        input_hw = network_size_hw(self.size, model, picture_hw)
        facts = record(model, input_hw)
        if not self.json:
            print_facts(model, facts)
        if rgb_hwc is not None:
            assert self.image is not None
            folder = self.output or Path(f"{Path(self.image).stem or 'picture'}_inspect")
            facts["sheets"] = self._draw(model, rgb_hwc, input_hw, look, folder)
        if self.json:
            print(json.dumps(facts, indent=2))
        return 0

    def _look(self, model: "NetworkModel", scales: tuple[float, float, float, float]) -> "Look":
        from .inside import Look

        config: Any = model.network.config
        has_class_token = any(key.endswith(("class_token", "cls_token")) for key, _ in model.network.named_parameters())
        if self.head != "all" and not self.head.isdecimal():
            raise ValueError(f"cannot read the head {self.head!r}; write a number from 0, or all")
        block = config.block_count - 1 if self.layer is None else self.layer
        if not 0 <= block < config.block_count:
            raise ValueError(f"--layer is {block}; {model.info.name} has blocks 0 to {config.block_count - 1}")
        default: tuple[float, float] | Literal["class"] = "class" if has_class_token else (0.5, 0.5)
        return Look(
            block=block,
            at=default if self.at is None else parse_point(self.at),
            head=None if self.head == "all" else int(self.head),
            level_scales=scales,
        )

    def _draw(
        self, model: "NetworkModel", rgb_hwc: "NDArray[np.uint8]", input_hw: tuple[int, int], look: "Look", folder: Path
    ) -> list[str]:
        from .inside import draw_sheets

        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, image in draw_sheets(model, rgb_hwc, input_hw, look):
            path = folder / f"{name}.png"
            write_png(path, image)
            written.append(str(path))
            if not self.json:
                print(path)
        return written


def parse_scales(text: str) -> tuple[float, float, float, float]:
    """Read the factors of four levels."""
    try:
        first, second, third, fourth = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"cannot read the level scales {text!r}; write four numbers, finest level first: 1,1,0,1"
        ) from None
    return first, second, third, fourth


def parse_point(text: str) -> tuple[float, float] | Literal["class"]:
    """Read a point of the picture, or the class token."""
    if text in ("class", "cls"):
        return "class"
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"cannot read the point {text!r}; write x,y from 0 to 1, such as 0.5,0.5, or class") from None
    return x, y


def first_picture(location: str) -> "NDArray[np.uint8]":
    """Return the first picture of whatever ``convert`` takes: (H, W, 3) RGB."""
    from ..errors import SourceError
    from ..sources import open_source

    with open_source(location) as source:
        for frame in source:
            return frame.image.copy()
    raise SourceError(f"{location} holds no picture")


def write_png(path: Path, rgb_hwc: "NDArray[np.uint8]") -> None:
    """Write a picture; the path may hold any letters on any system."""
    import cv2

    encoded = cv2.imencode(".png", rgb_hwc[..., ::-1])[1]
    path.write_bytes(encoded.tobytes())


def record(model: "NetworkModel", input_hw: tuple[int, int]) -> dict[str, Any]:
    """Return everything that is printed, as JSON values."""
    from ..models.cost import count_cost, parameter_counts, weight_bytes

    config: Any = model.network.config
    cost = asdict(count_cost(model.network, input_hw))
    return {
        **model.info.as_record(),
        "block_count": config.block_count,
        "taps": list(config.taps),
        "part_parameters": parameter_counts(model.network),
        "weight_bytes": weight_bytes(model.network),
        "cost": {**cost, "size_hw": list(input_hw)},
    }


def print_facts(model: "NetworkModel", facts: dict[str, Any]) -> None:
    """Print the figures for people."""
    from rich.console import Console
    from rich.markup import escape

    info = model.info
    console = Console(highlight=False, soft_wrap=True)
    decided = info.decided_by
    unit = f" in {info.kind.unit}" if info.kind.unit else ""
    nearer = "larger is nearer" if info.kind.larger_is_nearer else "larger is farther"
    hash_words = f", SHA-256 {info.sha256[:16]}..." if info.sha256 else ""

    def by(point: str) -> str:
        return f" (by {decided[point]})" if point in decided else ""

    lines = [
        ("model", f"{info.name}{', file ' + info.file if info.file else ''}{hash_words}"),
        ("family", f"{info.family}{by('family')}"),
        ("variant", f"{info.variant or 'the only one'}{by('variant')}"),
        ("gives", f"{info.kind.value.replace('_', ' ')} depth{unit}, {nearer}{by('kind')}"),
        ("licence", f"{info.license}{by('license')}"),
        ("input", f"sides multiples of {info.size_multiple}; authors' size {info.base_size} ({info.resize_method})"),
        ("", f"RGB 0..1, mean {_numbers(info.image_mean)}, std {_numbers(info.image_std)}"),
        ("encoder", f"{facts['block_count']} blocks; the decoder taps {', '.join(map(str, facts['taps']))} (from 0)"),
    ]
    for name, words in lines:
        console.print(escape(f"{name:<9}{words}"))
    console.print()
    _print_parts(console, facts)
    console.print()
    _print_memory(console, facts)
    if info.temporal:
        console.print("\nThis is one frame by itself; in a clip, attention between frames comes on top.")


def _print_parts(console: Any, facts: dict[str, Any]) -> None:
    from rich.table import Table

    cost = facts["cost"]
    height, width = cost["size_hw"]
    counts, flops = facts["part_parameters"], cost["part_flops"]
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("part", no_wrap=True)
    for title in ("weights, M", "share", f"GFLOP at {height}x{width}", "share"):
        table.add_column(title, justify="right", no_wrap=True)
    whole = (sum(counts.values()), cost["flops"])
    for part, count in [*counts.items(), ("all", whole[0])]:
        work = flops.get(part, whole[1])
        table.add_row(
            part, f"{count / 1e6:.2f}", f"{count / whole[0]:.1%}", f"{work / 1e9:.1f}", f"{work / whole[1]:.1%}"
        )
    console.print(table)
    attention = cost["attention_flops"]
    console.print(
        f"of which attention {attention / 1e9:.1f} GFLOP, {attention / whole[1]:.1%}; a multiply-add is 2 FLOP"
    )


def _print_memory(console: Any, facts: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("memory, MB", no_wrap=True)
    rows = {"weights": facts["weight_bytes"], "one picture's tensors, at most": facts["cost"]["activation_bytes"]}
    for precision in facts["weight_bytes"]:
        table.add_column(precision, justify="right", no_wrap=True)
    for name, sizes in rows.items():
        table.add_row(name, *(f"{size / 1e6:.0f}" for size in sizes.values()))
    console.print(table)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
