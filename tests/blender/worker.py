"""Runs in a Python with bpy: calls functions by name as they are asked for on stdin, and answers in JSON on stdout."""

import importlib
import json
import os
import sys
import threading
import traceback

# Blender prints to stdout whenever it likes; answers go to a pipe of their own.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import bpy  # noqa: E402

HANG_SECONDS = 100.0


def main() -> None:
    """Answer until stdin closes."""
    for line in sys.stdin:
        order = json.loads(line)
        # Blender may hang where no exception gets out; the tests must go on then.
        watchdog = threading.Timer(HANG_SECONDS, os._exit, (9,))
        watchdog.daemon = True
        watchdog.start()
        try:
            module, _, name = order["function"].rpartition(".")
            reply = {"result": getattr(importlib.import_module(module), name)(**order["arguments"])}
        except BaseException:  # noqa: BLE001 - whatever goes wrong is told
            reply = {"error": traceback.format_exc()}
        watchdog.cancel()
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    bpy.context.preferences.view.show_splash = False
    main()
