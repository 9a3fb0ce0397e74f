import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.errors import DptStreamError, SourceError
from dptstream.frames import DepthFrame
from dptstream.geometry import DepthKind
from dptstream.sinks import DepthFolder, FeedInfo, FolderOptions
from dptstream.viewer.folder import DepthSequence
from dptstream.viewer.sequence import Clock, SequenceFeed
from dptstream.wire import RawColor

from .filming import film

FRAMES = 4


def converted(folder: Path, kind: DepthKind = DepthKind.METRIC, **options: Any) -> list[NDArray[np.float32]]:
    """Write a small folder as `convert` does; return the depth that went in."""
    source = film(frames=FRAMES, scene="room")
    info = source.info
    assert info.intrinsics is not None
    feed = FeedInfo(
        name="film",
        location=info.location,
        width=info.width,
        height=info.height,
        time_base=info.time_base,
        average_rate=info.average_rate,
        frame_count=FRAMES,
        has_audio=False,
        intrinsics=info.intrinsics,
        kind=kind,
        model={"name": "truth", "license": "CC0-1.0"},
        settings={"start": None, "crop": None},
    )
    sink = DepthFolder(FolderOptions(folder, **options))
    sink.open(feed)
    written = []
    for number, video in enumerate(source):
        depth = source.truth(number).depth
        values = depth if kind is DepthKind.METRIC else (1 / depth).astype(np.float32)
        written.append(values)
        sink.write(DepthFrame(values, kind, video, scene_cut=number == 0))
    sink.close(complete=True)
    return written


@pytest.mark.parametrize("form", ["png16", "npz", "npy", "exr"])
def test_a_folder_gives_back_the_depth_that_was_written(tmp_path: Path, form: str) -> None:
    written = converted(tmp_path / "depth", formats=(form,))
    sequence = DepthSequence(tmp_path / "depth")
    assert (len(sequence), sequence.format) == (FRAMES, form)
    for index, values in enumerate(written):
        message = sequence.frame(index)
        assert np.abs(message.depth.values() - values).max() <= 0.0006
        assert message.depth.kind is DepthKind.METRIC
        assert message.pts_seconds == pytest.approx(index / 25)
        assert (message.model, message.model_license) == ("truth", "CC0-1.0")
    assert film().info.intrinsics is not None
    assert message.intrinsics.fov_x_rad == pytest.approx(np.radians(75.0))


def test_relative_inverse_depth_keeps_its_kind_and_its_shots_range(tmp_path: Path) -> None:
    written = converted(tmp_path / "depth", DepthKind.RELATIVE_INVERSE, formats=("png16",))
    ranges = set()
    for index, message in enumerate(DepthSequence(tmp_path / "depth")):
        assert message.depth.kind is DepthKind.RELATIVE_INVERSE
        assert np.abs(message.depth.values() - written[index]).max() < 1e-4
        ranges.add((message.depth.low, message.depth.high))
    assert len(ranges) == 1
    assert written[0].min() < min(ranges)[0] < min(ranges)[1] < written[0].max() * 1.1


def test_depth_written_as_its_inverse_is_a_distance_again(tmp_path: Path) -> None:
    written = converted(tmp_path / "depth", formats=("exr",), encode="inverse")
    plane = DepthSequence(tmp_path / "depth").frame(0).depth
    np.testing.assert_allclose(plane.values(), written[0], rtol=1e-5)
    assert 0 < plane.low < plane.high < 50


def test_pictures_give_the_colours(tmp_path: Path) -> None:
    converted(tmp_path / "depth", formats=("npy",))

    class Grey:
        def at(self, pts: int) -> NDArray[np.uint8] | None:
            return np.full((4, 6, 3), 10 * pts, np.uint8) if pts < 2 else None

        def close(self) -> None:
            pass

    frames = list(DepthSequence(tmp_path / "depth", Grey()))
    assert isinstance(frames[1].color, RawColor)
    assert (frames[1].color.pixels == 10).all()
    assert frames[2].color is None


@pytest.mark.parametrize(("temporal", "told"), [("offline", "offline"), ("off", None), ("cuts only", None)])
def test_a_folder_tells_by_which_preset_it_was_smoothed(tmp_path: Path, temporal: str, told: str | None) -> None:
    converted(tmp_path / "depth")
    manifest = tmp_path / "depth" / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["settings"]["temporal"] = temporal
    manifest.write_text(json.dumps(content), encoding="utf-8")
    assert DepthSequence(tmp_path / "depth").frame(0).smoothing == told


