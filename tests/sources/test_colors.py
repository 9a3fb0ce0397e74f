"""Whatever the format, the colours come out as they went in."""

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from PIL import Image

from dptstream.sources import open_source
from tests.media import Coding, corner_picture, write_frames, write_picture, write_video

RGB = (200, 40, 60)
LUMA = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}  # of red and blue
AVCOL_SPC = {"bt709": 1, "unspecified": 2, "bt601": 6, "bt2020": 9}


def yuv_of(rgb: tuple[int, int, int], matrix: str, *, full: bool) -> tuple[int, int, int]:
    """Compute the code values by the definition of Y'CbCr in ITU-R BT.601, BT.709 and BT.2020."""
    red, green, blue = (channel / 255 for channel in rgb)
    of_red, of_blue = LUMA[matrix]
    y = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    cb, cr = (blue - y) / (2 * (1 - of_blue)), (red - y) / (2 * (1 - of_red))
    if full:
        return round(255 * y), round(255 * cb + 128), round(255 * cr + 128)
    return round(16 + 219 * y), round(128 + 224 * cb), round(128 + 224 * cr)


def even_yuv_frame(values: tuple[int, int, int], width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def first_picture(path) -> np.ndarray:
    with open_source(str(path)) as source:
        return next(iter(source)).image


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["bt709", "bt601", "bt2020"])
def test_the_colour_matrix_and_range_that_a_file_states_are_honoured(tmp_path, matrix, full):
    frame = even_yuv_frame(yuv_of(RGB, matrix, full=full), 64, 48)
    frame.colorspace = AVCOL_SPC[matrix]
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    path = write_frames(tmp_path / "clip.mkv", [frame], Coding(codec="ffv1", options={}))
    np.testing.assert_allclose(
        first_picture(path).mean(axis=(0, 1)), RGB, atol=3.5
    )  # swscale rounds by up to 3; a wrong matrix errs by 10 and more


@pytest.mark.parametrize(("width", "height", "matrix"), [(1280, 720, "bt709"), (720, 576, "bt601")])
def test_untagged_video_is_taken_for_what_its_size_suggests(tmp_path, width, height, matrix):
    frame = even_yuv_frame(yuv_of(RGB, matrix, full=False), width, height)
    frame.colorspace = AVCOL_SPC["unspecified"]
    path = write_frames(tmp_path / "clip.mkv", [frame], Coding(codec="ffv1", options={}))
    np.testing.assert_allclose(
        first_picture(path).mean(axis=(0, 1)), RGB, atol=3.5
    )  # swscale rounds by up to 3; a wrong matrix errs by 10 and more


@pytest.mark.parametrize(
    ("pixel_format", "tolerance"),
    [
        ("yuv420p10le", 4),
        ("yuv422p10le", 4),
        ("yuv444p12le", 4),
        ("gbrp10le", 1),
        ("gbrp16le", 1),
        ("yuva420p", 4),
        ("yuv444p", 4),
        ("bgra", 0),
        ("bgr0", 0),
    ],
)
def test_deep_and_transparent_formats_give_the_same_colours(tmp_path, pixel_format, tolerance):
    picture = corner_picture()
    path = write_video(tmp_path / "clip.mkv", [picture], Coding(codec="ffv1", pixel_format=pixel_format, options={}))
    inside = np.s_[4:20, 4:28]  # away from the edges that chroma subsampling blurs
    np.testing.assert_allclose(first_picture(path)[inside], picture[inside], atol=tolerance)


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray16le"])
def test_grey_video_gives_equal_channels(tmp_path, pixel_format):
    ramp = np.repeat(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))[..., None], 3, axis=2)
    path = write_video(tmp_path / "clip.mkv", [ramp], Coding(codec="ffv1", pixel_format=pixel_format, options={}))
    np.testing.assert_allclose(first_picture(path), ramp, atol=2)


def test_ten_bit_hevc_is_read(tmp_path):
    picture = corner_picture(96, 64)
    coding = Coding(codec="libx265", pixel_format="yuv420p10le", options={"x265-params": "log-level=none:crf=8"})
    # Matroska, since FFmpeg's MP4 writer now and then refuses the header that this x265 makes ("patches welcome").
    image = first_picture(write_video(tmp_path / "clip.mkv", [picture] * 2, coding))
    np.testing.assert_allclose(image[8:24, 8:40], picture[8:24, 8:40], atol=6)


def test_dropping_transparency_is_mentioned_where_there_is_some(tmp_path):
    rgba = np.dstack([corner_picture(), np.full((48, 64), 100, np.uint8)])
    frame = av.VideoFrame.from_ndarray(rgba, "rgba")
    path = write_frames(tmp_path / "clip.mov", [frame], Coding(codec="png", pixel_format="rgba", options={}))
    with open_source(str(path)) as source:
        image = next(iter(source)).image
        assert any("transparency is dropped" in line for line in source.stats.warnings)
    np.testing.assert_array_equal(image, corner_picture())


def test_an_alpha_channel_that_hides_nothing_is_not_mentioned(tmp_path):
    path = write_video(tmp_path / "clip.mov", [corner_picture()], Coding(codec="png", pixel_format="rgba", options={}))
    with open_source(str(path)) as source:
        next(iter(source))
        assert source.stats.warnings == []


def test_a_transparent_webm_is_read(tmp_path):
    coding = Coding(codec="libvpx-vp9", pixel_format="yuva420p", options={"crf": "10", "b": "0", "cpu-used": "8"})
    image = first_picture(write_video(tmp_path / "clip.webm", [corner_picture()] * 2, coding))
    np.testing.assert_allclose(image[4:20, 4:28], corner_picture()[4:20, 4:28], atol=8)


def test_hdr_video_in_pq_is_brought_to_the_brightness_of_a_screen(tmp_path):
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    # 10-bit code 572 is about 203 nits in PQ, the white of graphics (ITU-R BT.2408).
    for plane, value in zip(frame.planes, (572, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 9, ColorRange.MPEG, 16, 9
    path = write_frames(tmp_path / "clip.mkv", [frame], Coding(codec="ffv1", pixel_format="yuv420p10le", options={}))
    assert 235 < first_picture(path).mean() < 250  # left as it is, it would be 148


@pytest.mark.parametrize("pixel_format", ["rgb24", "rgba", "rgb48be", "gray", "gray16be", "ya8"])
def test_png_pictures_of_every_depth_are_read(tmp_path, pixel_format):
    picture = np.repeat(np.tile(np.arange(33, dtype=np.uint8) * 7, (17, 1))[..., None], 3, axis=2)
    path = write_picture(tmp_path / "picture.png", picture, pixel_format=pixel_format)
    np.testing.assert_allclose(first_picture(path), picture, atol=2)


def test_a_png_with_a_palette_is_read(tmp_path):
    with_palette = Image.fromarray(corner_picture()).convert("P")
    with_palette.save(tmp_path / "picture.png")
    np.testing.assert_array_equal(first_picture(tmp_path / "picture.png"), with_palette.convert("RGB"))


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "jpg", "webp"])
def test_pictures_of_every_common_format_are_read(tmp_path, ending):
    picture = corner_picture()
    image = first_picture(write_picture(tmp_path / f"picture.{ending}", picture))
    tolerance = 12 if ending in ("jpg", "webp") else 0
    np.testing.assert_allclose(image[4:20, 4:28], picture[4:20, 4:28], atol=tolerance)


def test_linear_light_in_exr_is_shown_as_a_screen_would(tmp_path):
    import OpenEXR

    grey = np.full((16, 16, 3), 0.18, np.float32)
    path = tmp_path / "picture.exr"
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": grey}).write(str(path))
    np.testing.assert_allclose(first_picture(path), 118, atol=1)  # sRGB's code for 18 %


def test_what_the_bytes_say_wins_over_the_ending(tmp_path):
    path = tmp_path / "really_a_jpeg.png"
    path.write_bytes(cv2.imencode(".jpg", corner_picture()[..., ::-1])[1].tobytes())
    assert first_picture(path).shape == (48, 64, 3)
