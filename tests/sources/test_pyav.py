import gc
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from dptstream.errors import SourceError
from dptstream.frames import VideoFrame
from dptstream.sources import SourceOptions, SourceStats, open_source, parse_crop, parse_time
from tests.media import LOSSLESS, Coding, corner_picture, number_of, numbered_pictures, write_video


def read(path: Path | str, **options: object) -> tuple[list[VideoFrame], SourceStats]:
    with open_source(str(path), SourceOptions(**options)) as source:
        return list(source), source.stats


def test_a_clip_gives_its_frames_in_order_with_their_times(tmp_path):
    frames, stats = read(write_video(tmp_path / "clip.mp4", numbered_pictures(10)))
    assert [number_of(frame.image) for frame in frames] == list(range(10))
    assert [frame.sequence for frame in frames] == list(range(10))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(number, 25) for number in range(10)]
    assert stats == SourceStats(decoded=10)


def test_what_is_known_about_a_clip(tmp_path):
    path = write_video(tmp_path / "My clip.mp4", numbered_pictures(10), Coding(audio=True))
    with open_source(str(path)) as source:
        info = source.info
    assert (info.name, info.location, info.width, info.height) == ("My_clip", str(path), 64, 48)
    assert (info.average_rate, info.frame_count, info.live, info.codec) == (25, 10, False, "h264")
    assert info.has_audio
    assert info.intrinsics is None


def test_a_clip_without_sound_says_so(tmp_path):
    with open_source(str(write_video(tmp_path / "clip.mp4", numbered_pictures(2)))) as source:
        assert not source.info.has_audio


def test_a_variable_frame_rate_stays_variable(tmp_path):
    times_ms = [0, 10, 50, 51, 400, 1000]
    frames, _ = read(write_video(tmp_path / "clip.mkv", numbered_pictures(6), pts_ms=times_ms))
    assert [round(frame.pts_seconds * 1000) for frame in frames] == times_ms


def test_a_start_time_other_than_zero_travels_with_the_frames_while_start_and_end_count_from_the_first(tmp_path):
    path = write_video(tmp_path / "clip.mkv", numbered_pictures(20), pts_ms=range(1500, 2300, 40))
    frames, _ = read(path)
    first = frames[0].pts_seconds
    assert first == pytest.approx(1.5)
    wanted, _ = read(path, start=parse_time("0.2"), end=parse_time("0.4"))
    assert [number_of(frame.image) for frame in wanted] == [5, 6, 7, 8, 9]
    assert wanted[0].pts_seconds == pytest.approx(first + 0.2)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "mov"])
def test_a_seek_to_the_start_gives_the_same_frames_as_reading_on(tmp_path, ending):
    coding = Coding(rate=10, options={"crf": "12", "g": "12", "bf": "2"})
    if ending == "webm":
        coding = Coding(codec="libvpx", rate=10, options={"crf": "4", "b": "1M", "g": "12", "deadline": "realtime"})
    path = write_video(tmp_path / f"clip.{ending}", [p for p in numbered_pictures(25) for _ in range(2)], coding)
    sought, _ = read(path, start=parse_time("3"))
    # An end in frames needs each frame counted, so nothing is skipped.
    read_on, _ = read(path, start=parse_time("3"), end=parse_time("1000f"))
    assert [frame.pts for frame in sought] == [frame.pts for frame in read_on]
    assert 18 <= len(sought) <= 22
    assert all(np.array_equal(a.image, b.image) for a, b in zip(sought, read_on, strict=True))


def test_a_seek_decodes_less_than_reading_from_the_beginning(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(25) * 4, Coding(rate=10, options={"g": "10"}))
    _, stats = read(path, start=parse_time("9"))
    assert stats.decoded < 30


def test_every_takes_each_nth_frame_and_numbers_them_without_gaps(tmp_path):
    frames, stats = read(write_video(tmp_path / "clip.mp4", numbered_pictures(10)), every=3)
    assert [number_of(frame.image) for frame in frames] == [0, 3, 6, 9]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert stats.decoded == 10


def test_fps_thins_by_time_and_keeps_the_frames_own_times(tmp_path):
    frames, _ = read(write_video(tmp_path / "clip.mp4", numbered_pictures(10)), fps=Fraction(5))
    assert [frame.pts_seconds for frame in frames] == [0, 0.2]


