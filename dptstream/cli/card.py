"""Flags for work on a CUDA card. Imports nothing heavy, so that --help is quick."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import torch

    from ..engine import EngineConfig
    from ..sources import SourceOptions


@dataclass(frozen=True)
class CardFlags:
    """How a CUDA card is used; without one --decode cuda is refused, and the others change nothing."""

    decode: Literal["auto", "cpu", "cuda"] = "auto"
    """cuda asks the card's own decoder; what that cannot do the processor does, and it is told. auto is cpu."""
    batch: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Pictures through the network at once, where nobody waits for them; the default is 4 with enough memory, else 1."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the network for its size: on takes minutes before the first frame; auto does it beside live feeds."""
    no_graphs: bool = False
    """Send work to the card step by step instead of recording it once and repeating that."""

    def source(self, options: "SourceOptions", device: "torch.device") -> "SourceOptions":
        """Return ``options`` for pictures that go to ``device``.

        Raises:
            ValueError: A card is to decode that the network does not run on.
        """
        if device.type != "cuda":
            if self.decode == "cuda":
                raise ValueError(f"--decode cuda keeps pictures on the card, but the network runs on {device.type}")
            return options
        return replace(options, native=True, card=(device.index or 0) if self.decode == "cuda" else None)

    def engine(self, config: "EngineConfig") -> "EngineConfig":
        """Return ``config`` with what these flags say; raises ValueError for what makes no sense."""
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"--batch must be at least 1; got {self.batch}")
        return replace(config, batch=self.batch, compile=self.compile, graphs=not self.no_graphs)

    def settings(self, device: "torch.device") -> dict[str, object]:
        """Return what changes the depth's last digits on ``device``."""
        if device.type != "cuda":
            return {}
        chosen = {"decode": self.decode, "compile": self.compile}
        return {name: choice for name, choice in chosen.items() if choice in ("cuda", "on")}
