"""Network cameras that play a clip round and round, and whose cable can be pulled: MJPEG over HTTP, H.264 over RTSP."""

import base64
import select
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import av
import cv2

Fault = Literal["none", "refusing", "silent"]
LARGEST_RTP = 1400


class ClipCamera(ABC):
    """A camera at ``address`` of this machine.

    Attributes:
        address: What a client opens.
        fault: ``refusing``: every connection is broken and none is taken; ``silent``: connections stay, nothing comes.
        connections: How many were taken so far.
    """

    scheme = "http"

    def __init__(self) -> None:
        self.fault: Fault = "none"
        self.connections = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.address = f"{self.scheme}://127.0.0.1:{self._port}/video"
        self._serving: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in (self._accepting, *self._serving):
            thread.join()
        self._listener.close()

    def refuse(self) -> None:
        """Take connections no more; returns when nobody can connect."""
        self.fault = "refusing"
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                return
            time.sleep(0.01)

    def _accept(self) -> None:
        while not self._over.is_set():
            if self.fault == "refusing":
                self._listener.close()
                while self.fault == "refusing" and not self._over.wait(0.02):
                    pass
                self._listener = socket.create_server(("127.0.0.1", self._port))
            if self.fault == "none" and select.select([self._listener], [], [], 0.02)[0]:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._serving = [*(known for known in self._serving if known.is_alive()), thread]
                thread.start()
            else:
                self._over.wait(0.02)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.talk(connection)

    def may_go_on(self) -> bool:
        """Wait out a silence; return False where the connection has ended."""
        was_silent = self.fault == "silent"
        while self.fault == "silent" and not self._over.wait(0.02):
            pass
        return not was_silent and self.fault == "none" and not self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep until the next frame is due."""
        self._over.wait(max(0.0, seconds))

    @abstractmethod
    def talk(self, connection: socket.socket) -> None:
        """Serve one client until it leaves or ``may_go_on`` says so; may raise OSError."""


class MjpegCamera(ClipCamera):
    """Sends the clip's frames as JPEG pictures in one endless HTTP answer, as cheap cameras do."""

    def __init__(self, clip: Path, *, fps: float = 25.0) -> None:
        super().__init__()
        self._step = 1 / fps
        with av.open(str(clip)) as container:
            pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
        self._pictures = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]

    def talk(self, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        begin, number = time.monotonic(), 0
        while self.may_go_on():
            jpeg = self._pictures[number % len(self._pictures)]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            connection.sendall(head.encode() + jpeg + b"\r\n")
            number += 1
            self.wait(begin + number * self._step - time.monotonic())


@dataclass(frozen=True, slots=True)
class _Picture:
    seconds: float
    """When it is sent, after the clip's first."""
    ticks: int
    """When it is shown, at 90 kHz."""
    nals: tuple[bytes, ...]


class RtspCamera(ClipCamera):
    """Sends the clip's own H.264 by RTSP, RTP within the same connection (RFC 2326, 10.12; RFC 6184)."""

    scheme = "rtsp"

    def __init__(self, clip: Path) -> None:
        super().__init__()
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            self._parameter_sets, length_size = _read_avcc(bytes(stream.codec_context.extradata or b""))
            packets = [
                (packet.dts, packet.pts, bytes(packet))
                for packet in container.demux(stream)
                if packet.dts is not None and packet.pts is not None
            ]
            base, rate = stream.time_base, float(stream.average_rate or 25)
        assert base is not None
        first_dts, first_pts, _ = packets[0]
        self._pictures = [
            _Picture(
                float((dts - first_dts) * base),
                round((pts - first_pts) * base * 90000),
                tuple(_split(data, length_size)),
            )
            for dts, pts, data in packets
        ]
        self._seconds = len(packets) / rate

    def talk(self, connection: socket.socket) -> None:
        client = _RtspClient(connection)
        while not client.playing:
            client.answer(self._description(), timeout=5.0)
        begin, sequence = time.monotonic(), 0
        for round_number in range(1_000_000):
            for picture in self._pictures:
                self.wait(begin + round_number * self._seconds + picture.seconds - time.monotonic())
                client.answer(self._description(), timeout=0)
                if not self.may_go_on() or client.gone:
                    return
                ticks = picture.ticks + round(round_number * self._seconds * 90000)
                payloads = [part for nal in self._with_parameters(picture) for part in _fragments(nal)]
                packets = []
                for index, payload in enumerate(payloads):
                    marker = 0x80 if index == len(payloads) - 1 else 0
                    head = struct.pack("!BBHII", 0x80, marker | 96, sequence & 0xFFFF, ticks & 0xFFFFFFFF, 0x64707473)
                    packets.append(struct.pack("!cBH", b"$", 0, len(head) + len(payload)) + head + payload)
                    sequence += 1
                connection.sendall(b"".join(packets))

    def _with_parameters(self, picture: _Picture) -> tuple[bytes, ...]:
        is_key = any(nal[0] & 0x1F == 5 for nal in picture.nals)
        return (*self._parameter_sets, *picture.nals) if is_key else picture.nals

    def _description(self) -> bytes:
        sets = ",".join(base64.b64encode(part).decode() for part in self._parameter_sets)
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=clip",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            "m=video 0 RTP/AVP 96",
            "a=rtpmap:96 H264/90000",
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}",
            f"a=control:{self.address}/track",
        ]
        return "\r\n".join([*lines, ""]).encode()


class _RtspClient:
    """The requests of one client."""

    def __init__(self, connection: socket.socket) -> None:
        self.playing = self.gone = False
        self._connection = connection
        self._waiting = b""

    def answer(self, description: bytes, *, timeout: float) -> None:
        """Answer what has come, waiting so long for it; raises ConnectionError where a client left before it played."""
        if select.select([self._connection], [], [], timeout)[0]:
            data = self._connection.recv(65536)
            self._waiting += data
            self.gone |= not data
        if self.gone and not self.playing:
            raise ConnectionResetError
        for request in self._requests():
            self._connection.sendall(self._reply(request, description))

    def _requests(self) -> Iterator[list[str]]:
        while self._waiting:
            if self._waiting[:1] == b"$":  # the client's own reports on what it received
                length = 4 + int.from_bytes(self._waiting[2:4], "big")
                if len(self._waiting) < length:
                    return
                self._waiting = self._waiting[length:]
            else:
                head, end, rest = self._waiting.partition(b"\r\n\r\n")
                if not end:
                    return
                self._waiting = rest
                yield head.decode().split("\r\n")

    def _reply(self, request: list[str], description: bytes) -> bytes:
        method = request[0].split()[0]
        headers = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in request[1:])
        }
        status, lines, body = "200 OK", [f"CSeq: {headers['cseq']}", "Session: 1"], b""
        if method == "OPTIONS":
            lines.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER")
        elif method == "DESCRIBE":
            body = description
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        elif method == "SETUP" and "interleaved" not in headers["transport"]:
            status = "461 Unsupported Transport"
        elif method == "SETUP":
            lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        self.playing |= method == "PLAY"
        self.gone |= method == "TEARDOWN"
        return "\r\n".join([f"RTSP/1.0 {status}", *lines, "", ""]).encode() + body


def _read_avcc(data: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return sequence and picture parameter sets of an MP4 file, and how many bytes tell a unit's length."""
    sets, position = [], 5
    for mask in (0x1F, 0xFF):
        count, position = data[position] & mask, position + 1
        for _ in range(count):
            length = int.from_bytes(data[position : position + 2], "big")
            sets.append(data[position + 2 : position + 2 + length])
            position += 2 + length
    return tuple(sets), (data[4] & 3) + 1


def _split(packet: bytes, length_size: int) -> Iterator[bytes]:
    position = 0
    while position < len(packet):
        begin = position + length_size
        position = begin + int.from_bytes(packet[position:begin], "big")
        yield packet[begin:position]


def _fragments(nal: bytes) -> list[bytes]:
    """Return a unit as RTP payloads: whole, or in fragments (FU-A)."""
    if len(nal) <= LARGEST_RTP:
        return [nal]
    indicator, kind = (nal[0] & 0xE0) | 28, nal[0] & 0x1F
    starts = range(1, len(nal), LARGEST_RTP - 2)
    payloads = []
    for start in starts:
        flags = (0x80 if start == 1 else 0) | (0x40 if start == starts[-1] else 0)
        payloads.append(bytes([indicator, flags | kind]) + nal[start : start + LARGEST_RTP - 2])
    return payloads
