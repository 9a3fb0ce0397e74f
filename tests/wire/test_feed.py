"""Publishers and subscribers, and what may happen to them."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from dptstream.errors import WireError, WireVersionError
from dptstream.wire import FrameMessage, Limits, Message, pack
from dptstream.wire import gatekeeper as gatekeeper_module
from dptstream.wire import publisher as publisher_module
from dptstream.wire import subscriber as subscriber_module
from dptstream.wire.endpoints import is_local
from dptstream.wire.keys import load_client_keys, load_server_keys, make_keys
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber
from tests.waiting import PATIENCE_SECONDS, lasting_port, shortest, wait_until

from .feeding import ROOT, numbered_frame, publisher_process
from .making import OTHER_SESSION, SESSION, make_end

ANY_PORT = "tcp://127.0.0.1:*"

VICTIM = """
import sys, time
from dptstream.wire.subscriber import Subscriber
with Subscriber(sys.argv[1]) as subscriber:
    assert subscriber.receive(60.0) is not None
    print("listening", flush=True)
    time.sleep(600)
"""


@contextmanager
def pair(**options: Any) -> Iterator[tuple[Publisher, Subscriber]]:
    with Publisher(ANY_PORT) as publisher, Subscriber(publisher.endpoint, **options) as subscriber:
        wait_until(lambda: publisher.subscribers)
        yield publisher, subscriber


def test_every_frame_arrives_whole_and_in_order() -> None:
    with pair(capacity=50) as (publisher, subscriber):
        for sequence in range(20):
            publisher.send(numbered_frame(sequence, SESSION))
            time.sleep(0.005)
        publisher.send(make_end(next_sequence=20))
        received = list(subscriber)
        assert [message.sequence for message in received] == list(range(20))
        assert [int(message.depth.codes[3, 4]) for message in received] == list(range(1, 21))
        assert (subscriber.stats.received, subscriber.stats.lost, subscriber.stats.sessions) == (20, 0, 1)


def test_who_comes_late_gets_the_newest_frame() -> None:
    with pair() as (publisher, subscriber):
        for sequence in range(5):
            publisher.send(numbered_frame(sequence, SESSION))
        wait_until(lambda: subscriber.stats.received == 5)
        message = subscriber.receive(0)
        assert message is not None
        assert message.sequence == 4
        assert subscriber.stats.skipped == 4
        assert subscriber.receive(0) is None


def test_gaps_in_the_numbers_are_counted_even_at_the_end() -> None:
    with pair(capacity=9) as (publisher, subscriber):
        for sequence in (5, 6, 9):
            publisher.send(numbered_frame(sequence, SESSION))
        publisher.send(make_end(next_sequence=14))
        assert [message.sequence for message in subscriber] == [5, 6, 9]
        assert subscriber.stats.lost == 2 + 4
        publisher.send(numbered_frame(99, OTHER_SESSION))  # where another session begins is no gap
        wait_until(lambda: subscriber.stats.received == 4)
        assert (subscriber.stats.lost, subscriber.stats.sessions) == (2 + 4, 2)


def test_each_feed_has_a_mailbox_and_a_name_is_matched_whole() -> None:
    with (
        Publisher(ANY_PORT) as publisher,
        Subscriber(publisher.endpoint) as everything,
        Subscriber(publisher.endpoint, feed="cam1") as one,
    ):
        wait_until(lambda: publisher.subscribers == 2)
        for feed in ("cam10", "cam1x", "cam1"):
            publisher.send(numbered_frame(0, SESSION, feed=feed))
        wait_until(lambda: everything.stats.received == 3 and one.stats.received > 0)
        assert [everything.receive(0).feed for _ in range(3)] == ["cam10", "cam1x", "cam1"]  # type: ignore[union-attr]
        assert one.stats.received == 1


def test_a_callback_gets_every_message_and_its_failure_ends_nothing() -> None:
    seen: list[Message] = []

    def remember_then_fail(message: Message) -> None:
        seen.append(message)
        raise RuntimeError("a bug of the user's")

    with pair(on_message=remember_then_fail) as (publisher, _):
        publisher.send(numbered_frame(0, SESSION))
        publisher.send(numbered_frame(1, SESSION))
        publisher.send(make_end(next_sequence=2))
        wait_until(lambda: sum(isinstance(message, FrameMessage) for message in seen) == 2 and len(seen) >= 3)


def test_a_feed_gives_a_sign_of_life_at_once_and_each_second() -> None:
    statuses: list[Message] = []
    with Publisher(ANY_PORT) as publisher:
        publisher.announce("cam1", SESSION, "paused", note="by \x1bsomebody")
        with Subscriber(publisher.endpoint, on_message=statuses.append) as subscriber:
            wait_until(lambda: len(statuses) >= 3)
            status = subscriber.status()["cam1"]
            assert (status.state, status.note, status.subscribers) == ("paused", "by ?somebody", 1)
            assert subscriber.alive


def test_iteration_gives_up_after_the_time_it_was_given() -> None:
    with Subscriber("tcp://127.0.0.1:9") as subscriber, pytest.raises(WireError, match=r"nothing came .* for 0.1 s"):
        next(subscriber.frames(timeout=0.1))


def test_iteration_waits_on_as_long_as_a_paused_feed_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    signs: list[Message] = []

    def note(message: Message) -> None:
        signs.append(message)
        if len(signs) == 8:
            publisher.send(numbered_frame(0, SESSION))

    with pair(on_message=note) as (publisher, subscriber):
        # A clock that goes on by half the time allowed with each sign, so that no machine is too busy for it.
        monkeypatch.setattr(subscriber_module, "time", SimpleNamespace(monotonic=lambda: len(signs) * 0.05))
        monkeypatch.setattr(publisher_module, "STATUS_SECONDS", 0.05)
        publisher.announce("cam1", SESSION, "paused")
        wait_until(lambda: signs)
        assert next(subscriber.frames(timeout=0.1)).sequence == 0


def test_who_forgot_to_start_is_told_instead_of_waiting_for_ever() -> None:
    with pytest.raises(ValueError, match="does not listen yet: use it in a `with` statement"):
        Subscriber("tcp://127.0.0.1:9").receive()


@pytest.mark.parametrize("name", ["", "cam 1", "-cam", "x" * 65])
def test_a_name_that_no_feed_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a feed's name holds up to 64 letters"):
        Subscriber("tcp://127.0.0.1:9", feed=name)


def test_a_slow_network_is_not_a_source_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "STALL_SECONDS", 0.01)
    monkeypatch.setattr(publisher_module, "STATUS_SECONDS", 0.05)
    with Publisher("tcp://127.0.0.1:*") as publisher, Subscriber(publisher.endpoint) as subscriber:
        publisher.send(numbered_frame(0, SESSION))
        wait_until(lambda: "cam1" in subscriber.status() and subscriber.status()["cam1"].state == "waiting")
        time.sleep(0.3)
        publisher.send(numbered_frame(1, SESSION))
        sent = time.monotonic()
        wait_until(lambda: subscriber.status()["cam1"].state == "playing")
        wait_until(lambda: subscriber.status()["cam1"].state == "waiting")
        assert time.monotonic() - sent > 0.85  # three times as long as the last frame took


def test_what_was_closed_does_not_listen_again_in_silence() -> None:
    subscriber = Subscriber("tcp://127.0.0.1:9")
    subscriber.start().close()
    assert subscriber.receive() is None
    with pytest.raises(ValueError, match="was closed: make a new one"):
        subscriber.start()


def test_starting_twice_is_starting_once() -> None:
    with Publisher(ANY_PORT) as publisher, Subscriber(publisher.endpoint) as subscriber:
        assert publisher.start() is publisher
        assert subscriber.start() is subscriber
        publisher.announce("cam1", SESSION)
        wait_until(lambda: publisher.subscribers == 1)


def test_an_iteration_ends_when_another_thread_closes() -> None:
    subscriber = Subscriber("tcp://127.0.0.1:9").start()
    threading.Timer(0.1, subscriber.close).start()
    assert list(subscriber) == []  # which would wait for ever


def test_closing_with_nobody_on_the_other_side_takes_no_time() -> None:
    def closing_without_anybody() -> float:
        with Subscriber("tcp://127.0.0.1:9"), Subscriber("tcp://192.0.2.1:5577") as subscriber:
            assert subscriber.receive(0.05) is None
            begin = time.monotonic()
        return time.monotonic() - begin

    def closing_after_a_death() -> float:
        with publisher_process(fps=200) as (process, endpoint), Subscriber(endpoint) as subscriber:
            assert subscriber.receive(PATIENCE_SECONDS) is not None
            process.kill()
            process.wait()
            begin = time.monotonic()
        return time.monotonic() - begin

    assert shortest(closing_without_anybody, 2.0) < 2.0
    assert shortest(closing_after_a_death, 2.0) < 2.0


def test_a_publisher_closes_quickly_though_a_subscriber_has_stopped_reading() -> None:
    def closing() -> float:
        with Publisher(ANY_PORT) as publisher:
            context: Any = zmq.Context()
            frozen = context.socket(zmq.SUB)  # nobody reads from it
            frozen.rcvhwm, frozen.linger = 1, 0
            frozen.subscribe(b"")
            frozen.connect(publisher.endpoint)
            wait_until(lambda: publisher.subscribers)
            for sequence in range(40):
                publisher.send(numbered_frame(sequence, SESSION, 500, 900))
            begin = time.monotonic()
            publisher.close()
            publisher.close()
            elapsed = time.monotonic() - begin
            context.destroy(linger=0)
        return elapsed

    assert shortest(closing, 2.0) < 2.0


def test_a_restarted_publisher_is_found_within_two_seconds_and_known_as_a_new_session() -> None:
    endpoint = f"tcp://127.0.0.1:{lasting_port()}"
    known: list[str] = []
    with Subscriber(endpoint) as subscriber:

        def found_after() -> float:
            with publisher_process(endpoint, 100):
                begin = time.monotonic()
                message = next(message for message in subscriber if message.session not in known)
                elapsed = time.monotonic() - begin
            known.append(message.session)
            return elapsed

        found_after()
        assert shortest(found_after, 2.0) < 2.0
        assert subscriber.stats.sessions == len(known) > 1


def test_a_killed_subscriber_harms_neither_the_publisher_nor_the_others() -> None:
    with pair(capacity=300) as (publisher, survivor):
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, publisher.endpoint], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as victim:
            wait_until(lambda: publisher.subscribers == 2)
            publisher.send(numbered_frame(0, SESSION))
            assert victim.stdout is not None
            assert victim.stdout.readline() == "listening\n"
            victim.kill()
        for sequence in range(1, 50):
            publisher.send(numbered_frame(sequence, SESSION))
        for sequence in range(50):
            message = survivor.receive(PATIENCE_SECONDS)
            assert message is not None
            assert message.sequence == sequence
        wait_until(lambda: publisher.subscribers == 1)


def test_a_slow_consumer_gets_fresh_frames_and_leaves_the_others_alone() -> None:
    seen: list[int] = []

    def note(message: Message) -> None:
        if isinstance(message, FrameMessage):
            seen.append(message.sequence)

    with (
        publisher_process("tcp://127.0.0.1:*", 30, 518, 924) as (_, endpoint),
        Subscriber(endpoint, on_message=note) as slow,
        Subscriber(endpoint, capacity=1000) as quick,
    ):
        ages = []
        for _ in range(8):
            count = len(seen) + 5
            wait_until(lambda count=count: len(seen) >= count)  # type: ignore[misc]  # so long it is busy
            newest = seen[-1]
            message = slow.receive(0)
            assert message is not None
            assert message.sequence >= newest
            ages.append(time.time_ns() - (message.captured_unix_ns or 0))
        assert min(ages) < 100e6
        assert slow.stats.skipped >= 8 * 3
        wait_until(lambda: quick.stats.received >= 8 * 5)
        assert quick.stats.skipped == 0


def test_a_subscriber_that_stopped_reading_costs_the_sender_no_memory() -> None:
    psutil = pytest.importorskip("psutil", reason="measures another process")
    with publisher_process("tcp://127.0.0.1:*", 30, 518, 924) as (process, endpoint):
        context: Any = zmq.Context()
        frozen = context.socket(zmq.SUB)
        frozen.rcvhwm = 1
        frozen.subscribe(b"")
        frozen.connect(endpoint)
        with Subscriber(endpoint) as other:
            assert other.receive(PATIENCE_SECONDS) is not None
            wait_until(lambda: other.stats.received >= 30)
            before = psutil.Process(process.pid).memory_info().rss
            received = other.stats.received
            # 2.4 MB each were sent; what waits for the frozen one is bounded by its high-water mark.
            wait_until(lambda: other.stats.received >= received + 90)
            assert psutil.Process(process.pid).memory_info().rss - before < 50e6
        context.destroy(linger=0)


def test_ten_subscribers_all_get_everything() -> None:
    with Publisher(ANY_PORT) as publisher:
        subscribers = [Subscriber(publisher.endpoint, capacity=30).start() for _ in range(10)]
        wait_until(lambda: publisher.subscribers == 10)
        for sequence in range(20):
            publisher.send(numbered_frame(sequence, SESSION))
            time.sleep(0.01)
        publisher.send(make_end(next_sequence=20))
        assert [len(list(subscriber)) for subscriber in subscribers] == [20] * 10
        for subscriber in subscribers:
            subscriber.close()
        wait_until(lambda: publisher.subscribers == 0)


def test_hostile_messages_are_counted_and_the_good_ones_still_arrive(caplog: pytest.LogCaptureFixture) -> None:
    context: Any = zmq.Context()
    sender = context.socket(zmq.XPUB)
    sender.linger, sender.rcvtimeo = 0, 60_000
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    limits = Limits(max_plane_bytes=100_000)
    good = pack(numbered_frame(3, SESSION))
    with Subscriber(f"tcp://127.0.0.1:{port}", limits=limits) as subscriber:
        sender.recv()
        for parts in (
            [b"dpt/cam1/frame"],
            [b"dpt/cam1/frame", b"garbage"],
            good[:2],
            [*good[:3], bytes(good[3])[:-1]],
            [*good, *[b"more"] * 1000],
            [b"dpt/" + bytes(50_000), good[1]],
        ):
            sender.send_multipart(parts)
        sender.send_multipart(good)
        message = subscriber.receive(PATIENCE_SECONDS)
        assert message is not None
        assert message.sequence == 3
        assert subscriber.stats.rejected == 6
        assert caplog.text.count("was not understood") == 1
        # One part larger than allowed: ZeroMQ itself hangs up before it is read, and connects anew.
        sender.send_multipart([*good[:2], bytes(200_000)])
        sender.recv()
        sender.recv()
        sender.send_multipart(pack(numbered_frame(4, SESSION)))
        message = subscriber.receive(PATIENCE_SECONDS)
        assert message is not None
        assert message.sequence == 4
    context.destroy(linger=0)


def test_somebody_who_does_not_speak_zeromq_is_left_behind_once_a_publisher_takes_the_address() -> None:
    port = lasting_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        subscriber = Subscriber(f"tcp://127.0.0.1:{port}").start()
        connection, _ = server.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(100))
        time.sleep(0.1)
        connection.close()
    with publisher_process(f"tcp://127.0.0.1:{port}", 100), subscriber:
        assert subscriber.receive(PATIENCE_SECONDS) is not None


def test_a_sender_that_invents_feeds_is_not_listened_to_for_ever() -> None:
    with pair() as (publisher, subscriber):
        for number in range(80):
            publisher.send(numbered_frame(0, SESSION, feed=f"feed{number}"))
            time.sleep(0.002)
        wait_until(lambda: subscriber.stats.received + subscriber.stats.rejected >= 80)
        assert subscriber.stats.received == 64


def test_a_sender_of_another_version_is_reported() -> None:
    context: Any = zmq.Context()
    sender = context.socket(zmq.XPUB)
    sender.linger, sender.rcvtimeo = 0, 60_000
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber:
        sender.recv()
        sender.send_multipart([b"dpt/cam1/frame", b'{"v":2}', b""])
        with pytest.raises(WireVersionError, match="version 2"):
            subscriber.receive(PATIENCE_SECONDS)
    context.destroy(linger=0)


needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets with a path")


@needs_unix_sockets
def test_a_path_can_be_an_address_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path / 'feed'}"
    with Publisher(endpoint) as publisher, Subscriber(endpoint) as subscriber:
        wait_until(lambda: publisher.subscribers)
        publisher.send(numbered_frame(0, SESSION))
        assert subscriber.receive(PATIENCE_SECONDS) is not None
    assert not (tmp_path / "feed").exists()


@needs_unix_sockets
def test_a_path_where_somebody_serves_is_not_taken_from_them(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path / 'feed'}"
    with Publisher(endpoint) as publisher, pytest.raises(WireError, match="something else does already"):
        Publisher(endpoint).start()
    with Subscriber(endpoint) as subscriber, Publisher(endpoint) as publisher:  # free again
        wait_until(lambda: publisher.subscribers)
        assert subscriber.running


@needs_unix_sockets
def test_the_path_of_one_that_was_killed_is_free(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "feed"))
    Publisher(f"ipc://{tmp_path / 'feed'}").start().close()


def test_a_file_is_never_overwritten_by_a_socket(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"precious")
    for path in (film, tmp_path):
        with pytest.raises(WireError, match="there is a file or folder; choose another path"):
            Publisher(f"ipc://{path}").start()
    assert film.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("ipc:///no/such/folder/feed", "there is no such folder"),
        (f"ipc:///tmp/{'x' * 200}", "the path is too long for a socket"),
        ("tcp://192.0.2.1:5577", "this machine has no such address"),
    ],
)
def test_an_address_that_cannot_be_bound_is_explained(endpoint: str, complaint: str) -> None:
    with pytest.raises(WireError, match=f"cannot serve at .*: {complaint}"):
        Publisher(endpoint, insecure=True).start()


def test_two_publishers_at_one_address_are_refused() -> None:
    with Publisher(ANY_PORT) as first, pytest.raises(WireError, match="something else does already"):
        Publisher(first.endpoint).start()


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("tcp://127.0.0.1:5577", True),
        ("tcp://127.3.2.1:*", True),
        ("tcp://[::1]:5577", True),
        ("tcp://localhost:5577", True),
        ("ipc:///run/depth", True),
        ("tcp://0.0.0.0:5577", False),
        ("tcp://*:5577", False),
        ("tcp://[::]:5577", False),
        ("tcp://192.168.1.5:5577", False),
        ("tcp://eth0:5577", False),
    ],
)
def test_only_loopback_counts_as_this_machine(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local


@pytest.mark.parametrize("endpoint", ["", "5577", "udp://1.2.3.4:5", "tcp://127.0.0.1", "tcp://127.0.0.1:99999"])
def test_nonsense_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match="an endpoint is"):
        Publisher(endpoint)


def test_serving_other_machines_needs_keys_or_the_word_insecure(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"anybody may connect: make keys"):
        Publisher("tcp://0.0.0.0:*")
    with Publisher("tcp://0.0.0.0:*", insecure=True):
        assert "nothing is encrypted" in caplog.text


def test_only_clients_on_the_list_get_anything_and_others_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_keys(tmp_path / "ours", ["laptop", "thief"])
    (tmp_path / "ours" / "clients" / "thief.key").unlink()
    laptop, thief = (load_client_keys(tmp_path / "ours" / name) for name in ("laptop", "thief"))
    with Publisher(ANY_PORT, keys=load_server_keys(tmp_path / "ours")) as publisher:
        where = publisher.endpoint
        with (
            caplog.at_level(logging.INFO),
            Subscriber(where, keys=laptop) as friend,
            Subscriber(where, keys=thief) as stranger,
            Subscriber(where) as naked,
        ):
            wait_until(lambda: publisher.subscribers == 1 and publisher.denied >= 1)
            for sequence in range(30):
                publisher.send(numbered_frame(sequence, SESSION))
                time.sleep(0.02)
            wait_until(lambda: friend.stats.received == 30)
            wait_until(lambda: f"its key {thief.public.decode()} is not on the list" in caplog.text)
            assert (stranger.stats.received_bytes, naked.stats.received_bytes) == (0, 0)
    assert "laptop connected from 127.0.0.1" in caplog.text


@pytest.mark.parametrize("has_key", [False, True])
def test_who_comes_without_the_server_s_key_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, has_key: bool
) -> None:
    monkeypatch.setattr(gatekeeper_module, "_LOG_AGAIN_SECONDS", 1000.0)
    make_keys(tmp_path / "ours", ["laptop"])
    make_keys(tmp_path / "theirs", ["laptop"])
    keys = load_client_keys(tmp_path / "theirs" / "laptop") if has_key else None
    with (
        Publisher(ANY_PORT, keys=load_server_keys(tmp_path / "ours")) as publisher,
        Subscriber(publisher.endpoint, keys=keys),
    ):
        wait_until(lambda: publisher.denied >= 2)
    refused = [
        record for record in caplog.records if "came without a key, or with the key of another" in record.message
    ]
    assert len(refused) == 1  # though it comes again and again


def test_a_client_that_expects_another_server_gets_nothing(tmp_path: Path) -> None:
    make_keys(tmp_path / "ours", ["laptop"])
    make_keys(tmp_path / "theirs", ["laptop"])
    keys = load_server_keys(tmp_path / "theirs")
    (tmp_path / "theirs" / "clients" / "laptop.key").write_bytes(
        (tmp_path / "ours" / "clients" / "laptop.key").read_bytes()
    )
    laptop = load_client_keys(tmp_path / "ours" / "laptop")
    with Publisher(ANY_PORT, keys=keys) as impostor, Subscriber(impostor.endpoint, keys=laptop) as subscriber:
        for sequence in range(20):
            impostor.send(numbered_frame(sequence, OTHER_SESSION))
            time.sleep(0.02)
        assert subscriber.stats.received_bytes == 0
