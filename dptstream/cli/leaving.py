"""The end of the process where a thread cannot be woken, or would take its time to go."""

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process with ``code``; here and now where a thread of ours is left at work."""
    end_if_left(code, lambda thread: thread.daemon and thread.name.startswith("dptstream"))
    sys.exit(code)


def end_if_left(code: int, matters: Callable[[threading.Thread], bool] = lambda _: True) -> None:
    """End the process here and now where a thread is left that matters; call it when all else is closed.

    Nothing wakes a thread that waits within FFmpeg for a silent network, and taking the interpreter down around it, or
    around a network still at work, may crash or take long.
    """
    if any(matters(thread) for thread in threading.enumerate() if thread is not threading.main_thread()):
        end_now(code)


def stop_now() -> NoReturn:
    """End the process as Ctrl-C does; for signal handlers, since what they raise is lost where C code called Python."""
    print("dptstream: stopped", file=sys.stderr)
    end_now(130)


def end_now(code: int) -> NoReturn:
    """End the process here and now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