def test_a_folder_without_a_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a folder to view is one that `dptstream convert` wrote"):
        DepthSequence(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("schema",), "other/9", "its schema is 'other/9'"),
        (("frames",), [], "it lists no frames"),
        (("frames", 0, "files"), {"ffv1": "depth.mkv"}, "needs one of png16, npz, npy, exr"),
        (("frames", 0, "files"), {"npy": "../../etc/passwd"}, "outside its folder"),
        (("source", "time_base"), [0, 1], "time_base"),
        (("intrinsics", "fx"), -3, "positive focal lengths"),
        (("values", "kind"), "smell", "one of"),
    ],
)
def test_a_damaged_manifest_is_one_line(
    tmp_path: Path, path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    converted(tmp_path / "depth", formats=("npy",))
    file = tmp_path / "depth" / "manifest.json"
    manifest = json.loads(file.read_text())
    place = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file.write_text(json.dumps(manifest))
    with pytest.raises(SourceError, match=complaint) as caught:
        DepthSequence(tmp_path / "depth")
    assert "\n" not in str(caught.value)


def test_a_damaged_frame_is_told_and_the_next_one_is_shown(tmp_path: Path) -> None:
    converted(tmp_path / "depth", formats=("png16",))
    sorted((tmp_path / "depth").glob("*.png"))[0].write_bytes(b"not a picture")
    feed = SequenceFeed(DepthSequence(tmp_path / "depth"))
    feed.transport.pause(paused=True)
    feed.transport.seek(0)
    assert feed.newest(0.1) is None
    assert feed.status().state == "failed"
    feed.transport.step(1)
    assert feed.newest(0.1) is not None
    assert feed.status().state == "paused"
    feed.close()
    assert feed.newest(0.1) is None


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def hand() -> Hand:
    return Hand()


def make_clock(hand: Hand) -> Clock:
    """Ten frames at 10 a second."""
    return Clock([number / 10 for number in range(10)], 1.0, hand)


def test_playing_goes_by_the_frames_own_times(hand: Hand) -> None:
    clock = make_clock(hand)
    seen = []
    for _ in range(5):
        seen.append(clock.due())
        hand.time += 0.1
    assert seen == [0, 1, 2, 3, 4]


def test_at_the_end_it_begins_again_or_stands_still(hand: Hand) -> None:
    clock = make_clock(hand)
    hand.time += 1.25
    assert clock.due() == 2
    clock.set_loop(enabled=False)
    hand.time += 5
    assert clock.due() == 9
    assert clock.status().paused
    clock.pause(paused=False)
    assert clock.due() == 0
    assert not clock.status().paused


def test_pause_seek_and_step_land_on_exact_frames(hand: Hand) -> None:
    clock = make_clock(hand)
    clock.pause(paused=True)
    hand.time += 7
    assert clock.due() == 0
    clock.seek(0.3)
    assert clock.due() == 3
    clock.step(1)
    clock.step(1)
    assert clock.due() == 5
    clock.step(-6)
    assert clock.due() == 9
    clock.seek(99)
    assert clock.due() == 9
    clock.seek(-1)
    assert clock.due() == 0


def test_a_step_pauses(hand: Hand) -> None:
    clock = make_clock(hand)
    hand.time += 0.42
    clock.step(1)
    hand.time += 3
    assert (clock.due(), clock.status().paused) == (5, True)


def test_speed_changes_from_here_on(hand: Hand) -> None:
    clock = make_clock(hand)
    hand.time += 0.2
    clock.set_speed(2.0)
    hand.time += 0.2
    assert clock.due() == 6
    assert clock.status().speed == 2.0
    with pytest.raises(ValueError, match="between 1/16 and 16"):
        clock.set_speed(0.0)


def test_a_slow_viewer_skips_frames_and_stays_in_time(tmp_path: Path) -> None:
    converted(tmp_path / "depth", formats=("npy",))
    hand = Hand()
    feed = SequenceFeed(DepthSequence(tmp_path / "depth"))
    feed.transport = Clock([number / 25 for number in range(FRAMES)], FRAMES / 25, hand)
    first = feed.newest(0.1)
    assert first is not None
    assert feed.newest(0.0) is None
    hand.time += 3 / 25
    third = feed.newest(0.1)
    assert third is not None
    assert (first.sequence, third.sequence) == (0, 3)


def test_every_failure_is_a_dptstream_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"\xff\x00")
    with pytest.raises(DptStreamError):
        DepthSequence(tmp_path)
