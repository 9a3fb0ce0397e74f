"""The command line: one module a command, each importing its half of the program only when it runs.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but frames of the source were damaged or missing; 130 stopped by
Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Protocol

import tyro

from ..errors import DptStreamError, describe
from .bench import Bench
from .convert import Convert
from .ctl import Ctl
from .doctor import Doctor
from .evaluate import Evaluate
from .export import Export
from .inspect import Inspect
from .keys import Keys
from .leaving import leave
from .models import Models
from .record import Record
from .serve import Serve
from .tap import Tap
from .view import View

TRACEBACK_VARIABLE = "DPTSTREAM_TRACEBACK"
"""Set it to 1 to see where an unexpected error came from."""

DESCRIPTION = "Turn any video into depth. `dptstream COMMAND --help` explains a command."


class Command(Protocol):
    """What every command is: options as fields, and one verb."""

    def run(self) -> int:
        """Do it; return the exit code."""


Commands = (
    Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Serve, tyro.conf.subcommand("serve")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Tap, tyro.conf.subcommand("tap")]
    | Annotated[Record, tyro.conf.subcommand("record")]
    | Annotated[Ctl, tyro.conf.subcommand("ctl")]
    | Annotated[Keys, tyro.conf.subcommand("keys")]
    | Annotated[Models, tyro.conf.subcommand("models")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. A user's mistake gives one line on stderr, never a traceback."""
    try:
        return _parse(arguments).run()
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except BrokenPipeError:
        # Whoever read our output went away (`| head`): stop quietly, and keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DptStreamError, OSError, ValueError) as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        return _complain(describe(error), 1)
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE) == "1":
            raise
        return _complain(
            f"unexpected {describe(error)} (this is a bug; set {TRACEBACK_VARIABLE}=1 to see where it came from)", 1
        )


def _parse(arguments: Sequence[str]) -> Command:
    command: Command = tyro.cli(
        Commands,
        prog="dptstream",
        description=DESCRIPTION,
        args=list(arguments),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
    )
    return command


def _complain(line: str, code: int) -> int:
    print(f"dptstream: {line}", file=sys.stderr)
    return code
