"""Serving from the command line: what comes out, what is said meanwhile, how it ends and what is refused."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dptstream.cli import run
from dptstream.cli.ctl import Ctl, _order
from dptstream.cli.serve import PlayFlags, Serve, WireFlags
from dptstream.errors import SourceError, WireError
from dptstream.geometry import DepthKind
from dptstream.sources.recording import read_recording
from dptstream.wire import FrameMessage, JpegColor
from dptstream.wire.control import ControlClient
from dptstream.wire.keys import load_client_keys, make_keys
from dptstream.wire.subscriber import Subscriber
from tests.cameras import mjpeg_camera
from tests.clip_cameras import MjpegCamera
from tests.waiting import shortest

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "examples" / "media" / "big_buck_bunny.mp4"
SCENE = "synthetic:scene=wall,width=64,height=48,frames=30,fps=100"

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")


class Server:
    """A running ``dptstream serve``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        first: dict[str, str] = json.loads(process.stdout.readline())
        self.endpoint, self.control = first["endpoint"], first["control"]

    def status(self) -> dict[str, Any]:
        """Return the next status line."""
        assert self.process.stdout is not None
        report: dict[str, Any] = json.loads(self.process.stdout.readline())
        return report

    def status_of(self, feed: str) -> dict[str, Any]:
        """Return the feed's next status line."""
        while (report := self.status())["feed"] != feed:
            pass
        return report

    def interrupt(self) -> float:
        """Press Ctrl-C; return how many seconds it took to end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - begin


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "dptstream", "serve", *words, "--bind", "tcp://127.0.0.1:*", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def receive(server: Server, count: int, **options: Any) -> list[FrameMessage]:
    with Subscriber(server.endpoint, capacity=100, **options) as subscriber:
        frames = subscriber.frames(timeout=60)
        return [next(frames) for _ in range(count)]


@needs_signals
def test_a_looping_scene_reaches_a_subscriber_and_an_interrupt_ends_it(model_file: str) -> None:
    with serving(SCENE, "--loop", "--model", model_file, "--size", "64") as server:
        messages = receive(server, 20)
        while (report := server.status())["fps_out"] == 0:
            pass  # told before the first frame
        server.interrupt()
        assert server.process.returncode == 0
    sequences = [message.sequence for message in messages]
    assert sequences == sorted(set(sequences))
    assert {message.depth.kind for message in messages} == {DepthKind.RELATIVE_INVERSE}
    assert {message.feed for message in messages} == {"synthetic"}
    assert len({message.session for message in messages}) == 1
    assert all(np.isfinite(message.depth.values()).all() for message in messages)
    assert (report["feed"], report["state"], report["dropped"]) == ("synthetic", "playing", 0)
    assert 0 < report["latency_ms_p50"] <= report["latency_ms_p95"]


@needs_signals
def test_a_camera_that_is_away_keeps_no_other_feed_from_running_and_plays_when_it_comes(
    model_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = SCENE.replace("frames=30,fps=100", "frames=100000,fps=20")
    with MjpegCamera(CLIP) as camera:
        camera.refuse()
        inputs = [f"late={camera.address}", f"here={scene}", "nowhere=/dev/video917"]
        with serving(*inputs, "--pace", "--model", model_file, "--size", "64") as server:
            assert len(receive(server, 3, feed="here")) == 3
            report = server.status_of("late")
            assert (report["state"], report["frames"], report["sessions"]) == ("waiting", 0, 0)
            assert report["note"] == f"{camera.address}: Connection refused"
            assert 0 <= report["retry_seconds"] <= 10
            assert server.status_of("nowhere")["note"] == "/dev/video917: no such camera"
            feeds = ControlClient(server.control).request("feeds")["feeds"]
            assert [(feed["feed"], feed["state"]) for feed in feeds][::2] == [
                ("late", "waiting"),
                ("nowhere", "waiting"),
            ]
            capsys.readouterr()
            assert run(["tap", server.endpoint, "--feed", "late", "--seconds", "1.5"]) == 0
            told = capsys.readouterr().out.splitlines()
            assert told[0] == f"late  waiting: {camera.address}: Connection refused; trying again"
            assert len(told) == 2  # once, and the sum
            camera.fault = "none"
            late = receive(server, 3, feed="late")
            assert (late[0].source.width, late[0].source.height) == (640, 360)
            while (report := server.status_of("late"))["sessions"] == 0:
                pass  # told before it came
            assert (report["note"], report["retry_seconds"]) == ("", None)
            assert len(receive(server, 3, feed="here")) == 3
            server.interrupt()
            assert server.process.returncode == 0


@needs_signals
def test_people_are_told_what_is_tried_and_when_and_may_end_it_at_once(model_file: str) -> None:
    command = [sys.executable, "-m", "dptstream", "serve", "/dev/video917", "--model", model_file]
    command += ["--bind", "tcp://127.0.0.1:*"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "trying again" in line:
                break
        try:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "feed     video917: /dev/video917, waiting for it\n" in lines
    assert re.fullmatch(r"video917 waiting: /dev/video917: no such camera; trying again in \d+ s\n", lines[-1])


@needs_signals
def test_an_interrupt_ends_it_while_it_waits_for_a_first_answer(model_file: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        address = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/1"
        command = [sys.executable, "-m", "dptstream", "serve", address, "--model", model_file]
        command += ["--bind", "tcp://127.0.0.1:*"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                connection, _ = listener.accept()
                with connection:
                    process.send_signal(signal.SIGINT)
                    _, said = process.communicate(timeout=60)
            finally:
                process.kill()
    if "serving" in said:  # on a machine so slow that the first look was over
        assert process.returncode == 0
    else:
        assert (process.returncode, said.splitlines()[-1]) == (130, "dptstream: stopped")
    assert "Traceback" not in said


@needs_signals
@pytest.mark.parametrize("policy", ["--live", "--lossless"])
def test_an_interrupt_ends_it_within_two_seconds_though_the_camera_has_gone_silent(
    model_file: str, policy: str
) -> None:
    def end_once() -> float:
        with (
            mjpeg_camera(frames_per_connection=60, stall=True) as address,
            serving(f"cam1={address}", policy, "--model", model_file, "--size", "64") as server,
        ):
            receive(server, 3)
            while (report := server.status())["frames"] == 0 or report["fps_in"] > 0:
                pass
            took = server.interrupt()
            assert server.process.returncode == 0
            return took

    assert shortest(end_once, 2.0) < 2.0


@needs_signals
def test_an_interrupt_ends_it_within_two_seconds_though_those_who_listen_are_frozen_or_dead(model_file: str) -> None:
    program = "import sys, time; from dptstream.wire.subscriber import Subscriber\n"
    program += "with Subscriber(sys.argv[1]) as s:\n    s.receive(20)\n    print(flush=True)\n    time.sleep(60)"

    def end_once() -> float:
        with serving(SCENE, "--loop", "--model", model_file, "--size", "64") as server:
            command = [sys.executable, "-c", program, server.endpoint]
            listening = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
            try:
                for process in listening:
                    assert process.stdout is not None
                    process.stdout.readline()
                listening[0].send_signal(signal.SIGSTOP)
                listening[1].kill()
                time.sleep(0.5)
                took = server.interrupt()
                assert server.process.returncode == 0
            finally:
                for process in listening:
                    process.kill()
                    process.communicate()
        return took

    assert shortest(end_once, 2.0) < 2.0


def test_pictures_travel_as_jpeg_where_that_was_asked_for(model_file: str) -> None:
    with serving(SCENE, "--loop", "--pace", "--model", model_file, "--size", "64", "--color", "jpeg") as server:
        (message,) = receive(server, 1)
    assert isinstance(message.color, JpegColor)
    assert (message.color.width, message.color.height) == (message.depth.width, message.depth.height)


def test_feeds_share_a_network_are_steered_from_the_command_line_and_quit(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [f"left={SCENE}", f"right={SCENE},seed=1"]
    other = tmp_path / "other.safetensors"
    shutil.copy(model_file, other)
    words = ["--loop", "--pace", "--model", model_file, "--size", "64", "--offer", str(tmp_path)]
    with serving(*inputs, *words) as server:
        with Subscriber(server.endpoint, capacity=1000) as subscriber:
            frames = subscriber.frames(timeout=60)
            begun: set[str] = set()
            while len(begun) < 2:
                begun.add(next(frames).feed)
            counts = Counter(next(frames).feed for _ in range(60))
        assert min(counts["left"], counts["right"]) > 15  # neither starves the other
        assert Ctl((server.control, "pause"), feed="left").run() == 0
        assert json.loads(capsys.readouterr().out) == {"feeds": ["left"]}
        assert Ctl((server.control, "status"), json=True).run() == 0
        (left, right) = json.loads(capsys.readouterr().out)["feeds"]
        assert (left["paused"], right["paused"]) == (True, False)
        assert Ctl((server.control, "temporal", "off")).run() == 0
        with Subscriber(server.endpoint, feed="right") as subscriber:
            assert any(message.smoothing is None for message in subscriber.frames(timeout=60, follow=True))
        with pytest.raises(WireError, match="there is no feed 'up'; there are: left, right"):
            Ctl((server.control, "seek", "0.1"), feed="up").run()
        with pytest.raises(WireError, match="there is no model '/etc/passwd'; dptstream models list"):
            Ctl((server.control, "model", "/etc/passwd")).run()
        assert Ctl((server.control, "resume")).run() == 0
        for name in ("tiny", "other"):
            assert Ctl((server.control, "model", name)).run() == 0
            with Subscriber(server.endpoint, capacity=100) as subscriber:
                feeds = set()
                for message in subscriber.frames(timeout=60, follow=True):
                    if message.model == name:
                        feeds.add(message.feed)
                    if feeds == {"left", "right"}:
                        break
        assert Ctl((server.control, "quit")).run() == 0
        assert server.process.wait(60) == 0


def test_a_recorded_feed_plays_again_with_the_values_and_times_it_had(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = tmp_path / "take.mkv"
    with serving(SCENE, "--loop", "--pace", "--model", model_file, "--size", "64") as server:
        assert run(["record", server.endpoint, "-o", str(take), "--frames", "12"]) == 0
    recorded = list(read_recording(take))
    assert run(["serve", str(take), "--start", "1"]) == 1
    assert "take is a recording, which plays whole: leave out --start" in capsys.readouterr().err
    with serving(str(take), "--loop") as server:
        received = receive(server, 30)
    by_time = {message.pts: message.depth.codes.tobytes() for message in recorded}
    assert {message.pts for message in received} == set(by_time)
    for message in received:
        assert message.depth.codes.tobytes() == by_time[message.pts]
    assert {message.feed for message in received} == {"take"}


def test_a_client_without_a_key_gets_nothing_and_one_with_a_key_does(model_file: str, tmp_path: Path) -> None:
    make_keys(tmp_path, ["laptop"])
    keys = load_client_keys(tmp_path / "laptop")
    words = [SCENE, "--loop", "--pace", "--model", model_file, "--size", "64", "--curve", str(tmp_path)]
    with serving(*words) as server:
        assert len(receive(server, 3, keys=keys)) == 3
        assert ControlClient(server.control, keys=keys).request("status")["feeds"]
        with Subscriber(server.endpoint) as stranger:
            assert stranger.receive(1.0) is None
        with pytest.raises(WireError, match="no answer"):
            ControlClient(server.control, timeout=1.0).request("quit")


def test_people_get_a_line_about_each_feed(model_file: str) -> None:
    command = [sys.executable, "-m", "dptstream", "serve", SCENE, "--pace", "--model", model_file, "--size", "64"]
    command += ["--bind", "tcp://127.0.0.1:*", "--fps", "20", "--loop", "--prometheus", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if re.search(r"playing: [1-9]\d* frames, .* latency", line):
                break
        address = re.search(r"metrics  at (http://127.0.0.1:\d+/metrics)", "".join(lines))
        assert address is not None
        with urllib.request.urlopen(address[1], timeout=60) as answer:
            page = answer.read().decode()
        process.terminate()
    assert re.search(r'dptstream_frames_total{feed="synthetic"} [1-9]', page)
    assert re.search(
        r"serving  at tcp://127.0.0.1:\d+; watch it with: dptstream tap .* dptstream ctl tcp://", "".join(lines)
    )
    assert re.search(r"synthetic playing: \d+ frames, .* latency \d+ ms \(p95 \d+\), dropped 0, 0 listening", lines[-1])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["no-such-clip.mp4"], r"dptstream: .*no-such-clip.mp4.*"),
        ([SCENE, "--live", "--lossless"], r"dptstream: --live drops frames and --lossless does not: give one of them"),
        (
            [SCENE, "--bind", "tcp://0.0.0.0:5577"],
            r"dptstream: tcp://0.0.0.0:5577 can be reached from other machines.*",
        ),
        ([SCENE, "--bind", "nonsense"], r"dptstream: an endpoint is tcp://HOST:PORT.*"),
        (["cam=gopherx://camera/1"], r"dptstream: gopherx://camera/1: addresses beginning with gopherx:// are not .*"),
        (["rtsp://"], r"dptstream: rtsp://: the address lacks a host.*"),
        (["rtsp://camera:port/1"], r"dptstream: rtsp://camera:port/1: this address cannot be read.*"),
        (["rtsp://127.0.0.1:9/1", "--loop"], r"dptstream: rtsp://127.0.0.1:9/1 is live: it cannot be played in a loop"),
        (["/dev/video917", "no-such-clip.mp4"], r"dptstream: no-such-clip.mp4: no such file or folder"),
        ([SCENE, "--batch", "0"], r"dptstream: --batch must be at least 1; got 0"),
        ([SCENE, SCENE], r"dptstream: two feeds would be called synthetic; write NAME=INPUT"),
        ([SCENE, "--temporal", "light", "--curve", "nowhere"], r"dptstream: no key file nowhere.*"),
        ([SCENE, "--deadline-ms", "5", "--lossless"], r"dptstream: --deadline-ms drops frames.*"),
        ([], r"dptstream: no input given.*"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *words]) == 1
    assert re.fullmatch(complaint, capsys.readouterr().err.strip())


def test_what_cannot_be_opened_is_refused_before_the_network_is_loaded() -> None:
    flags = WireFlags(bind="tcp://127.0.0.1:*")
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        Serve(("missing.mp4",), wire=flags).run()


def test_the_control_address_follows_the_feeds() -> None:
    assert WireFlags().control_endpoint("tcp://127.0.0.1:5577") == "tcp://127.0.0.1:5578"
    assert WireFlags(bind="tcp://127.0.0.1:*").control_endpoint("tcp://127.0.0.1:41234") == "tcp://127.0.0.1:*"
    assert WireFlags(bind="ipc://feed").control_endpoint("ipc://feed") == "ipc://feed-control"
    assert WireFlags(control="off").control_endpoint("tcp://127.0.0.1:5577") is None


@pytest.mark.parametrize(
    ("flags", "live", "policy"),
    [
        (PlayFlags(), False, "lossless"),
        (PlayFlags(), True, "live"),
        (PlayFlags(live=True), False, "live"),
        (PlayFlags(lossless=True), True, "lossless"),
    ],
)
def test_files_are_lossless_and_cameras_live_unless_said_otherwise(flags: PlayFlags, live: bool, policy: str) -> None:
    assert flags.config(live=live, workers=None).policy == policy


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "say what to do: status, feeds, pause"),
        (("dance",), "unknown order 'dance'; there are: status"),
        (("seek",), r"write: dptstream ctl seek SECONDS"),
        (("seek", "soon"), r"cannot read 'soon'; write: dptstream ctl seek SECONDS"),
        (("seek", "nan"), r"cannot read 'nan'; write: dptstream ctl seek SECONDS"),
        (("seek", "-4"), r"cannot read '-4'; write: dptstream ctl seek SECONDS"),
        (("seek", "1:2:3:4"), r"cannot read '1:2:3:4'"),
        (("127.0.0.1:5578", "status"), r"write the server's address as tcp://127.0.0.1:5578"),
        (("loop", "maybe"), r"cannot read 'maybe'; write: dptstream ctl loop on\|off"),
        (("pause", "now"), "pause takes no value; got 'now'"),
    ],
)
def test_ctl_rejects_what_it_cannot_read(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ctl(words).run()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("1:30.5", 90.5), ("1:00:00", 3600.0)])
def test_a_moment_is_written_in_seconds_or_as_a_clock_shows_it(text: str, seconds: float) -> None:
    assert _order("seek", [text]).arguments == {"seconds": seconds}


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), 1e12])
def test_ctl_rejects_a_time_out_that_would_never_end(timeout: float) -> None:
    with pytest.raises(ValueError, match="a timeout is more than 0"):
        Ctl(("status",), timeout=timeout).run()


def test_ctl_rejects_a_feed_where_all_are_meant() -> None:
    with pytest.raises(ValueError, match="quit is for all feeds: leave --feed out"):
        Ctl(("quit",), feed="cam1").run()


@pytest.mark.parametrize("command", ["serve", "ctl", "tap", "record", "keys"])
def test_help_loads_nothing_heavy(command: str) -> None:
    program = (
        "import sys\nfrom dptstream.cli import run\n"
        f"try:\n    run(['{command}', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded', sorted({'torch', 'av', 'cv2', 'zmq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert f"dptstream {command}" in done.stdout
    assert done.stdout.rstrip().endswith("loaded []")
