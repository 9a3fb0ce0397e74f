"""What goes wrong with feeds, and what the panel then says, in real Blender."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from dptstream.wire import pack
from dptstream.wire.keys import load_server_keys, make_keys
from tests.waiting import lasting_port

from .environments import Blender
from .publishing import feed, slope


def free_endpoint() -> str:
    return f"tcp://127.0.0.1:{lasting_port()}"


@contextmanager
def raw_sender(*messages: list[bytes]) -> Iterator[str]:
    """Send these parts over and over, whatever they mean."""
    stop, context = threading.Event(), zmq.Context()
    publisher = context.socket(zmq.PUB)
    publisher.linger = 0
    port = publisher.bind_to_random_port("tcp://127.0.0.1")

    def send() -> None:
        while not stop.wait(0.02):
            for parts in messages:
                publisher.send_multipart(parts)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join()
        context.destroy(linger=0)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "http://127.0.0.1:80"])
def test_an_address_that_cannot_be_is_refused_with_a_pattern_to_follow(fresh: Blender, endpoint: str) -> None:
    refused, why = fresh.call("inside_live.connect", endpoint=endpoint)
    assert refused == "refused"
    assert "tcp://HOST:PORT" in why
    assert "tcp://HOST:PORT" in fresh.call("inside_live.problem")
    assert not fresh.call("inside_live.is_connected")
    assert fresh.call("inside_live.count_data")["objects"] == 0, "a refused connection leaves nothing in the scene"


def test_an_address_where_nobody_serves_is_told_and_connects_as_soon_as_somebody_does(fresh: Blender) -> None:
    endpoint = free_endpoint()
    assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
    told = fresh.call("inside_live.pump_until_problem", text="nothing comes")
    assert "is dptstream serve running there" in told
    with feed(slope, endpoint=endpoint):
        assert fresh.call("inside_live.pump") == 1
        assert fresh.call("inside_live.problem") == ""


def test_a_sender_that_goes_and_comes_back_is_told_and_picked_up_with_its_new_session(fresh: Blender) -> None:
    endpoint = free_endpoint()
    with feed(slope, endpoint=endpoint):
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        first = fresh.call("inside_live.session")
    assert "nothing comes" in fresh.call("inside_live.pump_until_problem", text="nothing comes")
    with feed(slope, endpoint=endpoint):
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert fresh.call("inside_live.session") != first
        assert fresh.call("inside_live.problem") == ""


def test_keys_let_in_who_is_on_the_list(fresh: Blender, tmp_path: Path) -> None:
    make_keys(tmp_path, ["studio"])
    with feed(slope, keys=load_server_keys(tmp_path)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint, keys=str(tmp_path / "studio"))
        assert fresh.call("inside_live.pump") == 1


def test_a_key_that_is_not_on_the_list_is_told(fresh: Blender, tmp_path: Path) -> None:
    make_keys(tmp_path, ["studio"])
    (tmp_path / "clients/studio.key").unlink()
    with feed(slope, keys=load_server_keys(tmp_path)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint, keys=str(tmp_path / "studio"))
        told = fresh.call("inside_live.pump_until_problem", text="refuses")
    assert told.endswith("refuses this client's key: ask its owner to put it on the list")


def test_the_key_of_another_server_is_told(fresh: Blender, tmp_path: Path) -> None:
    make_keys(tmp_path / "one")
    make_keys(tmp_path / "other")
    with feed(slope, keys=load_server_keys(tmp_path / "one")) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint, keys=str(tmp_path / "other/client"))
        assert "key" in fresh.call("inside_live.pump_until_problem", text="key")


def test_a_server_with_keys_is_told_to_who_has_none(fresh: Blender, tmp_path: Path) -> None:
    make_keys(tmp_path)
    with feed(slope, keys=load_server_keys(tmp_path)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert "does it want keys" in fresh.call("inside_live.pump_until_problem", text="keys")


def test_a_folder_without_keys_is_refused(fresh: Blender, tmp_path: Path) -> None:
    refused, why = fresh.call("inside_live.connect", endpoint="tcp://127.0.0.1:5577", keys=str(tmp_path))
    assert refused == "refused"
    assert "`dptstream keys DIR` makes keys" in why


def test_another_version_of_the_wire_is_told(fresh: Blender) -> None:
    topic, header, *planes = map(bytes, pack(slope(0)))
    changed = json.dumps(json.loads(header) | {"v": 2}).encode()
    with raw_sender([topic, changed, *planes]) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        told = fresh.call("inside_live.pump_until_problem", text="version")
    assert "speaks version 2" in told
    assert "use the same release of dptstream on both sides" in told


def test_hostile_messages_are_told_and_do_not_keep_honest_ones_out(fresh: Blender) -> None:
    topic, header, depth, color = map(bytes, pack(slope(0)))
    enormous = json.loads(header)
    enormous["depth"] |= {"width": 16384, "height": 16384}
    hostile = [
        [topic, header, depth[:-1], color],
        [topic, json.dumps(enormous).encode(), depth, color],
        [topic, b"{" * 1000, depth],
        [topic, b"\xff" * 70_000],
        [topic, header] + [b""] * 20,
        [b"dpt/\x00", header, depth, color],
    ]
    with raw_sender(*hostile, [topic, header, depth, color]) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump", frames=5) >= 5
        assert fresh.call("inside_live.surface_error")["error"] < 1e-4
        assert "was not understood" in fresh.call("inside_live.pump_until_problem", text="understood")


@pytest.mark.parametrize(
    ("endpoint", "is_internet"),
    [
        ("tcp://depth.example.com:5577", True),
        ("tcp://8.8.8.8:5577", True),
        ("tcp://localhost:5577", False),
        ("tcp://192.168.1.20:5577", False),
        ("tcp://[::1]:5577", False),
        ("tcp://studio-pc:5577", False),
        ("tcp://studio.local:5577", False),
        ("ipc:///tmp/depth", False),
        ("tcp://[::1", False),
    ],
)
def test_an_address_on_the_internet_needs_blenders_leave(fresh: Blender, endpoint: str, is_internet: bool) -> None:
    assert ("allow online access" in fresh.call("inside_live.why_not_connect", endpoint=endpoint)) == is_internet
