"""Depth as plain geometry: one frame as a mesh, ranges as files of other programs."""

import struct
from pathlib import Path

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from tests.media import LOSSLESS, numbered_pictures, write_video
from tests.sinks.clips import COUNT, SIZE_HW

from .environments import Blender
from .folders import expected, write_folder
from .publishing import feed, slope

TOLERANCE = 1e-4
HEIGHT, WIDTH = SIZE_HW
FRAMES = (1, 4, COUNT)


@pytest.fixture
def sequence(fresh: Blender, tmp_path: Path) -> Path:
    """A metric sequence with colours, imported."""
    film = write_video(tmp_path / "toy.mkv", numbered_pictures(COUNT, WIDTH, HEIGHT), LOSSLESS)
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC, location=str(film))
    assert fresh.call("inside_sequence.import_folder", path=str(folder)) == ["FINISHED"]
    return folder


def test_a_baked_frame_is_a_plain_mesh_that_undo_takes_away(fresh: Blender, sequence: Path) -> None:
    before = fresh.call("inside_sequence.names")
    shown = np.array(fresh.call("inside_sequence.positions", frame=4))
    colors = fresh.call("inside_sequence.colors", frame=4)
    counts = fresh.call("inside_sequence.counts")
    baked = fresh.call("inside_sequence.bake")
    assert baked == {"result": ["FINISHED"], "name": "toy 4", "modifiers": 0}
    # Another frame: the mesh no longer follows the files.
    assert np.array_equal(fresh.call("inside_sequence.positions", frame=9, name="toy 4"), shown)
    assert np.abs(shown - expected(sequence, 3)).max() < TOLERANCE
    assert fresh.call("inside_sequence.colors", frame=9, name="toy 4") == colors
    assert fresh.call("inside_sequence.counts", name="toy 4")["faces"] == counts["faces"] > 0
    assert fresh.call("inside_sequence.counts", name="toy 4")["materials"] == ["Depth Stream colours"]
    fresh.call("inside_sequence.undo")
    assert fresh.call("inside_sequence.names") == before


def test_a_sequence_linked_from_another_file_is_baked_into_this_one(
    fresh: Blender, sequence: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "other.blend")
    fresh.call("inside_sequence.save", path=path)
    fresh.call("inside.new_file")
    fresh.call("inside_sequence.link_collection", path=path, name="toy")
    fresh.call("inside_sequence.activate", name="toy")
    assert fresh.call("inside_sequence.bake")["result"] == ["FINISHED"]
    found = np.array(fresh.call("inside_sequence.positions", frame=1, name="toy 1"))
    assert np.abs(found - expected(sequence, 0)).max() < TOLERANCE
    assert fresh.call("inside_sequence.import_folder", path=str(sequence)) == ["FINISHED"], "beside what is linked"
    refusals = fresh.call("inside_sequence.link_scene", path=path)
    assert len(refusals) == 3
    assert all("linked from another file" in refusal for refusal in refusals)


def test_baked_points_become_vertices(fresh: Blender, sequence: Path) -> None:
    fresh.call("inside_sequence.set_inputs", As_Points=True, Edge_Cut=0.0)
    fresh.call("inside_sequence.bake")
    found = np.array(fresh.call("inside_sequence.positions", frame=1, name="toy 1"))
    assert np.abs(found - expected(sequence, 0)).max() < TOLERANCE
    assert fresh.call("inside_sequence.counts", name="toy 1")["faces"] == 0


