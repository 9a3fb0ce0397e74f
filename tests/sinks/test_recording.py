"""Recordings: what is read back, by us and by anybody."""

import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dptstream.errors import SinkError, SourceError
from dptstream.sinks.messages import MessageMaker, MessageOptions
from dptstream.sinks.recording import Recorder
from dptstream.sources.recording import Recording, is_recording, read_depth_frames, read_recording
from dptstream.wire import FrameMessage
from tests.wire.making import OTHER_SESSION, comparable, make_depth, make_frame

from .clips import COUNT, UNEVEN_PTS, toy_feed, toy_frames

ROOT = Path(__file__).parents[2]

WRITER = """
import sys, time
from pathlib import Path
from dptstream.sinks.recording import Recorder
from tests.wire.feeding import numbered_frame
recorder = Recorder(Path(sys.argv[1]))
for number in range(100_000):
    recorder.write(numbered_frame(number, "0" * 32, 36, 48))
    print(number, flush=True)
    time.sleep(0.005)
"""


def toy_messages(**options: Any) -> list[FrameMessage]:
    maker = MessageMaker(toy_feed(), MessageOptions(**options))
    return [maker.frame(frame) for frame in toy_frames()]


def record(path: Path, messages: list[FrameMessage]) -> Path:
    with Recorder(path) as recorder:
        for message in messages:
            recorder.write(message)
    return path


@pytest.mark.parametrize("depth", ["float16", "uint16"])
@pytest.mark.parametrize("color", ["rgb", "jpeg", "none"])
def test_what_is_read_is_what_was_written(tmp_path: Path, depth: str, color: str) -> None:
    messages = toy_messages(depth=depth, color=color)
    path = record(tmp_path / "take.mkv", messages)
    assert is_recording(path)
    assert [comparable(message) for message in read_recording(path)] == [comparable(message) for message in messages]


@pytest.mark.parametrize("color", ["rgb", "jpeg", "none"])
def test_a_recording_can_be_converted_with_the_values_and_times_it_was_sent_with(tmp_path: Path, color: str) -> None:
    messages = toy_messages(color=color)
    frames = list(read_depth_frames(record(tmp_path / "take.mkv", messages)))
    assert [(frame.video.sequence, frame.video.pts) for frame in frames] == list(enumerate(UNEVEN_PTS))
    assert [frame.scene_cut for frame in frames] == [message.scene_cut for message in messages]
    assert not any(frame.video.discontinuity for frame in frames)
    (raw,) = toy_messages()[:1]
    for frame, message in zip(frames, messages, strict=True):
        np.testing.assert_array_equal(frame.depth, message.depth.values())
    difference = np.abs(frames[0].video.image.astype(int) - raw.color.pixels).mean()  # type: ignore[union-attr]
    assert difference < {"rgb": 0.001, "jpeg": 12, "none": 255}[color]


def test_anybody_can_read_picture_depth_and_times(tmp_path: Path) -> None:
    messages = toy_messages(depth="uint16")
    path = record(tmp_path / "take.mkv", messages)
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["ffv1", "ffv1"]
        assert [stream.metadata["title"] for stream in container.streams.video] == ["colour", "depth"]
        assert container.metadata["DPTSTREAM_DEPTH_KIND"] == "relative_inverse"
        attached = {stream.name: json.loads(stream.data) for stream in container.streams.attachments}
        assert attached["calibration.json"]["K"][0] == messages[0].intrinsics.fx
        assert attached["description.json"]["first_frame"]["depth"]["encoding"] == "16UC1"
        frames = list(container.decode(container.streams.video[1]))
    assert [frame.format.name for frame in frames] == ["gray16le"] * COUNT
    np.testing.assert_array_equal(frames[3].to_ndarray(), messages[3].depth.codes)
    expected = [round(pts * 1000 / 12800) for pts in UNEVEN_PTS]
    assert [frame.pts for frame in frames] == expected


def test_times_in_the_file_go_on_when_a_session_begins_anew_or_jumps_back(tmp_path: Path) -> None:
    base = Fraction(1, 1000)
    messages = [make_frame(pts=pts, time_base=base) for pts in (50_000, 50_040, 50_080)]
    messages += [make_frame(pts=pts, time_base=base, session=OTHER_SESSION) for pts in (0, 40)]
    messages += [make_frame(pts=pts, time_base=base, session=OTHER_SESSION) for pts in (0, 40)]
    path = record(tmp_path / "take.mkv", messages)
    with av.open(str(path)) as container:
        assert [frame.pts for frame in container.decode(container.streams.video[1])] == [0, 40, 80, 120, 160, 200, 240]
    assert [(message.session, message.pts) for message in read_recording(path)] == [
        (message.session, message.pts) for message in messages
    ]


def test_a_recording_cut_off_anywhere_gives_the_frames_before_the_cut(tmp_path: Path) -> None:
    messages = [make_frame(pts=3000 * number, sequence=number) for number in range(60)]
    whole = record(tmp_path / "take.mkv", messages).read_bytes()
    counts = []
    for share in (0.5, 0.7, 0.9):
        part = tmp_path / "part.mkv"
        part.write_bytes(whole[: int(len(whole) * share)])
        received = list(read_recording(part))
        assert [comparable(message) for message in received] == [comparable(m) for m in messages[: len(received)]]
        counts.append(len(received))
    assert counts == sorted(counts)
    assert counts[0] > 5


@pytest.mark.skipif(sys.platform == "win32", reason="needs a process that can be killed outright")
def test_a_killed_recorder_leaves_all_but_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "take.mkv"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 100:
            pass
        process.send_signal(signal.SIGKILL)
    received = list(read_recording(path))
    assert [message.sequence for message in received] == list(range(len(received)))
    assert len(received) >= 40


def test_a_frame_of_another_size_does_not_fit(tmp_path: Path) -> None:
    with Recorder(tmp_path / "take.mkv") as recorder:
        recorder.write(make_frame())
        larger = make_frame(depth=make_depth(np.ones((4, 4), np.uint16)))
        assert not recorder.fits(larger)
        with pytest.raises(
            SinkError, match=r"holds cam1: metric depth of 3x2, .* a file of its own is needed for .* of 4x4"
        ):
            recorder.write(larger)


def test_floats_of_32_bits_are_refused_with_advice(tmp_path: Path) -> None:
    message = make_frame(depth=make_depth(np.ones((2, 3), np.float32)))
    with pytest.raises(SinkError, match="let the sender send float16 or uint16"):
        record(tmp_path / "take.mkv", [message])


def test_a_file_that_exists_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "take.mkv"
    path.write_text("precious")
    with pytest.raises(SinkError, match="exists already"):
        record(path, [make_frame()])
    assert path.read_text() == "precious"
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(make_frame())
    assert len(list(read_recording(path))) == 1


def test_closing_without_any_frame_leaves_no_file(tmp_path: Path) -> None:
    Recorder(tmp_path / "take.mkv").close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    video = ROOT / "examples" / "media" / "big_buck_bunny.mp4"
    assert not is_recording(video)
    with pytest.raises(SourceError, match="lacks the tag"):
        Recording(video)
    with pytest.raises(SourceError, match="cannot open"):
        Recording(tmp_path / "nowhere.mkv")


def test_a_header_that_is_not_a_frames_is_damage_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dptstream.sinks.recording.frame_header", lambda message: b'{"camera":{},"feed":3}')
    path = record(tmp_path / "take.mkv", [make_frame()])
    with pytest.raises(SourceError, match="is damaged"):
        list(read_recording(path))