def test_a_start_beyond_the_end_of_the_clip_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(5))
    with pytest.raises(SourceError, match=r"no frame lies within start and end; the video has 0\.16 s$"):
        read(path, start=parse_time("1:00"))


@pytest.mark.parametrize(
    ("rotation_deg", "mirrored", "transform"),
    [
        (0, False, lambda p: p),
        (90, False, np.rot90),
        (180, False, lambda p: np.rot90(p, 2)),
        (-90, False, lambda p: np.rot90(p, -1)),
        (0, True, lambda p: p[:, ::-1]),
        (90, True, lambda p: np.rot90(p)[:, ::-1]),
        (180, True, lambda p: np.rot90(p, 2)[:, ::-1]),
        (-90, True, lambda p: np.rot90(p, -1)[:, ::-1]),
    ],
)
def test_rotation_metadata_is_applied(tmp_path, rotation_deg, mirrored, transform):
    picture = corner_picture(64, 32)
    coding = Coding(rotation_deg=rotation_deg, mirrored=mirrored)
    with open_source(str(write_video(tmp_path / "clip.mp4", [picture] * 2, coding))) as source:
        image = next(iter(source)).image
        upright = transform(picture)
        assert (source.info.height, source.info.width) == upright.shape[:2]
    assert np.abs(image[::8, ::8].astype(int) - upright[::8, ::8]).mean() < 12


def test_odd_sizes_are_kept(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (17, 33, 3), np.uint8)
    frames, _ = read(write_video(tmp_path / "clip.mkv", [picture] * 2, LOSSLESS))
    np.testing.assert_array_equal(frames[0].image, picture)


def test_a_picture_is_a_view_that_outlives_source_and_later_frames(tmp_path):
    pictures = numbered_pictures(12, 33, 17)
    frames, _ = read(write_video(tmp_path / "clip.mkv", pictures, LOSSLESS))
    assert not frames[0].image.flags.owndata
    for frame, picture in zip(frames, pictures, strict=True):
        np.testing.assert_array_equal(frame.image, picture)


def test_memory_does_not_grow_with_the_frames_read(tmp_path):
    process = psutil.Process()
    path = write_video(
        tmp_path / "clip.mp4", numbered_pictures(25, 1280, 720) * 8, Coding(options={"preset": "ultrafast"})
    )
    gc.disable()  # what waits for the collector is memory in use all the same
    try:
        with open_source(str(path)) as source:
            resident = [process.memory_info().rss for _ in source]
    finally:
        gc.enable()
    assert len(resident) == 200
    assert max(resident[150:]) - max(resident[30:50]) < 60e6  # a tenth of what 100 frames hold


def test_a_crop_is_a_window_of_the_upright_picture(tmp_path):
    picture = corner_picture(64, 32)
    path = write_video(tmp_path / "clip.mp4", [picture] * 2, Coding(rotation_deg=90))
    with open_source(str(path), SourceOptions(crop=parse_crop("2,34,10,20"))) as source:
        frame = next(iter(source))
        assert (source.info.width, source.info.height) == (10, 20) == (frame.width, frame.height)
    assert np.abs(frame.image.astype(int) - (220, 30, 30)).mean() < 8  # the stored top left, turned to the bottom left


def test_a_crop_that_does_not_fit_is_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(2))
    with pytest.raises(SourceError, match="the crop 60,0,10,10 does not fit into a picture of 64x48"):
        read(path, crop=parse_crop("60,0,10,10"))


def test_missing_times_count_on_by_the_frame_rate(tmp_path):
    frames, _ = read(write_video(tmp_path / "clip.h264", numbered_pictures(6), Coding(container="h264")))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([number / 25 for number in range(6)])
    assert [number_of(frame.image) for frame in frames] == list(range(6))


def test_a_stream_that_changes_size_on_the_way_goes_on_with_the_new_size(tmp_path):
    small = write_video(tmp_path / "small.h264", numbered_pictures(3, 64, 48), Coding(container="h264"))
    large = write_video(tmp_path / "large.h264", numbered_pictures(3, 96, 80), Coding(container="h264"))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames, stats = read(joined)
    assert [frame.image.shape[:2] for frame in frames] == [(48, 64)] * 3 + [(80, 96)] * 3
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2] * 2
    assert any("size changes on the way, from 64x48 to 96x80" in line for line in stats.warnings)


