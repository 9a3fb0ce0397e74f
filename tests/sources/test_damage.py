"""What is broken gives one clear line, or a counted warning where work can go on."""

import errno
import os
import sys

import av
import numpy as np
import pytest
from PIL import Image

from dptstream.errors import SourceError
from dptstream.sources import SourceOptions, open_source, parse_time
from dptstream.sources import reader as reader_module
from dptstream.sources.trouble import explain
from tests.media import Coding, number_of, numbered_pictures, write_picture, write_sound, write_video


def noisy_pictures(count):
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(count)]


def message_of(path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert "Errno" not in message
    return message


def test_a_missing_file(tmp_path):
    assert message_of(tmp_path / "no.mp4") == f"{tmp_path / 'no.mp4'}: no such file or folder"


def test_a_missing_picture(tmp_path):
    assert message_of(tmp_path / "no.png") == f"{tmp_path / 'no.png'}: no such file or folder"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.txt", "clip.nfo", "clip"])
def test_a_text_file(tmp_path, name):
    (tmp_path / name).write_text("It was a dark and stormy night.\n" * 200)
    assert "not a video" in message_of(tmp_path / name)


@pytest.mark.parametrize("name", ["clip.mp4", "picture.png"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    assert "not a " in message_of(tmp_path / name)


def test_a_file_of_noise(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(np.random.default_rng(1).bytes(20_000))
    assert "not a video" in message_of(tmp_path / "clip.mp4")


def test_a_file_with_sound_alone(tmp_path):
    assert "holds no video, only audio" in message_of(write_sound(tmp_path / "song.m4a"))


def test_a_song_with_a_cover_picture(tmp_path):
    song = tmp_path / "song.mp3"
    cover = write_picture(tmp_path / "cover.png", numbered_pictures(1)[0])
    with av.open(str(song), "w") as container:
        sound = container.add_stream("mp3", rate=44100)
        picture = container.add_stream("png", rate=1)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, number * 1152
            container.mux(sound.encode(frame))
        packet = av.Packet(cover.read_bytes())
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        container.mux(packet)
        container.mux(sound.encode())
    assert "holds no video, only audio and a cover picture" in message_of(song)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser (and Windows) may read everything")
def test_a_file_one_may_not_read(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_pictures(2))
    path.chmod(0)
    assert "permission denied" in message_of(path)


def test_a_folder_without_pictures(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_pictures(2))
    assert "holds no pictures (1 files); give videos one by one" in message_of(tmp_path)


def test_a_glob_that_fits_nothing(tmp_path):
    assert "no pictures" in message_of(tmp_path / "*.png")


def test_a_pattern_that_fits_nothing(tmp_path):
    assert "no file fits this pattern" in message_of(tmp_path / "%04d.png")


def test_an_mp4_cut_off_before_its_index(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_pictures(20))
    path.write_bytes(path.read_bytes()[:-4000])
    assert "not a video, or one cut off or damaged" in message_of(path)


@pytest.mark.parametrize(
    ("name", "container_options"),
    [("clip.mp4", {"movflags": "+faststart"}), ("clip.mkv", {}), ("clip.ts", {}), ("clip.avi", {})],
)
def test_a_clip_cut_off_in_the_middle_gives_the_frames_it_has(tmp_path, name, container_options):
    coding = Coding(container_options=container_options, options={"crf": "20", "preset": "ultrafast", "g": "5"})
    path = write_video(tmp_path / name, noisy_pictures(60), coding)
    with open_source(str(path)) as source:
        whole = [frame.image for frame in source]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_source(str(path)) as source:
        frames = list(source)
    assert 20 < len(frames) < 40
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames[:20], whole, strict=False))
    if name != "clip.ts":  # which states no length
        assert any("cut off" in line or "stopped early" in line for line in source.stats.warnings)
        assert source.stats.damaged


def test_a_stretch_of_zeros_in_the_middle_is_noticed(tmp_path):
    coding = Coding(codec="ffv1", pixel_format="bgr0", options={"slicecrc": "1", "slices": "4", "level": "3"})
    path = write_video(tmp_path / "clip.mkv", noisy_pictures(12), coding)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 30_000] = bytes(30_000)
    path.write_bytes(data)
    with open_source(str(path)) as source:
        frames = list(source)
    assert 5 <= len(frames) < 12
    assert source.stats.damaged
    assert source.stats.warnings


def test_corrupt_packets_are_counted_and_passed_over(tmp_path):
    path = write_video(tmp_path / "clip.avi", noisy_pictures(12), Coding(codec="png", pixel_format="rgb24", options={}))
    data = bytearray(path.read_bytes())
    for middle in (len(data) // 3, len(data) // 2):
        data[middle : middle + 64] = os.urandom(64)
    path.write_bytes(data)
    with open_source(str(path)) as source:
        frames = list(source)
    assert source.stats.corrupt == 2
    assert len(frames) == 10
    assert source.stats.warnings == ["some packets are corrupt and were passed over"]
    assert [frame.sequence for frame in frames] == list(range(10))


def test_too_many_corrupt_packets_in_a_row_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(reader_module, "CORRUPT_LIMIT", 3)
    path = write_video(tmp_path / "clip.avi", noisy_pictures(12), Coding(codec="png", pixel_format="rgb24", options={}))
    data = bytearray(path.read_bytes())
    start = data.index(b"IHDR", data.index(b"IHDR") + 4)
    path.write_bytes(bytes(data[:start]) + bytes(data[start:]).replace(b"IDAT", b"XXXX"))
    with open_source(str(path)) as source, pytest.raises(SourceError, match="4 packets in a row cannot be decoded"):
        list(source)


def test_a_damaged_picture_among_others_is_passed_over(tmp_path):
    for number, picture in enumerate(numbered_pictures(5)):
        write_picture(tmp_path / f"{number}.png", picture)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 3, 4]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert source.stats.corrupt == 1
    assert source.stats.damaged
    assert source.stats.warnings == ["some pictures cannot be read and were passed over, the first is 2.png"]


def test_a_single_damaged_picture_is_an_error(tmp_path):
    path = write_picture(tmp_path / "picture.png", numbered_pictures(1)[0])
    path.write_bytes(path.read_bytes()[:60])
    assert "a damaged or cut off picture" in message_of(path)


def test_a_folder_of_damaged_pictures_alone_is_an_error(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no picture")
    assert "not a picture of a known format" in message_of(tmp_path)


def test_an_animated_webp_is_refused_with_advice(tmp_path):
    first, second = (Image.fromarray(picture) for picture in numbered_pictures(2))
    first.save(tmp_path / "moving.webp", save_all=True, append_images=[second])
    assert "an animated WebP" in message_of(tmp_path / "moving.webp")


def test_a_clip_without_frames(tmp_path):
    with av.open(str(tmp_path / "clip.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.open()
        container.start_encoding()
    message_of(tmp_path / "clip.avi")


def test_a_clip_whose_packets_are_all_corrupt(tmp_path):
    path = write_video(tmp_path / "clip.avi", noisy_pictures(6), Coding(codec="png", pixel_format="rgb24", options={}))
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"XXXX"))
    assert "not one frame of it can be decoded" in message_of(path)


def test_a_picture_of_one_pixel_is_a_frame(tmp_path):
    with open_source(str(write_picture(tmp_path / "dot.png", np.full((1, 1, 3), 77, np.uint8)))) as source:
        frames = list(source)
    assert frames[0].image.tolist() == [[[77, 77, 77]]]


def test_a_camera_that_is_not_there():
    assert message_of("/dev/video97").startswith("/dev/video97: no such camera")


@pytest.mark.skipif(sys.platform != "linux", reason="pretends that this Linux were another system")
@pytest.mark.parametrize(("platform", "reader"), [("darwin", "avfoundation"), ("win32", "dshow")])
def test_a_camera_without_the_systems_reader(monkeypatch, platform, reader):
    monkeypatch.setattr("sys.platform", platform)
    assert message_of("camera:0") == f"camera:0: this build of PyAV reads no cameras (it lacks {reader})"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (av.error.OSError(errno.EBUSY, "Device or resource busy"), "the camera is in use by another program"),
        (av.error.PermissionError(errno.EACCES, "Permission denied"), "may this user"),
        (av.error.OSError(errno.ENOTTY, "Inappropriate ioctl for device"), "gives no video: Inappropriate ioctl"),
    ],
)
def test_what_a_camera_refuses_is_said_in_words(error, words):
    assert words in str(explain(error, "/dev/video0"))


def test_a_heic_photo_is_refused_because_only_a_tile_of_it_would_come(tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert "save it as JPEG or PNG" in message_of(tmp_path / "photo.heic")


def test_a_number_of_frames_that_ends_before_it_begins_is_an_error(tmp_path):
    path = write_picture(tmp_path / "picture.png", numbered_pictures(1)[0])
    with pytest.raises(SourceError, match="none of its 1 pictures lies within start and end"):
        open_source(str(path), SourceOptions(start=parse_time("5f")))
