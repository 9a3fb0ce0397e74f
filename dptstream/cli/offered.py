"""Which networks ``dptstream ctl model`` may ask a server for. Imports nothing heavy, so that --help is quick."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SHOWN = 6


@dataclass(frozen=True)
class OfferedModels:
    """Names of the catalogue, the network that was served first, and files that whoever serves offered by name.

    No others: whoever may steer is not thereby meant to look around on this machine, so a path that was not offered is
    refused without looking whether there is such a file.
    """

    first: str
    """The name or path of the network that was served first."""
    files: tuple[Path, ...] = ()
    """Checkpoint files, and folders whose checkpoint files, but not those of folders within, are offered."""

    def find(self, asked: str) -> str:
        """Return the name or path to load; ``asked`` may be a path, a file's name or a file's name without its ending.

        Raises:
            ValueError: It was not offered.
        """
        from ..models import catalog

        files = self._files()
        if asked == self.first:
            return self.first
        if catalog.lookup(asked) is not None:
            return asked
        meant = [
            path
            for path in files
            if asked in (str(path), path.name, path.stem) or Path(asked).absolute() == path.absolute()
        ]
        if len(meant) == 1:
            return str(meant[0])
        if meant:
            raise ValueError(f"{asked!r} means several files: {_list(meant)}; give the whole path")
        if files:
            raise ValueError(
                f"there is no model {asked!r}; dptstream models list shows names, files are {_list(files)}"
            )
        raise ValueError(
            f"there is no model {asked!r}; dptstream models list shows all names. Files of the server can be asked for "
            "only if it was started with --offer FILE"
        )

    def check(self) -> None:
        """Raise ValueError for an offer that is none."""
        from ..models.weights import WEIGHT_ENDINGS

        for path in self.files:
            if not path.exists():
                raise ValueError(f"--offer {path}: there is no such file or folder")
            if path.is_file() and path.suffix not in WEIGHT_ENDINGS:
                raise ValueError(f"--offer {path}: a checkpoint ends in {', '.join(WEIGHT_ENDINGS)}")

    def _files(self) -> list[Path]:
        from ..models.catalog import lookup
        from ..models.weights import WEIGHT_ENDINGS

        first = Path(self.first).expanduser()
        offered = [*self.files, *([first] if lookup(self.first) is None and first.is_file() else [])]
        found: dict[Path, None] = {}
        for path in offered:
            inside = sorted(path.iterdir()) if path.is_dir() else [path]
            found.update(dict.fromkeys(file for file in inside if file.suffix in WEIGHT_ENDINGS and file.is_file()))
        return list(found)


def _list(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return ", ".join(map(str, files[:_SHOWN])) + more
