from fractions import Fraction

import numpy as np
import pytest
from PIL import ExifTags, Image

from dptstream.errors import SourceError
from dptstream.sources import SourceOptions, open_source, parse_crop, parse_time
from tests.media import corner_picture, number_of, numbered_pictures, write_picture


def write_numbered(folder, numbers, name="frame_{:04d}.png"):
    pictures = numbered_pictures(max(numbers) + 1)
    for number in numbers:
        write_picture(folder / name.format(number), pictures[number])


def save_with_exif(path, picture, **tags):
    exif = Image.Exif()
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        (exif if name in ("Orientation", "Make") else camera)[ExifTags.Base[name]] = value
    Image.fromarray(picture).save(path, exif=exif)
    return path


def test_a_single_picture_is_one_frame(tmp_path):
    path = write_picture(tmp_path / "photo.png", corner_picture())
    with open_source(str(path)) as source:
        frames = list(source)
        info = source.info
    assert len(frames) == 1
    assert (frames[0].sequence, frames[0].pts) == (0, 0)
    np.testing.assert_array_equal(frames[0].image, corner_picture())
    assert (info.name, info.width, info.height, info.frame_count, info.codec) == ("photo", 64, 48, 1, "png")
    assert info.average_rate is None
    assert not info.live


def test_a_folder_gives_its_pictures_in_natural_order_at_24_a_second(tmp_path):
    write_numbered(tmp_path, [0, 2, 10], name="frame{}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._frame1.png").write_bytes(b"what macOS leaves behind")
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [0, 2, 10]
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(number, 24) for number in range(3)]
    assert (source.info.average_rate, source.info.frame_count) == (24, 3)
    assert source.stats.warnings == []


def test_a_glob_gives_the_pictures_it_fits(tmp_path):
    write_numbered(tmp_path, [0, 1, 2])
    write_numbered(tmp_path, [5], name="other_{}.png")
    with open_source(str(tmp_path / "frame_*.png")) as source:
        assert [number_of(frame.image) for frame in source] == [0, 1, 2]


def test_a_pattern_keeps_its_numbers_as_times_and_mentions_the_missing(tmp_path):
    write_numbered(tmp_path, [3, 4, 7])
    with open_source(str(tmp_path / "frame_%04d.png"), SourceOptions(picture_rate=Fraction(25))) as source:
        frames = list(source)
    assert [frame.pts * frame.time_base for frame in frames] == [0, Fraction(1, 25), Fraction(4, 25)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert source.stats.warnings == ["2 of 5 numbers are missing, the first is 5; their time stays empty"]


def test_start_end_every_and_fps_hold_for_pictures(tmp_path):
    write_numbered(tmp_path, range(12))

    def numbers(**options):
        with open_source(str(tmp_path), SourceOptions(picture_rate=Fraction(10), **options)) as source:
            found = [number_of(frame.image) for frame in source]
            assert source.info.frame_count == len(found)
            return found

    assert numbers(start=parse_time("0.3"), end=parse_time("0.6")) == [3, 4, 5]
    assert numbers(start=parse_time("2f"), every=4) == [2, 6, 10]
    assert numbers(fps=Fraction(5)) == [0, 2, 4, 6, 8, 10]


def test_pictures_that_are_not_wanted_are_not_read(tmp_path):
    write_numbered(tmp_path, range(10))
    with open_source(str(tmp_path), SourceOptions(every=5)) as source:
        list(source)
    assert source.stats.decoded == 2


def test_pictures_may_differ_in_size_which_is_mentioned_once(tmp_path):
    for name, width in (("a.png", 64), ("b.png", 32), ("c.png", 16)):
        write_picture(tmp_path / name, corner_picture(width, 48))
    with open_source(str(tmp_path)) as source:
        assert [frame.width for frame in source] == [64, 32, 16]
    assert source.stats.warnings == ["the pictures differ in size; b.png is the first other one"]


def test_a_crop_applies_to_pictures(tmp_path):
    path = write_picture(tmp_path / "photo.png", corner_picture())
    with open_source(str(path), SourceOptions(crop=parse_crop("32,24,8,4"))) as source:
        frame = next(iter(source))
        assert (source.info.width, source.info.height) == (8, 4)
    np.testing.assert_array_equal(frame.image, np.full((4, 8, 3), 230))


def test_a_crop_that_does_not_fit_a_picture_is_an_error(tmp_path):
    path = write_picture(tmp_path / "photo.png", corner_picture())
    with pytest.raises(SourceError, match="does not fit into a picture of 64x48"):
        open_source(str(path), SourceOptions(crop=parse_crop("0,0,64,49")))


def test_pictures_can_be_read_once(tmp_path):
    with open_source(str(write_picture(tmp_path / "photo.png", corner_picture()))) as source:
        list(source)
        with pytest.raises(ValueError, match="can be read once"):
            list(source)


def test_a_closed_source_gives_no_more_pictures(tmp_path):
    write_numbered(tmp_path, range(5))
    source = open_source(str(tmp_path))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert len(list(frames)) <= 1


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize(
    ("tag", "stored"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.swapaxes(0, 1)),
        (6, lambda p: np.rot90(p)),  # noqa: PLW0108 (a row of the table like the others)
        (7, lambda p: p.swapaxes(0, 1)[::-1, ::-1]),
        (8, lambda p: np.rot90(p, -1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, ending, tag, stored):
    upright = corner_picture(64, 32)
    path = save_with_exif(tmp_path / f"photo.{ending}", np.ascontiguousarray(stored(upright)), Orientation=tag)
    with open_source(str(path)) as source:
        image = next(iter(source)).image
    assert image.shape == upright.shape
    assert np.abs(image[4::8, 4::8].astype(int) - upright[4::8, 4::8]).max() < 16


def test_the_35_mm_focal_length_of_exif_becomes_the_camera(tmp_path):
    path = save_with_exif(tmp_path / "photo.jpg", corner_picture(120, 80), FocalLengthIn35mmFilm=50, Orientation=6)
    with open_source(str(path)) as source:
        camera = source.info.intrinsics
    assert camera is not None
    assert (camera.width, camera.height, camera.origin) == (80, 120, "file")
    assert camera.fx == camera.fy == pytest.approx(50 / 36 * 120)  # of the same shape as a 36 x 24 mm film


def test_focal_length_and_focal_plane_resolution_give_the_camera_more_exactly(tmp_path):
    tags = {"FocalLength": 35.0, "FocalPlaneXResolution": 1000.0, "FocalPlaneResolutionUnit": 3, "ExifImageWidth": 2400}
    path = save_with_exif(tmp_path / "photo.jpg", corner_picture(120, 80), FocalLengthIn35mmFilm=50, **tags)
    with open_source(str(path)) as source:
        camera = source.info.intrinsics
    assert camera is not None
    assert camera.fx == pytest.approx(35 * 100 * 120 / 2400)  # 100 pixels a millimetre, scaled down since


def test_focal_lengths_that_cannot_be_are_not_believed(tmp_path):
    tags = {"FocalLength": 35.0, "FocalPlaneXResolution": 0.001, "FocalPlaneResolutionUnit": 3}
    path = save_with_exif(tmp_path / "photo.jpg", corner_picture(120, 80), FocalLengthIn35mmFilm=0, **tags)
    with open_source(str(path)) as source:
        assert source.info.intrinsics is None


def test_a_picture_without_tags_has_no_camera(tmp_path):
    with open_source(str(write_picture(tmp_path / "photo.png", corner_picture()))) as source:
        assert source.info.intrinsics is None