def test_a_live_frame_is_baked_and_stays_when_the_feed_goes_on(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump", frames=2)
        fresh.call("inside_sequence.activate", name="Live Depth")
        shown = fresh.call("inside_sequence.positions", frame=1)
        baked = fresh.call("inside_sequence.bake")
        fresh.call("inside_live.pump", frames=3)
        assert baked["result"] == ["FINISHED"]
        assert fresh.call("inside_sequence.positions", frame=1, name=baked["name"]) == shown
        assert fresh.call("inside_sequence.positions", frame=1, name="Live Depth") != shown
        fresh.call("inside_sequence.activate", name="Live Depth")
        refused = fresh.call("inside_sequence.export", path="x.abc", first=1, last=2)
    assert "live depth has no range: record it first" in refused[1]


def test_without_depth_there_is_nothing_to_bake(fresh: Blender) -> None:
    result = fresh.call("inside_sequence.bake")["result"]
    assert "Select an object that shows depth, live or imported" in result[1]


@pytest.mark.parametrize("ending", ["abc", "usdc"])
def test_a_range_is_read_back_from_other_programs_files_as_it_was(
    fresh: Blender, sequence: Path, tmp_path: Path, ending: str
) -> None:
    path = str(tmp_path / f"range.{ending}")
    assert fresh.call("inside_sequence.export", path=path, first=1, last=COUNT) == ["FINISHED"]
    name = fresh.call("inside_sequence.read_back", path=path)
    for frame in FRAMES:
        shown = np.array(fresh.call("inside_sequence.positions", frame=frame, name="toy"))
        faces = fresh.call("inside_sequence.counts", name="toy")["faces"]
        found = np.array(fresh.call("inside_sequence.positions", frame=frame, name=name))
        assert np.abs(found - shown).max() < TOLERANCE
        assert np.abs(shown - expected(sequence, frame - 1)).max() < TOLERANCE
        assert fresh.call("inside_sequence.counts", name=name)["faces"] == faces
    found = np.array(fresh.call("inside_sequence.colors", frame=COUNT, name=name))[0]
    shown = np.array(fresh.call("inside_sequence.colors", frame=COUNT, name="toy"))[0]
    assert np.abs(found - shown).max() < 0.01


def test_usd_says_metres_z_up_and_the_scenes_rate(fresh: Blender, sequence: Path, tmp_path: Path) -> None:
    path = tmp_path / "range.usda"
    assert fresh.call("inside_sequence.export", path=str(path), first=2, last=5) == ["FINISHED"]
    header = path.read_text()[:800]
    assert "metersPerUnit = 1" in header
    assert 'upAxis = "Z"' in header
    assert "timeCodesPerSecond = 25" in header
    assert "startTimeCode = 2" in header
    assert "endTimeCode = 5" in header
    assert fresh.call("inside_sequence.scene")["range"] == [1, COUNT]


def test_a_point_cache_holds_each_pixel_and_plays_by_itself(fresh: Blender, sequence: Path, tmp_path: Path) -> None:
    path = tmp_path / "range.pc2"
    assert fresh.call("inside_sequence.export", path=str(path), first=1, last=COUNT) == ["FINISHED"]
    head, count, first, step, samples = struct.unpack("<12s4xiffi", path.read_bytes()[:32])
    assert (head, count, first, step, samples) == (b"POINTCACHE2\0", HEIGHT * WIDTH, 1.0, 1.0, COUNT)
    points = np.fromfile(path, "<f4", offset=32).reshape(COUNT, HEIGHT * WIDTH, 3)
    for frame in FRAMES:
        assert np.abs(points[frame - 1] - expected(sequence, frame - 1)).max() < TOLERANCE
        played = np.array(fresh.call("inside_sequence.positions", frame=frame, name="toy cache"))
        assert np.abs(played - points[frame - 1]).max() < TOLERANCE
    assert fresh.call("inside_sequence.counts", name="toy cache")["faces"] == (HEIGHT - 1) * (WIDTH - 1)


def test_a_point_cache_keeps_a_pixel_in_place_while_it_has_no_depth(fresh: Blender, tmp_path: Path) -> None:
    sequence = write_folder(tmp_path / "clip", DepthKind.METRIC)
    for number in (1001, 1003):
        (sequence / f"toy.{number}.exr").unlink()
    assert fresh.call("inside_sequence.import_folder", path=str(sequence)) == ["FINISHED"]
    path = tmp_path / "range.pc2"
    assert fresh.call("inside_sequence.export", path=str(path), first=1, last=4) == ["FINISHED"]
    points = np.fromfile(path, "<f4", offset=32).reshape(4, HEIGHT * WIDTH, 3)
    for frame, shown in ((1, 2), (2, 2), (3, 2), (4, 4)):
        assert np.abs(points[frame - 1] - expected(sequence, shown - 1)).max() < TOLERANCE


def test_a_range_that_cannot_be_written_is_refused_in_words(fresh: Blender, sequence: Path, tmp_path: Path) -> None:
    backwards = fresh.call("inside_sequence.export", path=str(tmp_path / "x.pc2"), first=5, last=2)
    assert "the range ends before it begins: 5 to 2" in backwards[1]
    unknown = fresh.call("inside_sequence.export", path=str(tmp_path / "x.fbx"), first=1, last=2)
    assert "must end in .abc" in unknown[1]
    nowhere = fresh.call("inside_sequence.export", path=str(tmp_path / "none/x.pc2"), first=1, last=2)
    assert nowhere[0] == "refused"
    assert "toy range" not in fresh.call("inside_sequence.names")["objects"]
