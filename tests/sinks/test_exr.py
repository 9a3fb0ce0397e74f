import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from dptstream.geometry import DepthKind
from dptstream.sinks import FolderOptions

from .clips import SIZE_HW, run, toy_feed, toy_frame

OPENCV_READER = """
import sys, cv2, numpy
image = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
numpy.save(sys.argv[2], image)
"""

OPENCV_HAS_EXR = """
import re, sys, cv2
sys.exit(bool(re.search(r"OpenEXR: +NO", cv2.getBuildInformation())))
"""

BLENDER_READER = """
import sys, bpy, numpy
image = bpy.data.images.load(sys.argv[1])
image.colorspace_settings.name = "Non-Color"
width, height = image.size
pixels = numpy.empty(width * height * 4, numpy.float32)
image.pixels.foreach_get(pixels)
numpy.save(sys.argv[2], pixels.reshape(height, width, 4)[::-1])
"""


def exr(tmp_path: Path, kind: DepthKind = DepthKind.METRIC, **choices: object) -> OpenEXR.File:
    run(FolderOptions(tmp_path / "out", ("exr",), **choices), toy_feed(kind), [toy_frame(0, kind)])  # type: ignore[arg-type]
    (path,) = (tmp_path / "out").glob("*.exr")
    return OpenEXR.File(str(path), separate_channels=True)


def channels(file: OpenEXR.File) -> dict[str, NDArray[np.generic]]:
    return {name: channel.pixels for name, channel in file.channels().items()}


def expected(kind: DepthKind = DepthKind.METRIC) -> NDArray[np.float32]:
    return toy_frame(0, kind).at_picture_size()


def test_metric_depth_is_the_channel_z_in_metres_with_the_models_own_values(tmp_path: Path) -> None:
    pixels = channels(exr(tmp_path))["Z"]
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, expected())


def test_relative_inverse_depth_has_a_name_of_its_own_and_no_z(tmp_path: Path) -> None:
    pixels = channels(exr(tmp_path, DepthKind.RELATIVE_INVERSE))
    assert sorted(pixels) == ["Y", "inverse_depth"]
    np.testing.assert_array_equal(pixels["inverse_depth"], expected())


def test_relative_depth_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert sorted(channels(exr(tmp_path, DepthKind.RELATIVE))) == ["Y", "relative_depth"]


def test_a_copy_called_y_is_there_for_plain_image_loaders(tmp_path: Path) -> None:
    np.testing.assert_array_equal(channels(exr(tmp_path))["Y"], expected())


@pytest.mark.parametrize(
    ("name", "written"),
    [("Z", ["Y", "Z"]), ("depth.Z", ["Y", "depth.Z"]), ("ViewLayer.Depth.Z", ["ViewLayer.Depth.Z", "Y"]), ("R", ["R"])],
)
def test_the_channel_may_be_named_by_the_user(tmp_path: Path, name: str, written: list[str]) -> None:
    file = exr(tmp_path, DepthKind.RELATIVE_INVERSE, exr_channel=name)
    assert sorted(channels(file)) == written
    np.testing.assert_array_equal(channels(file)[name], expected())


def test_half_stores_16_bit_floats(tmp_path: Path) -> None:
    pixels = channels(exr(tmp_path, half=True))["Z"]
    assert pixels.dtype == np.float16
    np.testing.assert_array_equal(pixels, expected().astype(np.float16))


def test_values_are_neither_normalised_nor_clipped(tmp_path: Path) -> None:
    depth = np.array([[-3.0, 0.0, 1e7], [np.inf, np.nan, 1e-9]], np.float32)
    frame = toy_frame(0, DepthKind.METRIC, depth=depth, size_hw=(2, 3))
    run(FolderOptions(tmp_path / "out", ("exr",)), toy_feed(DepthKind.METRIC, width=3, height=2), [frame])
    file = OpenEXR.File(str(tmp_path / "out" / "toy.1001.exr"), separate_channels=True)
    np.testing.assert_array_equal(channels(file)["Z"], depth)


