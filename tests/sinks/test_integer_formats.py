import json
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.errors import SinkError
from dptstream.frames import DepthFrame
from dptstream.geometry import DepthKind
from dptstream.sinks import DepthFolder, FolderOptions, parse_range, read_manifest
from dptstream.sinks.mapping import Codes, display_range, nearness
from dptstream.sinks.options import RangePolicy
from tests.waiting import wait_until

from .clips import CUTS, SIZE_HW, UNEVEN_PTS, run, toy_feed, toy_frame


def png(directory: Path, number: int) -> NDArray[np.uint16]:
    image = cv2.imread(str(directory / f"toy.{number}.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.dtype == np.uint16
    return np.asarray(image, np.uint16)


def decoded(codes: NDArray[np.uint16], record: dict[str, float]) -> NDArray[np.float64]:
    return record["offset"] + record["scale"] * codes.astype(np.float64)


def mappings(directory: Path) -> list[dict]:  # type: ignore[type-arg]
    found = read_manifest(directory)["mappings"]
    assert isinstance(found, list)
    return found


def video_frames(path: Path) -> list[tuple[float, NDArray[np.uint16]]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray()) for frame in container.decode(video=0)]


def with_depth(values: list[list[float]], kind: DepthKind) -> DepthFrame:
    depth = np.array(values, np.float32)
    return toy_frame(0, kind, depth=depth, size_hw=depth.shape)  # type: ignore[arg-type]


def test_metric_png_holds_millimetres_and_0_where_nothing_is_known(tmp_path: Path) -> None:
    frame = with_depth([[1.0, 2.3456, 65.535], [np.nan, -1.0, 0.0], [np.inf, 80.0, 0.0004]], DepthKind.METRIC)
    folder = run(FolderOptions(tmp_path, ("png16",)), toy_feed(DepthKind.METRIC, width=3, height=3), [frame])
    assert png(tmp_path, 1001).tolist() == [[1000, 2346, 65535], [0, 0, 0], [0, 65535, 1]]
    assert "1 frames hold depths beyond 65.535 m, where 16-bit millimetres end" in folder.warnings
    assert mappings(tmp_path)[0]["codes"] == {"scale": 0.001, "offset": 0.0, "invalid": 0}


def test_relative_png_gives_the_values_back_by_the_recorded_scale_and_offset(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",)))
    for mapping in mappings(tmp_path):
        for sequence in range(mapping["first"], mapping["end"]):
            values = decoded(png(tmp_path, 1001 + sequence), mapping["codes"])
            error = np.abs(values - toy_frame(sequence).at_picture_size()).max()
            assert error <= mapping["codes"]["scale"] * 0.51


def test_a_png_carries_its_scale_and_offset_itself(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",)))
    content = (tmp_path / "toy.1001.png").read_bytes()
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"tEXt":
            key, value = content[at + 8 : at + 8 + length].decode().split("\0")
            chunks[key] = value
        at += 12 + length
    codes = mappings(tmp_path)[0]["codes"]
    assert (float(chunks["dptstream:scale"]), float(chunks["dptstream:offset"])) == (codes["scale"], codes["offset"])


def test_relative_codes_use_1_to_65535_and_0_is_invalid(tmp_path: Path) -> None:
    frame = with_depth([[-2.0, 3.0, 8.0], [np.nan, np.inf, 3.0]], DepthKind.RELATIVE_INVERSE)
    run(FolderOptions(tmp_path, ("png16",)), toy_feed(width=3, height=2), [frame])
    assert png(tmp_path, 1001).tolist() == [[1, 32768, 65535], [0, 0, 32768]]


def test_invert_turns_relative_codes_round_and_the_record_still_gives_the_values(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path / "near", ("png16",)))
    run(FolderOptions(tmp_path / "far", ("png16",), invert=True))
    near, far = (png(tmp_path / name, 1001).astype(int) for name in ("near", "far"))
    np.testing.assert_allclose(near + far, 65536, atol=1)
    codes = mappings(tmp_path / "far")[0]["codes"]
    assert codes["scale"] < 0
    np.testing.assert_allclose(decoded(png(tmp_path / "far", 1001), codes), toy_frame(0).at_picture_size(), atol=1e-4)


def test_one_shot_has_one_mapping_and_the_next_shot_another(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",)))
    found = mappings(tmp_path)
    assert [(one["first"], one["end"]) for one in found] == [(0, CUTS[1]), (CUTS[1], 12)]
    assert found[0]["codes"] != found[1]["codes"]


def test_a_still_thing_keeps_its_code_through_a_shot_though_the_range_of_frames_changes(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",)))
    assert len({int(png(tmp_path, 1001 + sequence)[-1, -1]) for sequence in range(CUTS[1])}) == 1


def test_range_clip_maps_all_frames_alike(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",), range="clip"))
    assert [(one["first"], one["end"]) for one in mappings(tmp_path)] == [(0, 12)]


def test_range_frame_maps_each_frame_by_itself(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",), range="frame"))
    assert [(one["first"], one["end"]) for one in mappings(tmp_path)] == [(n, n + 1) for n in range(12)]
    for sequence in range(12):
        assert (png(tmp_path, 1001 + sequence).min(), png(tmp_path, 1001 + sequence).max()) == (1, 65535)


def test_a_range_of_the_users_own_is_used_and_values_beyond_it_are_held_at_its_ends(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",), range=(3.0, 5.0)))
    values = decoded(png(tmp_path, 1001), mappings(tmp_path)[0]["codes"])
    np.testing.assert_allclose(values, np.clip(toy_frame(0).at_picture_size(), 3, 5), atol=1e-4)


def test_a_range_in_metres_is_meant_in_metres_when_the_inverse_is_written(tmp_path: Path) -> None:
    options = FolderOptions(tmp_path, ("png16",), range=(2.0, 4.0), encode="inverse")
    run(options, toy_feed(DepthKind.METRIC))
    values = decoded(png(tmp_path, 1001), mappings(tmp_path)[0]["codes"])
    np.testing.assert_allclose(values, np.clip(1 / toy_frame(0).at_picture_size(), 1 / 4, 1 / 2), atol=1e-4)


def test_a_range_of_depths_that_begins_at_0_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = DepthFolder(FolderOptions(tmp_path / "out", range=(0.0, 5.0)))
    with pytest.raises(SinkError, match="must begin above 0"):
        folder.open(toy_feed(DepthKind.METRIC))
    assert not (tmp_path / "out").exists()


def test_a_frame_without_any_value_has_only_invalid_codes(tmp_path: Path) -> None:
    depth = np.full((14, 21), np.nan, np.float32)
    folder = run(FolderOptions(tmp_path, ("png16", "preview", "ply")), frames=[toy_frame(0, depth=depth)])
    assert not png(tmp_path, 1001).any()
    assert f"{SIZE_HW[0] * SIZE_HW[1]} values are not finite" in folder.warnings


def test_a_flat_depth_map_gives_its_value_back(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16",)), frames=[toy_frame(0, depth=np.full((14, 21), 4.25, np.float32))])
    values = decoded(png(tmp_path, 1001), mappings(tmp_path)[0]["codes"])
    np.testing.assert_allclose(values, 4.25, atol=1e-4)


def test_ffv1_holds_the_codes_of_the_pngs_with_the_true_times(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("png16", "ffv1")))
    frames = video_frames(tmp_path / "depth.mkv")
    assert len(frames) == 12
    for sequence, (seconds, codes) in enumerate(frames):
        np.testing.assert_array_equal(codes, png(tmp_path, 1001 + sequence))
        assert seconds == pytest.approx(UNEVEN_PTS[sequence] / 12800, abs=0.0005)


def test_ffv1_is_16_bit_grey_in_matroska(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("ffv1",)))
    with av.open(str(tmp_path / "depth.mkv")) as container:
        assert "matroska" in container.format.name
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("ffv1", "gray16le")


def test_ffv1_of_metric_depth_holds_millimetres(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("ffv1",)), toy_feed(DepthKind.METRIC))
    expected = np.rint(toy_frame(0).at_picture_size() * 1000)
    np.testing.assert_allclose(video_frames(tmp_path / "depth.mkv")[0][1], expected, atol=1)


def test_a_clip_that_begins_late_keeps_its_times_in_ffv1(tmp_path: Path) -> None:
    frames = [toy_frame(sequence) for sequence in range(12)][4:]
    moved = [DepthFrame(one.depth, one.kind, _renumbered(one, sequence)) for sequence, one in enumerate(frames)]
    run(FolderOptions(tmp_path, ("ffv1",)), frames=moved)
    assert video_frames(tmp_path / "depth.mkv")[0][0] == pytest.approx(UNEVEN_PTS[4] / 12800, abs=0.0005)


def _renumbered(frame: DepthFrame, sequence: int):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(frame.video, sequence=sequence)


def test_frames_of_another_size_keep_it_in_png_and_take_the_first_size_in_videos(tmp_path: Path) -> None:
    frames = [toy_frame(0), toy_frame(1, size_hw=(30, 40))]
    folder = run(FolderOptions(tmp_path, ("png16", "ffv1", "preview", "exr", "ply"), side_by_side=True), frames=frames)
    assert png(tmp_path, 1002).shape == (30, 40)
    assert {codes.shape for _, codes in video_frames(tmp_path / "depth.mkv")} == {SIZE_HW}
    assert "the picture changes to 40x30 at frame 1; videos keep the first size" in folder.warnings


def test_a_shot_longer_than_a_segment_is_still_one_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dptstream.sinks.spans.SEGMENT_FRAMES", 3)
    run(FolderOptions(tmp_path, ("png16", "ffv1", "preview")))
    assert len(mappings(tmp_path)) == 2
    assert len(video_frames(tmp_path / "depth.mkv")) == 12
    with av.open(str(tmp_path / "preview.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([pts / 12800 for pts in UNEVEN_PTS])


@pytest.mark.parametrize(
    ("text", "policy"), [("shot", "shot"), ("clip", "clip"), ("frame", "frame"), ("0.5,9", (0.5, 9))]
)
def test_ranges_are_read_from_text(text: str, policy: object) -> None:
    assert parse_range(text) == policy


@pytest.mark.parametrize("text", ["", "shots", "1", "1,2,3", "3,1", "1,1", "a,b", "0,inf"])
def test_text_that_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        parse_range(text)


def test_codes_never_reach_0_for_a_value() -> None:
    values = np.array([[-1e30, 0.0, 1e30]], np.float32)
    assert Codes.spanning(0.0, 1.0, invert=False).encode(values).min() == 1


def test_nearness_is_1_at_the_near_end_and_0_at_the_far_end_for_both_polarities() -> None:
    values = np.array([2.0, 4.0, 8.0, np.nan], np.float32)
    np.testing.assert_allclose(nearness(values, 2, 8, larger_is_nearer=True), [0, 1 / 3, 1, 0], atol=1e-6)
    np.testing.assert_allclose(nearness(values, 2, 8, larger_is_nearer=False), [1, 1 / 3, 0, 0], atol=1e-6)


def test_the_display_range_is_not_moved_by_a_few_outliers() -> None:
    values = np.concatenate([np.linspace(1, 2, 1000, dtype=np.float32), np.full(5, 1e6, np.float32)])
    low, high = display_range([values])
    assert 1 < low < 1.05
    assert 1.95 < high < 2


def test_the_manifest_stays_json_when_ranges_are_missing(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("exr",)), frames=[toy_frame(0, depth=np.full((14, 21), np.inf, np.float32))])
    frame = json.loads((tmp_path / "manifest.json").read_text())["frames"][0]
    assert frame["range"] is None


@pytest.mark.parametrize(("kind", "policy"), [(DepthKind.METRIC, "shot"), (DepthKind.RELATIVE_INVERSE, (1.0, 9.0))])
def test_where_no_range_is_waited_for_files_come_before_the_shot_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: DepthKind, policy: RangePolicy
) -> None:
    monkeypatch.setattr("dptstream.sinks.deferred.SEGMENT_FRAMES", 2)
    folder = DepthFolder(FolderOptions(tmp_path, ("png16",), range=policy))
    folder.open(toy_feed(kind))
    for sequence in range(8):
        folder.write(toy_frame(sequence, kind, cuts=()))
    wait_until((tmp_path / "toy.1001.png").exists)
    folder.close(complete=False)
