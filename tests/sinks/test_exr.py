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
folder, output, numbers = sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3:]]
image = bpy.data.images.load(f"{folder}/toy.{numbers[0]:04d}.exr")
width, height = image.size
image.source, image.colorspace_settings.name = "SEQUENCE", "Non-Color"

rows, columns = numpy.mgrid[0:height, 0:width]
centres = numpy.stack([(columns + 0.5) / width, (rows + 0.5) / height, 0 * rows], -1).reshape(-1, 3)
mesh = bpy.data.meshes.new("grid")
mesh.from_pydata(centres.tolist(), [], [])
grid = bpy.data.objects.new("grid", mesh)
bpy.context.scene.collection.objects.link(grid)

tree = bpy.data.node_groups.new("read", "GeometryNodeTree")
for way in ("INPUT", "OUTPUT"):
    tree.interface.new_socket("Geometry", in_out=way, socket_type="NodeSocketGeometry")
start, position, time, texture, store, end = (
    tree.nodes.new(kind)
    for kind in (
        "NodeGroupInput", "GeometryNodeInputPosition", "GeometryNodeInputSceneTime",
        "GeometryNodeImageTexture", "GeometryNodeStoreNamedAttribute", "NodeGroupOutput",
    )
)
texture.interpolation, store.data_type = "Closest", "FLOAT_COLOR"
texture.inputs["Image"].default_value = image
store.inputs["Name"].default_value = "depth"
value = next(socket for socket in store.inputs if socket.name == "Value" and socket.enabled)
for source, target in (
    (start.outputs[0], store.inputs["Geometry"]), (position.outputs[0], texture.inputs["Vector"]),
    (time.outputs["Frame"], texture.inputs["Frame"]), (texture.outputs["Color"], value), (store.outputs[0], end.inputs[0]),
):
    tree.links.new(source, target)
grid.modifiers.new("read", "NODES").node_group = tree

frames = []
for number in numbers:
    bpy.context.scene.frame_set(number)
    attribute = grid.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.attributes["depth"]
    colors = numpy.empty(len(attribute.data) * 4, numpy.float32)
    attribute.data.foreach_get("color", colors)
    frames.append(colors.reshape(height, width, 4)[::-1, :, :3])
numpy.save(output, frames)
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
    assert header["dptstream/model/license"] == "Apache-2.0"
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
    for python in (sys.executable, *os.environ.get("DPTSTREAM_BPY_PYTHON", "").split(os.pathsep)):
        if python and not subprocess.run([python, "-c", OPENCV_HAS_EXR], env=environment).returncode:
            subprocess.run([python, "-c", OPENCV_READER, str(path), str(read)], env=environment, check=True)
            np.testing.assert_array_equal(np.load(read), expected())
            return
    pytest.skip("no build of OpenCV with OpenEXR is at hand")


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        (DepthKind.RELATIVE_INVERSE, {}),
        (DepthKind.METRIC, {}),
        (DepthKind.METRIC, {"half": True, "compression": "piz"}),
    ],
)
def test_blenders_image_node_reads_a_sequence_back(tmp_path: Path, kind: DepthKind, choices: dict) -> None:  # type: ignore[type-arg]
    """In geometry nodes, by scene frame, as the add-on reads recorded depth."""
    python = os.environ.get("DPTSTREAM_BPY_PYTHON", "").split(os.pathsep)[0]
    if not python:
        pytest.skip("set DPTSTREAM_BPY_PYTHON to a Python that has bpy")
    run(FolderOptions(tmp_path / "out", ("exr",), numbering="blender", **choices), toy_feed(kind))
    sequences = (0, 3, 9)
    command = [python, "-c", BLENDER_READER, str(tmp_path / "out"), str(tmp_path / "read.npy")]
    subprocess.run([*command, *(str(1 + n) for n in sequences)], check=True, timeout=400, capture_output=True)
    read = np.load(tmp_path / "read.npy")
    for frame, sequence in zip(read, sequences, strict=True):
        values = toy_frame(sequence, kind).at_picture_size()
        np.testing.assert_array_equal(frame, np.repeat(values[..., None], 3, 2).astype("f2" if choices else "f4"))


def _written(tmp_path: Path) -> Path:
    exr(tmp_path, DepthKind.RELATIVE_INVERSE)
    return tmp_path / "out" / "toy.1001.exr"