@pytest.mark.parametrize("compression", ["zip", "zips", "piz", "none"])
def test_every_compression_gives_the_same_values(tmp_path: Path, compression: str) -> None:
    file = exr(tmp_path, compression=compression)
    assert (
        file.header()["compression"].name == ("NO" if compression == "none" else compression.upper()) + "_COMPRESSION"
    )
    np.testing.assert_array_equal(channels(file)["Z"], expected())


def test_inverse_encoding_writes_one_over_metres_under_the_inverse_name(tmp_path: Path) -> None:
    file = exr(tmp_path, encode="inverse")
    np.testing.assert_array_equal(channels(file)["inverse_depth"], 1 / expected())
    assert file.header()["dptstream/unit"] == "1/m"
    assert file.header()["dptstream/polarity"] == "larger is nearer"


def test_the_header_says_what_the_numbers_are(tmp_path: Path) -> None:
    header = exr(tmp_path).header()
    assert header["dptstream/kind"] == "metric"
    assert header["dptstream/unit"] == "m"
    assert header["dptstream/polarity"] == "larger is farther"
    assert header["dptstream/model/name"] == "toy"
    assert header["dptstream/model/licence"] == "Apache-2.0"
    assert header["dptstream/minimum"] == pytest.approx(float(expected().min()))
    assert header["dptstream/maximum"] == pytest.approx(float(expected().max()))


def test_relative_values_say_that_they_have_no_unit(tmp_path: Path) -> None:
    header = exr(tmp_path, DepthKind.RELATIVE_INVERSE).header()
    assert header["dptstream/unit"] == "none"
    assert header["dptstream/polarity"] == "larger is nearer"


def test_the_header_holds_the_standard_attributes_of_camera_and_time(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path / "out", ("exr",)), frames=[toy_frame(0), toy_frame(1), toy_frame(2)])
    header = OpenEXR.File(str(tmp_path / "out" / "toy.1003.exr")).header()
    feed = toy_feed()
    assert header["framesPerSecond"] == Fraction(25)
    assert header["imageCounter"] == 1003
    assert header["pinholeFocalLength"] == pytest.approx(feed.intrinsics.focal_mm)
    assert header["sensorOverallDimensions"] == pytest.approx((36.0, 36.0 * SIZE_HW[0] / SIZE_HW[1]))
    assert header["dptstream/intrinsics"] == pytest.approx(
        [feed.intrinsics.fx, feed.intrinsics.fy, feed.intrinsics.cx, feed.intrinsics.cy]
    )
    assert (header["dptstream/pts"], header["dptstream/timeBase"]) == ("1100", "1/12800")
    code = header["timeCode"]
    assert (code.hours, code.minutes, code.seconds, code.frame) == (0, 0, 0, 2)


def test_opencv_reads_the_values_back(tmp_path: Path) -> None:
    """OpenCV 5's wheels come without OpenEXR, so another Python may stand in: OpenCV 4's have it."""
    path, read = _written(tmp_path), tmp_path / "read.npy"
    environment = {**os.environ, "OPENCV_IO_ENABLE_OPENEXR": "1"}
    for python in (sys.executable, os.environ.get("DPTSTREAM_BPY_PYTHON", "")):
        if python and not subprocess.run([python, "-c", OPENCV_HAS_EXR], env=environment).returncode:
            subprocess.run([python, "-c", OPENCV_READER, str(path), str(read)], env=environment, check=True)
            np.testing.assert_array_equal(np.load(read), expected())
            return
    pytest.skip("no build of OpenCV with OpenEXR is at hand")


def test_blenders_image_loader_reads_the_values_back(tmp_path: Path) -> None:
    python = os.environ.get("DPTSTREAM_BPY_PYTHON")
    if not python:
        pytest.skip("set DPTSTREAM_BPY_PYTHON to a Python that has bpy")
    path, read = _written(tmp_path), tmp_path / "read.npy"
    subprocess.run([python, "-c", BLENDER_READER, str(path), str(read)], check=True, timeout=120, capture_output=True)
    for channel in range(3):
        np.testing.assert_array_equal(np.load(read)[..., channel], expected())


def _written(tmp_path: Path) -> Path:
    exr(tmp_path, DepthKind.RELATIVE_INVERSE)
    return tmp_path / "out" / "toy.1001.exr"
