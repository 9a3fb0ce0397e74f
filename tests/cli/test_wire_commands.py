"""The commands that need no network but the loopback: keys, tap, record."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dptstream.cli import run
from dptstream.cli.keys import Keys
from dptstream.cli.listening import ListenFlags
from dptstream.cli.record import Record
from dptstream.cli.tap import Meter, Tap, save_frame, words
from dptstream.errors import SinkError, WireError
from dptstream.sinks.recording import Recorder
from dptstream.sources.recording import read_recording
from dptstream.wire import FrameMessage, JpegColor
from dptstream.wire.keys import load_client_keys, load_server_keys
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber
from tests.waiting import wait_until
from tests.wire.feeding import numbered_frame, publisher_process
from tests.wire.making import SESSION, make_end

ROOT = Path(__file__).parents[2]

RECORD = """
import sys
from pathlib import Path
from dptstream.cli.listening import ListenFlags
from dptstream.cli.record import Record
sys.exit(Record(ListenFlags(sys.argv[1]), Path(sys.argv[2])).run())
"""


@contextmanager
def feed(count: int, *sizes: tuple[int, int]) -> Iterator[str]:
    """Publish ``count`` frames of each size as soon as somebody listens, then the end."""
    with Publisher("tcp://127.0.0.1:*") as publisher:

        def send() -> None:
            wait_until(lambda: publisher.subscribers)
            for number in range(count * len(sizes)):
                publisher.send(numbered_frame(number, SESSION, *sizes[number // count]))
                time.sleep(0.01)
            publisher.send(make_end(next_sequence=count * len(sizes)))

        thread = threading.Thread(target=send)
        thread.start()
        yield publisher.endpoint
        thread.join()


@contextmanager
def two_feeds() -> Iterator[str]:
    """Publish two feeds by turns until the end."""
    over = threading.Event()
    with Publisher("tcp://127.0.0.1:*") as publisher:

        def send() -> None:
            number = 0
            while not over.wait(0.01):
                for name in ("cam1", "cam2"):
                    publisher.send(replace(numbered_frame(number, SESSION), feed=name))
                number += 1

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield publisher.endpoint
        finally:
            over.set()
            thread.join()


def test_keys_say_what_was_written_and_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Keys(tmp_path, ("laptop",)).run() == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "server.key_secret") in out
    assert f"listen with --curve {tmp_path / 'laptop'}" in out
    assert load_client_keys(tmp_path / "laptop").public in load_server_keys(tmp_path).allowed()


def test_tap_counts_frames_and_saves_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with feed(20, (8, 12)) as endpoint:
        assert Tap(ListenFlags(endpoint), save=tmp_path).run() == 0
    out = capsys.readouterr().out
    assert "cam1  12x8 uint16 metric + raw" in out
    assert "20 frames, 0 lost on the way, 0 messages not understood" in out
    with np.load(tmp_path / "cam1.000007.npz", allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["depth"], 0.008, rtol=1e-6)
        assert saved["color"].shape == (8, 12, 3)
        assert json.loads(str(saved["header"]))["sequence"] == 7


def test_tap_counts_what_each_feed_lost() -> None:
    with Publisher("tcp://127.0.0.1:*") as publisher, Subscriber(publisher.endpoint, capacity=100) as subscriber:
        meter = Meter()
        for feed, numbers in (("cam1", (0, 1, 2)), ("cam2", (0, 3, 4))):
            for number in numbers:
                meter.take(replace(numbered_frame(number, SESSION), feed=feed))
        reports = meter.reports(subscriber)
    assert [(report["feed"], report["lost"]) for report in reports] == [("cam1", 0), ("cam2", 2)]


def test_tap_says_once_why_a_feed_sends_nothing() -> None:
    meter = Meter()
    waiting = {"feed": "cam1", "fps": 0.0, "state": "waiting", "note": "no such camera; trying again"}
    playing, slow = {**waiting, "fps": 3.0, "state": "playing", "note": ""}, {**waiting, "state": "playing", "note": ""}
    told = [meter.news(report) for report in (waiting, waiting, playing, slow, waiting)]
    assert told == [True, False, True, False, True]
    assert words(waiting) == "cam1  waiting: no such camera; trying again"


def test_tap_says_when_the_clocks_of_two_machines_differ() -> None:
    meter = Meter()
    with Subscriber("tcp://127.0.0.1:9") as subscriber:
        for ahead_s in (-1, 60):
            now = time.time_ns() + ahead_s * 1_000_000_000
            meter.take(replace(numbered_frame(0, SESSION), captured_unix_ns=now, published_unix_ns=now))
            (report,) = meter.reports(subscriber)
            assert ("the machines' clocks differ" in words(report)) == (ahead_s > 0)


def test_tap_saves_a_jpeg_as_it_came(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", np.full((8, 12, 3), 99, np.uint8))[1].tobytes()
    message = replace(numbered_frame(3, SESSION), color=JpegColor(jpeg, 12, 8))
    with np.load(save_frame(message, tmp_path), allow_pickle=False) as saved:
        assert saved["color_jpeg"].tobytes() == jpeg
        assert json.loads(str(saved["header"]))["color"]["encoding"] == "jpeg"


def test_tap_prints_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    with feed(15, (8, 12)) as endpoint:
        assert Tap(ListenFlags(endpoint), frames=15, json=True).run() == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["feed"], report["width"], report["lost"]) == ("cam1", 12, 0)
    assert 0 <= report["latency_ms_p50"] <= report["latency_ms_p95"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--timeout", "-1"], "--timeout must be at least 0; got -1"),
        (["--timeout", "nan"], "--timeout must be at least 0; got nan"),
        (["--seconds", "0"], "--seconds must be positive; got 0"),
        (["--frames", "0"], "--frames must be at least 1; got 0"),
        (["--feed", "cam 1"], "a feed's name holds up to 64 letters, digits, .*; got 'cam 1'"),
    ],
)
@pytest.mark.parametrize("command", [["tap"], ["record", "-o", "take.mkv"]])
def test_flags_that_make_no_sense_are_refused(
    command: list[str], flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, *flags]) == 1
    assert re.fullmatch(f"dptstream: {complaint}", capsys.readouterr().err.strip())


def test_tap_says_when_nobody_is_there() -> None:
    with pytest.raises(WireError, match=r"nothing comes from tcp://127.0.0.1:9; is dptstream serving there\?"):
        Tap(ListenFlags("tcp://127.0.0.1:9", timeout=0.2)).run()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_an_interrupt_ends_tap_at_once_though_nobody_is_there() -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupt_once_it_listens() -> None:
        wait_until(lambda: signal.getsignal(signal.SIGINT) is not before)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_once_it_listens)
    thread.start()
    assert Tap(ListenFlags("tcp://127.0.0.1:9", timeout=0)).run() == 0  # it would listen for ever
    thread.join()


def test_record_keeps_every_frame_of_the_feed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "take.mkv"
    with feed(20, (8, 12)) as endpoint:
        assert Record(ListenFlags(endpoint), path).run() == 0
    assert f"{path}: 20 frames" in capsys.readouterr().out
    assert [message.sequence for message in read_recording(path)] == list(range(20))


def test_record_begins_a_new_file_when_the_size_changes(tmp_path: Path) -> None:
    with feed(5, (8, 12), (6, 10)) as endpoint:
        assert Record(ListenFlags(endpoint), tmp_path / "take.mkv").run() == 0
    counts = {path.name: len(list(read_recording(path))) for path in tmp_path.iterdir()}
    assert counts == {"take.mkv": 5, "take.002.mkv": 5}


def test_record_refuses_names_and_files_before_it_listens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"call it take.mkv"):
        Record(ListenFlags(), tmp_path / "take.mp4").run()
    (tmp_path / "take.mkv").write_text("precious")
    with pytest.raises(ValueError, match="exists already"):
        Record(ListenFlags(), tmp_path / "take.mkv").run()


def test_record_takes_one_feed_and_names_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "take.mkv"
    with two_feeds() as endpoint:
        assert Record(ListenFlags(endpoint), path, frames=4).run() == 0
    said = capsys.readouterr()
    recorded = {message.feed for message in read_recording(path)}
    (other,) = {"cam1", "cam2"} - recorded
    assert said.err == f"dptstream: other feeds came, too, give --feed for one of them: {other}\n"


def test_record_keeps_what_was_written_when_the_disk_is_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, path = Recorder.write, tmp_path / "take.mkv"

    def write_to_a_full_disk(recorder: Recorder, message: FrameMessage) -> None:
        if recorder.frames == 5:
            raise SinkError(f"cannot write {recorder.path}: No space left on device")
        write(recorder, message)

    monkeypatch.setattr(Recorder, "write", write_to_a_full_disk)
    with feed(20, (8, 12)) as endpoint, pytest.raises(SinkError, match="No space left on device"):
        Record(ListenFlags(endpoint), path).run()
    assert f"{path}: 5 frames" in capsys.readouterr().out
    assert len(list(read_recording(path))) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_an_interrupt_ends_a_recording_properly(tmp_path: Path) -> None:
    path = tmp_path / "take.mkv"
    with publisher_process(fps=100) as (_, endpoint):
        words = [sys.executable, "-c", RECORD, endpoint, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            wait_until(path.exists)
            time.sleep(0.3)
            os.kill(process.pid, signal.SIGINT)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(list(read_recording(path))) == int(out.split()[-2])
