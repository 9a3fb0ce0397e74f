"""``dptstream models``: which networks there are, under which licences, and which of them lie on this machine."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from pathlib import Path

    from ..models.catalog import Entry
    from ..models.http_file import OnProgress
    from ..models.store import Store


@dataclass(frozen=True)
class ListModels:
    """Show every model that can be had by name: licence, length, speed, and whether it is here."""

    installed: bool = False
    """Only those on this machine."""
    json: bool = False
    """One JSON object a line, for machines."""

    def run(self) -> int:
        """Print the table."""
        from ..models.catalog import ENTRIES, default_model_name
        from ..models.store import Store

        store = Store.from_environment()
        rows = [(entry, store.locate(entry) is not None) for entry in ENTRIES]
        rows = [row for row in rows if row[1] or not self.installed]
        if self.json:
            for entry, here in rows:
                print(
                    json.dumps({**asdict(entry), "kind": entry.kind.value, "origin": entry.origin, "installed": here})
                )
        else:
            _print_table(rows, default_model_name())
        return 0


@dataclass(frozen=True)
class Download:
    """Fetch models, with their licences shown first. A broken download goes on where it stopped."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Names from `dptstream models list`."""
    accept_license: bool = False
    """Accept licences that forbid commercial use."""

    def run(self) -> int:
        """Fetch each and print where it lies."""
        from ..models.store import Store

        store = Store.from_environment()
        for entry in _named(self.names):
            print(f"{entry.name}: weights under {entry.license}, from {entry.origin}", file=sys.stderr)
            with progress_bar(entry) as on_progress:
                path = store.fetch(entry, accept_license=self.accept_license, on_progress=on_progress)
            print(path)
        return 0


@dataclass(frozen=True)
class ShowPath:
    """Print where a model's file lies."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """A name from `dptstream models list`."""

    def run(self) -> int:
        """Print the path, or fail where the model is not here."""
        from ..models.catalog import find
        from ..models.store import Store

        print(_located(Store.from_environment(), find(self.name)))
        return 0


@dataclass(frozen=True)
class Remove:
    """Delete downloaded models from this machine."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Names from `dptstream models list`."""

    def run(self) -> int:
        """Delete each and say how much that freed."""
        from ..models.store import Store

        store = Store.from_environment()
        for entry in _named(self.names):
            freed = store.remove(entry)
            print(f"{entry.name}: {_in_words(freed)} freed" if freed else f"{entry.name}: was not here")
        return 0


@dataclass(frozen=True)
class Verify:
    """Check files against the hashes that were published, or that they had when they came."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """Names from `dptstream models list`; all that are here where none is given."""

    def run(self) -> int:
        """Print one line a model; exit with 1 if any file is damaged."""
        from ..errors import DownloadError
        from ..models.catalog import find
        from ..models.store import Store, check_file, published_hash

        store = Store.from_environment()
        damaged = 0
        for entry in [find(name) for name in self.names] or store.installed():
            path = _located(store, entry)
            expected = published_hash(entry, path)
            try:
                digest = check_file(entry, path, expected)
            except DownloadError as error:
                damaged += 1
                print(f"{entry.name}: DAMAGED: {error}")
                continue
            against = "as published" if expected or entry.sha256_prefix else "no hash is published to compare with"
            print(f"{entry.name}: sha256 {digest}, {against}")
        return 1 if damaged else 0


@dataclass(frozen=True)
class Models:
    """List, fetch, find, remove and check the networks that dptstream knows by name."""

    command: (
        Annotated[ListModels, tyro.conf.subcommand("list")]
        | Annotated[Download, tyro.conf.subcommand("download")]
        | Annotated[ShowPath, tyro.conf.subcommand("path")]
        | Annotated[Remove, tyro.conf.subcommand("remove")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
    )
    """What to do."""

    def run(self) -> int:
        """Do it."""
        return self.command.run()


@contextmanager
def progress_bar(entry: "Entry") -> Iterator["OnProgress"]:
    """Show a download on stderr where that is a terminal; give what the store reports to."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:  # where a bar would leave an empty line
        yield lambda done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(entry.name, total=entry.size_bytes, visible=False)

        def on_progress(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield on_progress


def _located(store: "Store", entry: "Entry") -> "Path":
    from ..errors import CheckpointError

    path = store.locate(entry)
    if path is None:
        raise CheckpointError(
            f"{entry.name} is not on this machine; fetch it with: dptstream models download {entry.name}"
        )
    return path


def _named(names: tuple[str, ...]) -> "list[Entry]":
    from ..models.catalog import find

    if not names:
        raise ValueError("name at least one model; `dptstream models list` shows them")
    return [find(name) for name in names]


def _in_words(byte_count: int) -> str:
    return f"{byte_count / 1e6:.0f} MB" if byte_count >= 1e6 else f"{byte_count / 1e3:.0f} kB"


def _print_table(rows: "list[tuple[Entry, bool]]", default: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ..geometry import DepthKind

    meanings = {DepthKind.RELATIVE_INVERSE: "inverse", DepthKind.RELATIVE: "relative", DepthKind.METRIC: "metres"}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    for title in ("name", "here", "licence", "gives", "MB", "speed"):
        table.add_column(title, justify="right" if title == "MB" else "left", no_wrap=True)
    for entry, here in rows:
        name = f"{entry.name} *" if entry.name == default else entry.name
        length = "" if entry.megabytes is None else str(entry.megabytes)
        table.add_row(name, "yes" if here else "", entry.license, meanings[entry.kind], length, entry.speed)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # nothing to fit into; a table cut to 80 columns would lose names
    console.print(table)
    notes = (
        "* is used where no --model is given. Any other checkpoint of these families loads by its path.",
        "Weights under CC-BY-NC-4.0 are for non-commercial use: to fetch them, add --accept-license.",
        "inverse: larger is nearer, up to scale and shift; relative: depth up to scale; metres: depth in metres.",
    )
    for note in notes:
        console.print(note, highlight=False)
