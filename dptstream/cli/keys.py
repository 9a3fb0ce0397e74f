"""``dptstream keys``: key files for serving beyond this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Keys:
    """Make keys: who serves, and who may listen.

    DIR stays on the serving machine: `dptstream serve ... --curve DIR`. DIR/NAME is all that the machine NAME needs:
    carry it there over a safe way, then `dptstream tap tcp://... --curve NAME`. Remove DIR/clients/NAME.key to shut
    NAME out. Keys that exist are kept, so run it again with other names to let more machines in.
    """

    directory: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DIR")]]
    """Folder for the keys."""
    client: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = ("client",)
    """Names of the machines or people that may connect."""

    def run(self) -> int:
        """Make the keys and say which file is what."""
        from ..wire.keys import make_keys

        for path in make_keys(self.directory, self.client):
            print(path)
        carried = ", ".join(str(self.directory / name) for name in dict.fromkeys(self.client))
        print(f"serve with --curve {self.directory}" + (f"; listen with --curve {carried}" if carried else ""))
        return 0
