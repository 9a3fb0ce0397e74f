"""Addresses, through servers on this machine: one that answers, and some that do not."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from dptstream.errors import SourceAwayError, SourceError
from dptstream.sources import SourceOptions, open_source
from tests.media import Coding, number_of, numbered_pictures, write_video
from tests.waiting import lasting_port, shortest

IMPATIENT = SourceOptions(open_timeout_s=0.5, read_timeout_s=0.5)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def stalling_server(first_bytes: bytes) -> Iterator[str]:
    """Answer with ``first_bytes`` of a much longer body, and then say nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection:
                if not connection.recv(4096):
                    continue
                header = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: 100000000\r\n\r\n"
                connection.sendall(header + first_bytes)
                over.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes the thread that accepts
        thread.join()
        listener.close()


@contextmanager
def answering_server(status: str) -> Iterator[str]:
    """Answer each request of HTTP or RTSP with ``status`` and nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        while request := connection.recv(4096):
            numbers = [line for line in request.decode().splitlines() if line.startswith("CSeq:")]
            protocol = "RTSP/1.0" if numbers else "HTTP/1.0"
            head = [f"{protocol} {status}", *numbers, "Content-Length: 0", "", ""]
            connection.sendall("\r\n".join(head).encode())
            if not numbers:
                return

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes the thread that accepts
        thread.join()
        listener.close()


@contextmanager
def silent_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def a_minute_of_transport_stream(folder: Path) -> bytes:
    pictures = numbered_pictures(25) * 4
    return write_video(folder / "clip.ts", pictures, Coding(options={"preset": "ultrafast", "g": "5"})).read_bytes()


def test_a_clip_is_read_from_a_web_server(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_pictures(8))
    with file_server(tmp_path) as host, open_source(f"http://{host}/clip.mp4") as source:
        assert [number_of(frame.image) for frame in source] == list(range(8))
        assert (source.info.name, source.info.live) == ("127.0.0.1_clip", False)


def test_the_password_of_an_address_is_shown_nowhere(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_pictures(3))
    with file_server(tmp_path) as host, open_source(f"http://user:geheim@{host}/clip.mp4?token=abc") as source:
        assert source.info.location == f"http://user:***@{host}/clip.mp4?token=***"
        assert "geheim" not in repr(source.info)
        assert len(list(source)) == 3


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_an_address_that_refuses_is_an_error_without_its_password(scheme):
    host = f"127.0.0.1:{lasting_port()}"  # where nobody listens
    with pytest.raises(SourceError, match="Connection refused") as caught:
        open_source(f"{scheme}://user:geheim@{host}/1")
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__  # FFmpeg's own error holds the address as it was given


def test_a_page_that_is_not_there_is_an_error(tmp_path):
    with file_server(tmp_path) as host, pytest.raises(SourceError, match=r"no\.mp4: Server returned 404"):
        open_source(f"http://{host}/no.mp4")


def test_a_page_that_is_no_video_is_an_error(tmp_path):
    (tmp_path / "index.html").write_text("<html><body>Welcome</body></html>" * 50)
    with file_server(tmp_path) as host, pytest.raises(SourceError, match="no video comes from there"):
        open_source(f"http://{host}/")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_an_address_that_never_answers_is_given_up_in_time(scheme):
    def giving_up() -> float:
        began = time.monotonic()
        given_up = pytest.raises(SourceError, match=r"nothing came within 0\.5 seconds|no video comes")
        with silent_server() as host, given_up:
            open_source(f"{scheme}://{host}/1", IMPATIENT)
        return time.monotonic() - began

    assert shortest(giving_up, 5) < 5


def test_a_scheme_nobody_knows_is_an_error():
    with pytest.raises(SourceError, match="addresses beginning with gopherx:// are not understood"):
        open_source("gopherx://host/clip")


def test_the_name_of_a_scheme_may_be_in_capitals(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_pictures(3))
    with file_server(tmp_path) as host, open_source(f"HTTP://{host}/clip.mp4") as source:
        assert len(list(source)) == 3


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("rtsp://", "the address lacks a host; write scheme://HOST/"),
        ("http:///clip.mp4", "the address lacks a host"),
        ("rtsp://camera:0/1", "the address lacks a port other than 0"),
        ("rtsp://camera:port/1", "this address cannot be read: a port is a number below 65536"),
        ("http://camera:65536/1", "this address cannot be read"),
        ("rtsp://[::1/1", "this address cannot be read"),
        ("rtsp://user:geheim/1@camera/1", "cannot be read: .* within a password are written %2F"),
    ],
)
def test_an_address_that_no_server_can_have_is_refused_at_once(address, complaint):
    with pytest.raises(SourceError, match=complaint) as caught:
        open_source(address)
    assert not isinstance(caught.value, SourceAwayError)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_an_address_where_nobody_answers_may_have_something_later(scheme):
    host = f"127.0.0.1:{lasting_port()}"  # where nobody listens
    with pytest.raises(SourceAwayError, match="Connection refused"):
        open_source(f"{scheme}://{host}/1")
    with silent_server() as host, pytest.raises(SourceAwayError):
        open_source(f"{scheme}://{host}/1", IMPATIENT)


def test_a_camera_that_is_not_there_may_come_later():
    with pytest.raises(SourceAwayError, match="no such camera"):
        open_source("/dev/video917")


@pytest.mark.parametrize(
    ("scheme", "status", "away", "complaint"),
    [
        ("http", "404 Not Found", False, "404"),
        ("rtsp", "404 Not Found", True, "404"),  # so a relay answers until somebody sends to it
        ("http", "503 Service Unavailable", True, "5XX"),
        ("rtsp", "503 Service Unavailable", True, "5XX"),
        ("http", "401 Unauthorized", False, "user or password is missing or wrong; write http://USER:PASSWORD@HOST"),
        ("rtsp", "401 Unauthorized", False, "user or password is missing or wrong; write rtsp://USER:PASSWORD@HOST"),
        ("http", "403 Forbidden", False, "403"),
    ],
)
def test_what_a_server_answers_tells_whether_it_helps_to_wait(scheme, status, away, complaint):
    with answering_server(status) as host, pytest.raises(SourceError, match=complaint) as caught:
        open_source(f"{scheme}://{host}/1", SourceOptions(open_timeout_s=30, read_timeout_s=30))
    assert isinstance(caught.value, SourceAwayError) == away


def test_a_live_stream_that_falls_silent_is_an_error_after_the_read_timeout(tmp_path):
    data = a_minute_of_transport_stream(tmp_path)
    with stalling_server(data[: len(data) // 2]) as host:
        options = SourceOptions(open_timeout_s=60, read_timeout_s=2, live=True)
        with open_source(f"http://{host}/live.ts", options) as source:
            with pytest.raises(SourceError, match=r"nothing came within 2 seconds"):
                list(source)
            assert source.stats.decoded > 10


def test_a_recording_that_falls_silent_gives_what_came_and_a_warning(tmp_path):
    data = a_minute_of_transport_stream(tmp_path)
    with stalling_server(data[: len(data) // 2]) as host:
        options = SourceOptions(open_timeout_s=60, read_timeout_s=2)
        with open_source(f"http://{host}/clip.ts", options) as source:
            assert len(list(source)) > 10
            assert source.stats.damaged
            assert any("reading stopped early" in line for line in source.stats.warnings)


def test_closing_from_another_thread_ends_a_read_that_waits_for_the_network(tmp_path):
    data = a_minute_of_transport_stream(tmp_path)
    with stalling_server(data[: len(data) // 2]) as host:
        source = open_source(f"http://{host}/live.ts", SourceOptions(open_timeout_s=60, read_timeout_s=1, live=True))
        raised: list[BaseException] = []

        def read() -> None:
            try:
                for _ in source:
                    pass
            except SourceError as error:
                raised.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        source.close()
        reader.join(timeout=60)
        assert not reader.is_alive()
        assert raised == []  # whoever closes wants no error
        source.close()


def test_closing_while_another_thread_reads_a_file_is_safe(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(25) * 20)
    for _ in range(5):
        source = open_source(str(path))
        reader = threading.Thread(target=lambda source=source: [None for _ in source])
        reader.start()
        time.sleep(0.01)
        source.close()
        reader.join(timeout=60)
        assert not reader.is_alive()
