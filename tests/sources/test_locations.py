from pathlib import Path

import pytest

from dptstream.sources.locations import (
    LocationKind,
    camera_of,
    expand_location,
    kind_of,
    natural_order,
    numbered_files,
    path_of_file_url,
    short_name,
    without_secrets,
)


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("clip.mp4", LocationKind.CONTAINER),
        (r"C:\films\clip.mp4", LocationKind.CONTAINER),
        ("photo.JPG", LocationKind.PICTURE),
        ("animation.gif", LocationKind.CONTAINER),
        ("frames/%05d.png", LocationKind.PATTERN),
        ("frames/*.png", LocationKind.GLOB),
        ("rtsp://camera/1", LocationKind.ADDRESS),
        ("https://example.org/clip.mp4", LocationKind.ADDRESS),
        ("/dev/video0", LocationKind.CAMERA),
        ("camera:1", LocationKind.CAMERA),
        ("/dev/v4l/by-id/usb-Webcam-index0", LocationKind.CAMERA),
        ("synthetic:", LocationKind.SYNTHETIC),
        ("synthetic:seed=1", LocationKind.SYNTHETIC),
    ],
)
def test_a_location_is_told_by_its_form(location, kind):
    assert kind_of(location) is kind


def test_a_folder_is_a_folder_even_when_its_name_looks_like_a_picture(tmp_path):
    (tmp_path / "frames.png").mkdir()
    assert kind_of(str(tmp_path / "frames.png")) is LocationKind.FOLDER


def test_a_file_that_exists_wins_over_patterns_and_globs(tmp_path):
    for name in ("holiday [2024].mp4", "100%d.mp4"):
        (tmp_path / name).touch()
        assert kind_of(str(tmp_path / name)) is LocationKind.CONTAINER


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("rtsp://admin:geheim@10.0.0.5:554/stream", "rtsp://admin:***@10.0.0.5:554/stream"),
        ("rtsp://admin:p@ss/wo:rd@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://:geheim@cam/1", "rtsp://:***@cam/1"),
        ("https://cdn/x.m3u8?token=abc&quality=hd", "https://cdn/x.m3u8?token=***&quality=hd"),
        ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1", "rtsp://cam/user=admin_password=***"),
        ("srt://host:9000?passphrase=geheim123", "srt://host:9000?passphrase=***"),
        ("http://host:8080/a@b.mp4", "http://host:8080/a@b.mp4"),
        ("films/key=3.mp4", "films/key=3.mp4"),
    ],
)
def test_passwords_and_tokens_of_addresses_are_blotted_out(location, shown):
    assert without_secrets(location) == shown


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("films/My clip (1).mp4", "My_clip_1"),
        ("shot/plate.%04d.exr", "plate"),
        ("shot/%04d.exr", "shot"),
        ("shot/*.png", "shot"),
        ("rtsp://admin:geheim@cam.local/live/main", "cam.local_main"),
        ("/dev/video0", "video0"),
        ("camera:1", "camera_1"),
        ("synthetic:seed=3", "synthetic"),
    ],
)
def test_a_location_gets_a_short_name_fit_for_files(location, name):
    assert short_name(location) == name


def test_a_folder_keeps_its_whole_name(tmp_path):
    (tmp_path / "shot.v002").mkdir()
    assert short_name(str(tmp_path / "shot.v002")) == "shot.v002"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///films/a%20clip.mp4", "/films/a clip.mp4"),
        ("file:///C:/films/clip.mp4", "C:/films/clip.mp4"),
        ("clip.mp4", "clip.mp4"),
    ],
)
def test_a_file_address_becomes_a_path(location, path):
    assert path_of_file_url(location) == path


@pytest.mark.parametrize(
    ("platform", "location", "device"),
    [
        ("linux", "/dev/video2", ("v4l2", "/dev/video2")),
        ("linux", "camera:2", ("v4l2", "/dev/video2")),
        ("darwin", "camera:0", ("avfoundation", "0")),
        ("win32", "camera:Integrated Camera", ("dshow", "video=Integrated Camera")),
    ],
)
def test_a_camera_is_named_as_its_system_does(monkeypatch, platform, location, device):
    monkeypatch.setattr("sys.platform", platform)
    assert camera_of(location) == device


def test_names_are_ordered_as_people_count():
    names = ["frame10.png", "frame2.png", "Frame1.png"]
    assert sorted(map(Path, names), key=natural_order) == [Path("Frame1.png"), Path("frame2.png"), Path("frame10.png")]


def test_a_pattern_finds_its_numbers_in_order_and_nothing_else(tmp_path):
    for name in ("a.0010.png", "a.0002.png", "a.12345.png", "a.7.png", "b.0001.png", "a.0001.jpg", "a.x.png"):
        (tmp_path / name).touch()
    assert list(numbered_files(str(tmp_path / "a.%04d.png"))) == [2, 10, 12345]


def test_a_pattern_without_width_takes_numbers_of_any_length(tmp_path):
    for name in ("1.png", "20.png"):
        (tmp_path / name).touch()
    assert list(numbered_files(str(tmp_path / "%d.png"))) == [1, 20]


def test_a_pattern_in_a_folder_that_does_not_exist_finds_nothing(tmp_path):
    assert numbered_files(str(tmp_path / "no" / "%04d.png")) == {}


def test_a_glob_of_videos_is_many_sources(tmp_path):
    for name in ("b10.mp4", "b2.mp4", "poster.png"):
        (tmp_path / name).touch()
    assert expand_location(str(tmp_path / "*")) == [str(tmp_path / "b2.mp4"), str(tmp_path / "b10.mp4")]


def test_a_glob_of_pictures_is_one_source(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / name).touch()
    pattern = str(tmp_path / "*.png")
    assert expand_location(pattern) == [pattern]


@pytest.mark.parametrize("location", ["clip.mp4", "rtsp://host/*", "frames/%04d.png", "no_such_*.mp4"])
def test_anything_else_is_one_source(location):
    assert expand_location(location) == [location]
