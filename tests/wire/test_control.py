"""Steering a server over the wire."""

import time
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from dptstream.errors import SourceError, WireError, WireVersionError
from dptstream.wire.control import ControlClient, ControlServer
from dptstream.wire.keys import load_client_keys, load_server_keys, make_keys
from dptstream.wire.requests import Request, pack_reply, pack_request, unpack_reply, unpack_request
from tests.waiting import PATIENCE_SECONDS, shortest

ANY_PORT = "tcp://127.0.0.1:*"


class Recorder:
    """A handler that writes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def _note(self, operation: str, **arguments: Any) -> None:
        self.asked.append((operation, arguments))

    def status(self) -> dict[str, object]:
        return {"frames_per_second": 30.0, "feeds": ["cam1"]}

    def feeds(self) -> dict[str, object]:
        return {"bad": object()}

    def pause(self, *, feed: str | None, paused: bool) -> None:
        self._note("pause", feed=feed, paused=paused)

    def seek(self, *, feed: str | None, seconds: float) -> None:
        raise SourceError("a camera cannot be wound back\nat all")

    def loop(self, *, feed: str | None, enabled: bool) -> None:
        self._note("loop", feed=feed, enabled=enabled)

    def model(self, *, name: str) -> None:
        raise RuntimeError("a bug")

    def size(self, *, pixels: int | None) -> None:
        self._note("size", pixels=pixels)

    def temporal(self, *, preset: str) -> None:
        self._note("temporal", preset=preset)

    def quit(self) -> None:
        self._note("quit")


def test_a_request_is_these_bytes() -> None:
    request = Request("seek", {"feed": "cam1", "seconds": 12.5})
    data = b'{"v":1,"op":"seek","feed":"cam1","seconds":12.5}'
    assert pack_request(request) == data
    assert unpack_request(data) == request


def test_replies_are_these_bytes() -> None:
    assert pack_reply({"paused": True}) == b'{"v": 1, "ok": true, "result": {"paused": true}}'
    assert unpack_reply(b'{"v": 1, "ok": true, "result": {"paused": true}}') == {"paused": True}
    with pytest.raises(WireError, match=r"^not today\?\[2J$"):
        unpack_reply(b'{"v":1,"ok":false,"error":"not today\\u001b[2J"}')


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"hello", "not JSON"),
        (b'{"v":1,"op":"fly"}', "there is no operation 'fly'; there are status, feeds, pause"),
        (b'{"v":1,"op":"__init__"}', "there is no operation"),
        (b'{"v":1,"op":"pause","paused":1}', "'paused' must be true or false"),
        (b'{"v":1,"op":"pause"}', "lacks 'paused'"),
        (b'{"v":1,"op":"seek","seconds":-1}', "at least 0"),
        (b'{"v":1,"op":"size","pixels":100000}', "from 1 to 16384"),
        (b'{"v":1,"op":"model","name":""}', "1 to 256 characters"),
        (b'{"v":1,"op":"quit","now":true}', "quit has no argument 'now'; it has none at all"),
        (b'{"v":1,"op":"loop","enabeld":true}', "loop has no argument 'enabeld'; it has feed, enabled"),
    ],
)
def test_a_request_that_is_wrong_is_refused_with_what_is_allowed(data: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        unpack_request(data)


def test_a_request_of_another_version_is_refused() -> None:
    with pytest.raises(WireVersionError, match="version 7"):
        unpack_request(b'{"v":7,"op":"status"}')


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_bytes_of_strangers_give_wire_errors_alone(data: bytes) -> None:
    for read in (unpack_request, unpack_reply):
        with pytest.raises(WireError):
            read(data)


def test_requests_reach_the_handler_and_its_answers_and_refusals_come_back() -> None:
    handler = Recorder()
    with ControlServer(handler, ANY_PORT) as server:
        client = ControlClient(server.endpoint, timeout=PATIENCE_SECONDS)
        assert client.request("status") == {"frames_per_second": 30.0, "feeds": ["cam1"]}
        assert client.request("pause", paused=True) == {}
        assert client.request("loop", feed="cam1", enabled=False) == {}
        assert client.request("size", pixels=None) == {}
        with pytest.raises(WireError, match=r"^a camera cannot be wound back at all$"):
            client.request("seek", seconds=3)
        with pytest.raises(WireError, match="the server failed: RuntimeError: a bug"):
            client.request("model", name="tiny")
        with pytest.raises(WireError, match="the answer cannot be sent"):
            client.request("feeds")
        assert client.request("quit") == {}
    assert handler.asked == [
        ("pause", {"feed": None, "paused": True}),
        ("loop", {"feed": "cam1", "enabled": False}),
        ("size", {"pixels": None}),
        ("quit", {}),
    ]


def test_garbage_is_answered_and_the_next_request_still_works() -> None:
    with ControlServer(Recorder(), ANY_PORT) as server:
        context: Any = zmq.Context()
        stranger = context.socket(zmq.REQ)
        stranger.linger, stranger.rcvtimeo = 0, 60_000
        stranger.connect(server.endpoint)
        stranger.send_multipart([b"garbage"] * 100)
        assert b"one part" in stranger.recv()
        stranger.send(b"\xff" * 70_000)  # ZeroMQ hangs up
        context.destroy(linger=0)
        assert ControlClient(server.endpoint, timeout=PATIENCE_SECONDS).request("status")


def test_nobody_there_is_said_after_the_time_given() -> None:
    def asking() -> float:
        begin = time.monotonic()
        with pytest.raises(WireError, match=r"no answer from tcp://127.0.0.1:9 in 0.2 s"):
            ControlClient("tcp://127.0.0.1:9", timeout=0.2).request("status")
        return time.monotonic() - begin

    assert shortest(asking, 2.0) < 2.0


def test_a_stranger_cannot_steer(tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop", "thief"])
    (tmp_path / "clients" / "thief.key").unlink()
    laptop = load_client_keys(tmp_path / "laptop")
    with ControlServer(Recorder(), ANY_PORT, keys=load_server_keys(tmp_path)) as server:
        assert ControlClient(server.endpoint, keys=laptop, timeout=PATIENCE_SECONDS).request("status")
        for keys in (load_client_keys(tmp_path / "thief"), None):
            with pytest.raises(WireError, match="key on its list"):
                ControlClient(server.endpoint, keys=keys, timeout=0.5).request("status")


def test_steering_from_other_machines_needs_keys() -> None:
    with pytest.raises(ValueError, match="anybody may connect"):
        ControlServer(Recorder(), "tcp://*:5578")
