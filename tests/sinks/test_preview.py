from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.frames import DepthFrame, VideoFrame
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.sinks import FolderOptions, read_manifest
from dptstream.sinks.options import ColorMap
from dptstream.sinks.preview import paint

from .clips import SIZE_HW, UNEVEN_PTS, run, toy_feed, toy_frame

WIDE_HW = (48, 64)
TICK = Fraction(1, 1000)


def ramp_frame(sequence: int, size_hw: tuple[int, int] = WIDE_HW, pts: int | None = None, red: int = 200) -> DepthFrame:
    """Far at the left, near at the right; the picture is plain red."""
    depth = np.tile(np.linspace(1, 5, size_hw[1], dtype=np.float32), (size_hw[0], 1))
    picture = np.zeros((*size_hw, 3), np.uint8)
    picture[..., 0] = red
    video = VideoFrame(picture, sequence, sequence * 40 if pts is None else pts, TICK)
    return DepthFrame(depth, DepthKind.RELATIVE_INVERSE, video)


def ramp_run(directory: Path, frames: Sequence[DepthFrame] | None = None, **changes: object) -> Path:
    frames = frames or [ramp_frame(sequence) for sequence in range(4)]
    height, width = frames[0].video.height, frames[0].video.width
    feed = toy_feed(width=width, height=height, intrinsics=Intrinsics.default(width, height), time_base=TICK)
    choices = {key: changes.pop(key) for key in ("invert", "color_map", "side_by_side", "audio") if key in changes}
    run(FolderOptions(directory, ("preview",), **choices), replace(feed, **changes), frames)  # type: ignore[arg-type]
    return directory / "preview.mp4"


def shown(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times(path: Path, kind: str = "video") -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(**{kind: 0})]


def make_sound(path: Path, codec: str, container_format: str, seconds: float = 4.0) -> None:
    """Write a file with a tone that rises once a second, so that its time can be heard."""
    rate = 48000
    with av.open(str(path), "w", format=container_format) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.codec_context.layout = "mono"
        time = np.arange(int(rate * seconds)) / rate
        tone = (0.3 * np.sin(2 * np.pi * 300 * (1 + np.floor(time)) * time)).astype(np.float32)
        sample_format = stream.codec_context.format.name
        resampler = av.AudioResampler(sample_format, "mono", rate, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))


def loudest_frequency(path: Path) -> float:
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])[4800:28800]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * 48000 / len(samples))


def test_the_preview_is_h264_yuv420p_in_mp4_tagged_bt709(tmp_path: Path) -> None:
    with av.open(str(ramp_run(tmp_path))) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)


@pytest.mark.parametrize("color_map", ["inferno", "magma", "viridis", "plasma", "cividis", "gray"])
def test_near_is_bright(tmp_path: Path, color_map: ColorMap) -> None:
    image = shown(ramp_run(tmp_path, color_map=color_map))[0].astype(int)
    assert image[:, -4:].mean() > image[:, :4].mean() + 60


def test_invert_makes_near_dark(tmp_path: Path) -> None:
    image = shown(ramp_run(tmp_path, color_map="gray", invert=True))[0].astype(int)
    assert image[:, :4].mean() > image[:, -4:].mean() + 200


def test_near_metres_are_bright_too(tmp_path: Path) -> None:
    frames = [replace(ramp_frame(n), kind=DepthKind.METRIC) for n in range(2)]
    image = shown(ramp_run(tmp_path, frames, kind=DepthKind.METRIC, color_map="gray"))[0].astype(int)
    assert image[:, :4].mean() > image[:, -4:].mean() + 200


def test_colours_survive_the_video(tmp_path: Path) -> None:
    levels = np.tile(np.linspace(0, 1, WIDE_HW[1], dtype=np.float32), (WIDE_HW[0], 1))
    image = shown(ramp_run(tmp_path, color_map="viridis"))[0].astype(int)
    assert np.abs(image - paint(levels, "viridis"))[4:-4, 4:-4].mean() < 6


def test_turbo_is_blue_far_away_and_red_nearby() -> None:
    far, near = paint(np.array([[0.1, 0.9]], np.float32), "turbo")[0].astype(int)
    assert far[2] > far[0] + 50
    assert near[0] > near[2] + 50


def test_side_by_side_puts_the_picture_to_the_left(tmp_path: Path) -> None:
    image = shown(ramp_run(tmp_path, side_by_side=True))[0].astype(int)
    assert image.shape == (WIDE_HW[0], 2 * WIDE_HW[1], 3)
    assert np.abs(image[8:-8, 8:40] - [200, 0, 0]).mean() < 8
    assert image[:, -4:].mean() > image[:, 68:72].mean() + 60


@pytest.mark.parametrize(("size_hw", "encoded"), [((1, 1), (2, 2)), ((17, 33), (18, 34)), ((2, 51), (2, 52))])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_odd_sizes_are_made_even(
    tmp_path: Path, size_hw: tuple[int, int], encoded: tuple[int, int], side_by_side: bool
) -> None:
    frames = [ramp_frame(n, size_hw) for n in range(2)]
    image = shown(ramp_run(tmp_path, frames, side_by_side=side_by_side))[0]
    width = 2 * size_hw[1] if side_by_side else encoded[1]
    assert image.shape[:2] == (encoded[0], width)


