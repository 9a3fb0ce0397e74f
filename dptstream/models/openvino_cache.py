"""Graphs and what was measured of them, kept between runs in the user's cache folder. Knows no network and no OpenVINO."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .store import CACHE_VARIABLE, default_folder

MOST_BYTES = 8_000_000_000
"""Size of the folder from which the graphs that were used least recently are removed."""

_GRAPH, _FACTS = "graph.xml", "facts.json"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of a graph in one precision on one processor."""

    error: float
    """Mean difference to torch's float32 on the probe picture, in standard deviations of the depth."""
    torch_ms: float
    """CPU time of a picture in torch, float32, one thread, milliseconds."""
    openvino_ms: float
    """CPU time of a picture in OpenVINO, one thread, milliseconds."""

    @property
    def speedup(self) -> float:
        """How many times as fast OpenVINO is."""
        return self.torch_ms / self.openvino_ms


@dataclass(frozen=True, slots=True)
class GraphCache:
    """A folder with one folder a graph. What cannot be written is not kept, and nothing fails for it."""

    folder: Path
    """Where they lie; made where it is missing."""

    @classmethod
    def from_environment(cls) -> GraphCache:
        """Return the cache beside the downloaded models; ``$DPTSTREAM_CACHE`` moves both."""
        said = os.environ.get(CACHE_VARIABLE)
        return cls((Path(said) if said else default_folder().parent) / "openvino")

    def graph(self, key: str) -> Path | None:
        """Return the graph kept under ``key``, None where there is none, and count it as used now."""
        path = self.folder / key / _GRAPH
        if not path.is_file():
            return None
        with suppress(OSError):
            os.utime(path.parent)
        return path

    def keep(self, key: str, save: Callable[[Path], None]) -> Path | None:
        """Let ``save`` write the graph to the path it gets, and keep it under ``key``; None where that cannot be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder, ignore_cleanup_errors=True) as made:
                save(Path(made) / _GRAPH)
                self.forget(key)
                Path(made).rename(self.folder / key)
                Path(made).mkdir()  # for the block's end to remove
        except (OSError, RuntimeError):
            return self.graph(key)  # another process may have been first
        self._make_room(key)
        return self.graph(key)

    def forget(self, key: str) -> None:
        """Remove what is kept under ``key``."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def facts(self, key: str, processor: str, precision: str) -> Facts | None:
        """Return what was measured of a graph, None where nothing was."""
        try:
            return Facts(**self._all_facts(key)[processor][precision])
        except (KeyError, TypeError):
            return None

    def keep_facts(self, key: str, processor: str, precision: str, facts: Facts) -> None:
        """Keep what was measured of a graph."""
        known = self._all_facts(key)
        known.setdefault(processor, {})[precision] = asdict(facts)
        path = self.folder / key / _FACTS
        with suppress(OSError):
            made = path.with_suffix(f".{os.getpid()}")
            made.write_text(json.dumps(known, indent=1), encoding="utf-8")
            os.replace(made, path)

    def _all_facts(self, key: str) -> dict[str, Any]:
        try:
            known = json.loads((self.folder / key / _FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _make_room(self, newest: str) -> None:
        sizes: dict[Path, int] = {}
        ages: dict[Path, float] = {}
        with suppress(OSError):
            for entry in self.folder.iterdir():
                sizes[entry] = sum(file.stat().st_size for file in entry.iterdir())
                ages[entry] = entry.stat().st_mtime
        for entry in sorted(ages, key=lambda found: ages[found]):
            if sum(sizes.values()) <= MOST_BYTES:
                return
            if entry.name != newest:
                self.forget(entry.name)
                del sizes[entry]


def graph_key(**facts: object) -> str:
    """Return a name for a graph that changes with everything it was made from."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]
