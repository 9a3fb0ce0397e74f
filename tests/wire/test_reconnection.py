"""Who could not read for longer than a connection may be silent, as in a program that was held up."""

import subprocess
import sys

from .feeding import ROOT, publisher_process

HELD_UP = """
import sys, time
from dptstream.wire.connection import Connection
from dptstream.wire.endpoints import HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS
from dptstream.wire.subscriber import HIGH_WATER_MARK
from tests.waiting import wait_until

connection = Connection(sys.argv[1], b"dpt/", None, high_water_mark=HIGH_WATER_MARK, max_part_bytes=10**6)
wait_until(lambda: connection.poll(50))
time.sleep((2 * HEARTBEAT_MS + HEARTBEAT_TIMEOUT_MS) / 1000)
end = time.monotonic() + 2
while time.monotonic() < end:
    if connection.poll(50):
        connection.read(9)
connection.close()
print("went on")
"""


def test_who_was_held_up_for_seconds_goes_on() -> None:
    with publisher_process(fps=100) as (_, endpoint):
        words = [sys.executable, "-c", HELD_UP, endpoint]
        done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, timeout=400)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr
