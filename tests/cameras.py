"""A network camera, simulated on this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


@contextmanager
def mjpeg_camera(frames_per_connection: int, *, stall: bool = False) -> Iterator[str]:
    """Serve one picture each 20 ms; break each connection after so many, or ``stall``: keep it and say nothing more."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(8):
        picture = np.full((48, 64, 3), random.integers(0, 256, 3), np.uint8)
        pictures.append(cv2.imencode(".jpg", picture)[1].tobytes())
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(HEAD)
                for number in range(frames_per_connection):
                    jpeg = pictures[number % len(pictures)]
                    part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    connection.sendall(part + jpeg + b"\r\n")
                    if over.wait(0.02):
                        break
                if stall:
                    over.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/video"
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes the thread that accepts
        thread.join()
        listener.close()
