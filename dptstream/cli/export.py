"""``dptstream export``: a model as a file for other runtimes, checked against PyTorch before it is kept."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .flags import ModelFlags
from .network_size import network_size_hw


@dataclass(frozen=True)
class Export:
    """Write a model as an ONNX file, checked against PyTorch. Needs: pip install "dptstream[export]"."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name from `dptstream models list`, or a checkpoint file."""
    size: Annotated[str, tyro.conf.arg(metavar="HxW|PIXELS")]
    """Size of the network's input, such as 518x924 (height first), or one number for the authors' rule and a 16:9 picture."""
    to: Literal["onnx"] = "onnx"
    """The format."""
    dynamic: bool = False
    """Let the file take any height and width that suit the network; --size is then one of those it is checked at."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE.onnx")] = None
    """The file; the default is named after the model and the size."""
    overwrite: Annotated[bool, tyro.conf.arg(aliases=["-y"])] = False
    """Replace a file that is there."""
    variant: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What the file's shapes cannot tell; see `dptstream convert --help`."""
    accept_license: bool = False
    """Accept the licence of weights that are not free for commercial use, and download them."""

    def run(self) -> int:
        """Export, check, and say how near the file comes."""
        from ..models.export import check_exportable, export_onnx
        from ..models.network import NetworkModel

        model = ModelFlags(
            model=self.model,
            variant=self.variant,
            accept_license=self.accept_license,
            device="cpu",
            runtime="torch",
            precision="float32",
        ).load()
        assert isinstance(model, NetworkModel)
        size_hw = network_size_hw(self.size, model)
        check_exportable(model, size_hw, dynamic=self.dynamic)
        words = "any" if self.dynamic else f"{size_hw[0]}x{size_hw[1]}"
        path = self.output or Path(f"{model.info.name}-{words}.onnx")
        print(f"exporting {model.info.name} (weights under {model.info.license}) ...", file=sys.stderr)
        result = export_onnx(model, path, size_hw, dynamic=self.dynamic, overwrite=self.overwrite)
        sizes = ", ".join(f"{height}x{width}" for height, width in result.sizes_hw)
        print(f"largest difference to PyTorch {result.error:.1e} of the depth's standard deviation, at {sizes}")
        for written in (result.path, result.data_path):
            if written is not None:
                print(f"{written} ({written.stat().st_size / 1e6:.1f} MB)")
        return 0