def test_variable_frame_rate_stays_variable(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("preview",)))
    assert times(tmp_path / "preview.mp4") == [pytest.approx(pts / 12800) for pts in UNEVEN_PTS]


def test_a_preview_begins_at_0_whenever_its_frames_do_and_the_manifest_says_by_how_much_it_moved(
    tmp_path: Path,
) -> None:
    path = ramp_run(tmp_path, [ramp_frame(n, pts=7500 + 40 * n) for n in range(3)])
    assert times(path) == [pytest.approx(second) for second in (0, 0.04, 0.08)]
    videos = read_manifest(tmp_path)["videos"]
    assert isinstance(videos, dict)
    assert videos["preview"] == {"file": "preview.mp4", "start_seconds": 7.5, "sound": None}


def test_times_that_fall_together_are_set_apart(tmp_path: Path) -> None:
    path = ramp_run(tmp_path, [ramp_frame(n, pts=pts) for n, pts in enumerate((0, 0, 40, 30, 80))])
    shown_at = times(path)
    assert len(shown_at) == 5
    assert shown_at == sorted(set(shown_at))


def test_every_shot_begins_with_a_frame_that_can_be_sought(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("preview",)))
    with av.open(str(tmp_path / "preview.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [n for n, packet in enumerate(packets) if packet.is_keyframe] == [0, 5]


def test_the_sources_sound_is_copied_bit_by_bit_where_mp4_can_hold_it(tmp_path: Path) -> None:
    source = tmp_path / "sound.mp4"
    make_sound(source, "aac", "mp4")
    frames = [ramp_frame(n) for n in range(80)]
    path = ramp_run(tmp_path / "out", frames, location=str(source), has_audio=True)
    packets = []
    for file in (source, path):
        with av.open(str(file)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert 100 < len(packets[1]) <= len(packets[0])
    first = packets[0].index(packets[1][0])
    assert packets[0][first : first + len(packets[1])] == packets[1]
    assert times(path, "audio")[-1] == pytest.approx(3.2, abs=0.1)


@pytest.mark.parametrize(("codec", "container_format"), [("pcm_s16le", "wav"), ("aac", "mp4"), ("aac", "mpegts")])
def test_sound_is_cut_to_the_frames_time(tmp_path: Path, codec: str, container_format: str) -> None:
    source = tmp_path / f"sound.{container_format}"
    make_sound(source, codec, container_format)
    with av.open(str(source)) as container:
        begin = float((container.streams.audio[0].start_time or 0) * container.streams.audio[0].time_base)
    frames = [ramp_frame(n, pts=round((begin + 2) * 1000) + 40 * n) for n in range(20)]
    path = ramp_run(tmp_path / "out", frames, location=str(source), has_audio=True)
    sound = times(path, "audio")
    assert sound[0] == pytest.approx(0, abs=0.05)
    assert sound[-1] == pytest.approx(0.8, abs=0.08)
    assert loudest_frequency(path) == pytest.approx(900, abs=5)


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path: Path) -> None:
    source = tmp_path / "sound.wav"
    make_sound(source, "pcm_s16le", "wav")
    path = ramp_run(tmp_path / "out", location=str(source), has_audio=True)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    videos = read_manifest(tmp_path / "out")["videos"]
    assert isinstance(videos, dict)
    assert videos["preview"]["sound"] == "aac"


def test_sound_may_be_left_out(tmp_path: Path) -> None:
    source = tmp_path / "sound.mp4"
    make_sound(source, "aac", "mp4")
    with av.open(str(ramp_run(tmp_path / "out", location=str(source), has_audio=True, audio=False))) as container:
        assert not container.streams.audio


def test_a_sound_that_cannot_be_read_costs_a_warning_and_not_the_preview(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    path = ramp_run(tmp_path / "out", location=str(tmp_path / "broken.mp4"), has_audio=True)
    assert len(shown(path)) == 4
    warnings = read_manifest(tmp_path / "out")["warnings"]
    assert isinstance(warnings, list)
    assert any(line.startswith("the preview has no sound: ") for line in warnings)


def test_the_sound_of_a_camera_or_address_is_not_read_anew(tmp_path: Path) -> None:
    folder_path = tmp_path / "out"
    ramp_run(folder_path, location="rtsp://camera/1", has_audio=True)
    assert read_manifest(folder_path)["warnings"] == [
        "the preview has no sound: rtsp://camera/1 is no file that can be read again",
        "nothing is known about the camera: a field of view of 60 degrees was assumed",
    ]


def test_the_same_shade_means_the_same_depth_throughout_a_shot(tmp_path: Path) -> None:
    """A box that comes near must not darken the wall behind it, which is what pumping looks like."""
    frames = [toy_frame(sequence, cuts=()) for sequence in range(12)]
    run(FolderOptions(tmp_path, ("preview",), color_map="gray"), frames=frames)
    corner = [int(image[-3:, -3:].mean()) for image in shown(tmp_path / "preview.mp4")[:5]]
    assert max(corner) - min(corner) <= 2
    assert shown(tmp_path / "preview.mp4")[0].shape[:2] == SIZE_HW
