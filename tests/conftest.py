"""What holds for every test: no chance, no neighbour's setting and no busy machine decides how it ends."""

import os
import random
import sys

import pytest
from hypothesis import HealthCheck, settings

from dptstream.wire import publisher

# Numbers are compared with PyTorch's, and graphs take seconds to make: tests of the choice of a runtime set this anew.
os.environ["DPTSTREAM_RUNTIME"] = "torch"

# What a user set for their own runs, and how wide and colourful their terminal is.
for name in ("DPTSTREAM_MODEL", "DPTSTREAM_TRACEBACK", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
    os.environ.pop(name, None)

# Tests talk to this machine alone; a proxy would be asked for it, by FFmpeg as well as by Python.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, ["127.0.0.1,localhost", os.environ.get(name)]))

# The same examples in every run, however long one takes.
slow = [HealthCheck.too_slow]
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=slow)
settings.load_profile("repeatable")

# A publisher drops what a subscriber is too late to take, and on a busy machine any may be; tests that are about being
# late publish from a process of their own.
publisher.HIGH_WATER_MARK = 1000


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Draw the same numbers in each test, whichever ran before it and in every run."""
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
