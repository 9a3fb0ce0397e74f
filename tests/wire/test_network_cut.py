"""A cable pulled for ten seconds, in a network of its own (Linux, root)."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dptstream.wire.subscriber import Subscriber

ROOT = Path(__file__).parents[2]
CUT_SECONDS = 10.0
ENDPOINT = "tcp://10.199.77.2:5577"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace at the other end of a cable, ``10.199.77.1`` here and ``10.199.77.2`` there."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and iproute2 to build a network")
    name = f"dpt{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        ip("addr", "add", "10.199.77.1/24", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        ip("-n", name, "addr", "add", "10.199.77.2/24", "dev", f"{name}b")
        ip("-n", name, "link", "set", f"{name}b", "up")
        yield name
    finally:
        ip("netns", "del", name)


def test_a_consumer_carries_on_by_itself_after_the_network_was_cut(namespace: str) -> None:
    words = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.wire.feeding", ENDPOINT, "30"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as publisher:
        try:
            with Subscriber(ENDPOINT) as subscriber:
                first = subscriber.receive(15.0)
                assert first is not None
                ip("link", "set", f"{namespace}a", "down")
                time.sleep(CUT_SECONDS)
                assert not subscriber.alive
                while subscriber.receive(0) is not None:
                    pass
                ip("link", "set", f"{namespace}a", "up")
                begin = time.monotonic()
                second = subscriber.receive(10.0)
                assert second is not None
                assert time.monotonic() - begin < 5.0
                assert second.session == first.session
                time.sleep(0.5)
                newest = subscriber.receive(2.0)
                assert newest is not None
                assert newest.sequence - first.sequence > CUT_SECONDS * 20
                assert (time.time_ns() - newest.published_unix_ns) / 1e9 < 0.5
                assert subscriber.stats.sessions == 1
                assert subscriber.stats.lost > 0
        finally:
            publisher.kill()