def test_times_that_jump_back_go_on_and_the_jump_is_marked(tmp_path):
    parts = [write_video(tmp_path / f"{n}.ts", numbered_pictures(20), Coding(rate=10)).read_bytes() for n in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    frames, stats = read(joined)
    times = [frame.pts for frame in frames]
    assert len(frames) == 40
    assert times == sorted(set(times))
    assert [frame.sequence for frame in frames if frame.discontinuity] == [20]
    assert any("no usable time" in line for line in stats.warnings)


def test_an_animation_with_a_palette_is_a_clip(tmp_path):
    coding = Coding(codec="gif", pixel_format="rgb8", options={}, rate=10)
    frames, _ = read(write_video(tmp_path / "clip.gif", numbered_pictures(5), coding))
    assert len(frames) == 5
    assert frames[3].pts_seconds == pytest.approx(0.3)


def test_pixels_that_are_not_square_are_kept_and_mentioned(tmp_path):
    _, stats = read(write_video(tmp_path / "clip.mp4", numbered_pictures(2), Coding(pixel_aspect=Fraction(16, 15))))
    assert stats.warnings == ["the pixels are not square (16:15) and are kept as they are"]


def test_an_interlaced_clip_is_read_and_mentioned(tmp_path):
    coding = Coding(codec="mpeg2video", options={"flags": "+ildct+ilme", "field_order": "tt", "q": "2"})
    frames, stats = read(write_video(tmp_path / "clip.mkv", numbered_pictures(3), coding))
    assert len(frames) == 3
    assert any("interlaced" in line for line in stats.warnings)


def test_sound_beside_the_video_does_not_disturb_it(tmp_path):
    frames, stats = read(write_video(tmp_path / "clip.mp4", numbered_pictures(8), Coding(audio=True)))
    assert [number_of(frame.image) for frame in frames] == list(range(8))
    assert stats == SourceStats(decoded=8)


def test_the_phones_own_focal_length_becomes_the_camera(tmp_path):
    coding = Coding(
        container_options={"movflags": "use_metadata_tags"},
        metadata={"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"},
    )
    with open_source(str(write_video(tmp_path / "clip.mov", numbered_pictures(2, 1920, 1080), coding))) as source:
        camera = source.info.intrinsics
    assert camera is not None
    assert camera.origin == "file"
    assert camera.fx == pytest.approx(26 / 43.2666 * 2202.9, rel=1e-4)  # over the diagonals of sensor and picture
    assert (camera.cx, camera.cy) == (960, 540)


def test_the_camera_of_a_crop_has_its_centre_elsewhere(tmp_path):
    coding = Coding(
        container_options={"movflags": "use_metadata_tags"},
        metadata={"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"},
    )
    path = write_video(tmp_path / "clip.mov", numbered_pictures(2), coding)
    with open_source(str(path), SourceOptions(crop=parse_crop("10,20,30,20"))) as source:
        camera = source.info.intrinsics
    assert camera is not None
    assert (camera.cx, camera.cy, camera.width, camera.height) == (22, 4, 30, 20)


def test_a_source_may_be_closed_twice_and_gives_no_more_frames(tmp_path):
    source = open_source(str(write_video(tmp_path / "clip.mp4", numbered_pictures(20))))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert len(list(frames)) <= 1  # at most what was decoded before


def test_a_source_is_spent_after_one_round(tmp_path):
    with open_source(str(write_video(tmp_path / "clip.mp4", numbered_pictures(3)))) as source:
        assert len(list(source)) == 3
        with pytest.raises(ValueError, match="can be read once"):
            list(source)


def test_a_live_source_stamps_when_frames_came_and_hides_its_length(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(3))
    with open_source(str(path), SourceOptions(live=True)) as source:
        assert source.info.live
        assert source.info.frame_count is None
        stamps = [frame.captured_ns for frame in source]
    assert stamps == sorted(stamps)
    assert stamps[0] > 0


def test_a_recorded_source_carries_no_capture_time(tmp_path):
    frames, _ = read(write_video(tmp_path / "clip.mp4", numbered_pictures(2)))
    assert [frame.captured_ns for frame in frames] == [0, 0]


def test_tags_that_are_not_utf8_do_not_keep_a_clip_from_being_read(tmp_path):
    path = write_video(tmp_path / "clip.mkv", numbered_pictures(2), Coding(metadata={"title": "SchXXXne Reise"}))
    path.write_bytes(path.read_bytes().replace(b"SchXXXne", b"Sch\xf6\xff\xfene"))
    frames, _ = read(path)
    assert len(frames) == 2
