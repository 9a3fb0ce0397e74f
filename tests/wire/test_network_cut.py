"""A cable pulled for ten seconds, in a network of its own (Linux, root)."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dptstream.wire.subscriber import Subscriber
from tests.waiting import PATIENCE_SECONDS, shortest, wait_until

ROOT = Path(__file__).parents[2]
CUT_SECONDS = 10.0
NETWORK = f"10.199.{os.getpid() % 256}"
THERE = (f"{NETWORK}.2", 5577)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def connect(name: str) -> None:
    """Lay a cable to the namespace: ``.1`` at this end, ``.2`` at the other."""
    ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
    ip("addr", "add", f"{NETWORK}.1/24", "dev", f"{name}a")
    ip("link", "set", f"{name}a", "up")
    ip("-n", name, "addr", "add", f"{NETWORK}.2/24", "dev", f"{name}b")
    ip("-n", name, "link", "set", f"{name}b", "up")


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace at the other end of a cable."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and iproute2 to build a network")
    name = f"dpt{os.getpid()}"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        try:
            connect(name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no cable can be laid here: {error.stderr.decode().strip()}")
        yield name
    finally:
        ip("netns", "del", name)


def knock() -> None:
    """Skip the test where the machine's own rules keep the two ends apart."""
    try:
        socket.create_connection(THERE, timeout=PATIENCE_SECONDS).close()
    except OSError as error:
        pytest.skip(f"the machine lets nothing through its own cables: {error}")


def test_a_consumer_carries_on_by_itself_after_the_network_was_cut(namespace: str) -> None:
    endpoint = "tcp://{}:{}".format(*THERE)
    words = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.wire.feeding", endpoint, "30"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as publisher:
        try:
            assert publisher.stdout is not None
            publisher.stdout.readline()
            knock()
            with Subscriber(endpoint) as subscriber:
                first = subscriber.receive(PATIENCE_SECONDS)
                assert first is not None

                def back_after_a_cut() -> float:
                    ip("link", "set", f"{namespace}a", "down")
                    time.sleep(CUT_SECONDS)
                    assert not subscriber.alive
                    while subscriber.receive(0) is not None:
                        pass
                    ip("link", "set", f"{namespace}a", "up")
                    begin = time.monotonic()
                    second = subscriber.receive(PATIENCE_SECONDS)
                    assert second is not None
                    assert second.session == first.session
                    return time.monotonic() - begin

                def is_fresh() -> bool:
                    newest = subscriber.receive(PATIENCE_SECONDS)
                    assert newest is not None
                    return (
                        newest.sequence - first.sequence > CUT_SECONDS * 20
                        and (time.time_ns() - newest.published_unix_ns) / 1e9 < 0.5
                    )

                assert shortest(back_after_a_cut, 5.0, tries=3) < 5.0
                wait_until(is_fresh)
                assert subscriber.stats.sessions == 1
                assert subscriber.stats.lost > 0
        finally:
            publisher.kill()
