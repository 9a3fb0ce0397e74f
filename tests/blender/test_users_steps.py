"""What users do in real Blender while live: edit, delete, convert, undo, save, link, change scenes."""

from pathlib import Path

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from dptstream.wire import DepthPlane

from .environments import Blender
from .publishing import feed, slope

TOLERANCE = 1e-4


def test_an_edited_live_mesh_is_made_anew(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.delete_a_vertex")
        assert fresh.call("inside_live.pump", frames=2) >= 2
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE


def test_undoing_the_connection_ends_it(fresh: Blender) -> None:
    fresh.call("inside_live.add_empty")
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert fresh.call("inside_live.undo") == ["Empty"]
        assert "Connect makes a new one" in fresh.call("inside_live.pump_until_problem", text="Connect")
        assert not fresh.call("inside_live.is_connected")
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert fresh.call("inside_live.pump") == 1


def test_a_deleted_object_ends_the_connection(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.delete_live_object")
        assert "deleted" in fresh.call("inside_live.pump_until_problem", text="deleted")
    assert fresh.call("inside_live.open_things")["threads"] == []


@pytest.mark.parametrize("mode", ["EDIT", "SCULPT", "WEIGHT_PAINT"])
@pytest.mark.parametrize("through_duplicate", [False, True])
def test_frames_wait_while_the_live_mesh_is_edited(
    fresh: Blender, tmp_path: Path, mode: str, through_duplicate: bool
) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.enter_mode", mode=mode, through_duplicate=through_duplicate)
        assert "paused while you edit" in fresh.call("inside_live.pump_until_problem", text="paused")
        assert fresh.call("inside_live.pump", seconds=0.3) == 0
        fresh.call("inside_live.save", path=str(tmp_path / "edited.blend"))
        assert fresh.call("inside_live.vertices") == 20 * 32, "what is edited stays where it is"
        fresh.call("inside_live.leave_mode")
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert fresh.call("inside_live.problem") == ""
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE


def test_a_live_object_made_an_ordinary_mesh_is_left_to_its_user(fresh: Blender, tmp_path: Path) -> None:
    values = np.full((20, 32), 3.0, np.float32)
    values[:, 16:] = 4.0
    values[0] = np.nan
    with feed(lambda n: slope(n, depth=DepthPlane(values, DepthKind.METRIC, 2.0, 4.0))) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert fresh.call("inside_live.convert") == 19 * 32
        assert "ordinary mesh" in fresh.call("inside_live.pump_until_problem", text="ordinary mesh")
        assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
        assert fresh.call("inside_live.pump", frames=2) >= 2
        assert fresh.call("inside_live.vertices_of", name="Live Depth") == 19 * 32
        fresh.call("inside_live.save", path=str(tmp_path / "kept.blend"))
        fresh.call("inside_live.load", path=str(tmp_path / "kept.blend"))
        assert fresh.call("inside_live.vertices_of", name="Live Depth") == 19 * 32, "and it is saved"


def test_what_is_linked_from_another_file_is_never_written_to(fresh: Blender, tmp_path: Path) -> None:
    path = str(tmp_path / "other.blend")
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.save", path=path)
        fresh.call("inside.new_file")
        fresh.call("inside_live.link_scene", path=path)
        assert "linked from another file" in fresh.call("inside_live.press", button="connect")[1]
        fresh.call("inside.new_file")
        fresh.call("inside_live.copy_scene_with_its_linked_object", path=path)
        assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
        assert fresh.call("inside_live.pump", frames=2) >= 2
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE
        assert fresh.call("inside_live.save", path=str(tmp_path / "own.blend")) > 0


def test_connecting_brings_back_a_deleted_node_group(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.delete_node_group")
        assert fresh.call("inside_live.pump", frames=2) >= 2
        fresh.call("inside_live.press", button="disconnect")
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE


def test_looking_through_a_deleted_camera_makes_another(fresh: Blender, tmp_path: Path) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.delete_camera")
        assert fresh.call("inside_live.pump", frames=2) >= 2
        fresh.call("inside_live.save", path=str(tmp_path / "saved.blend"))
        assert fresh.call("inside_live.users_of_deleted_cameras") == 0, "nothing keeps it in the file"
        assert fresh.call("inside_live.press", button="look_through") == ["FINISHED"]
        fresh.call("inside_live.pump")
        found = fresh.call("inside_live.pixel_of", u=8.0, v=5.0, distance=3.0)
        assert found == pytest.approx([8.0 / 32 * 6, 5.0 / 20 * 4], abs=1e-3)


def test_connecting_disturbs_nobody_who_edits_something_else(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.edit_a_cube")
        assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
        assert fresh.call("inside_live.pump", frames=2) >= 2
        assert fresh.call("inside_live.edited_object") == "Cube"
        fresh.call("inside_live.leave_mode")


def test_one_can_connect_where_the_collection_is_left_out_of_the_view(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.leave_out_collection")
        assert fresh.call("inside_live.connect", endpoint=endpoint) == ["FINISHED"]
        assert fresh.call("inside_live.pump", frames=2) >= 2


def test_the_view_shows_colors_whatever_renders(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.delete_live_object")
        fresh.call("inside_live.pump_until_problem", text="deleted")
        shading = fresh.call("inside_live.shading_in_view", engine="BLENDER_WORKBENCH", button="connect")
        assert shading == ["SOLID", "VERTEX"]
        assert fresh.call("inside_live.is_connected")


def test_a_file_saved_while_live_holds_no_frame_and_goes_on_when_opened(fresh: Blender, tmp_path: Path) -> None:
    path = tmp_path / "live.blend"
    with feed(lambda sequence: slope(sequence, 200, 320)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        empty = fresh.call("inside_live.save", path=str(tmp_path / "empty.blend"))
        fresh.call("inside_live.pump")
        fresh.call("inside_live.add_materials")
        saved = fresh.call("inside_live.save", path=str(path))
        assert saved < empty + 50_000, "a frame takes two megabytes"
        assert fresh.call("inside_live.materials") == ["of the data", "of the object"]
        assert fresh.call("inside_live.vertices") == 200 * 320, "the frame stays in view"
        assert fresh.call("inside_live.mesh_name") == "Live Depth"
        assert fresh.call("inside_live.pump") == 1
        opened = fresh.call("inside_live.load", path=str(path))
        assert opened == {"found": True, "vertices": 0, "meshes": 1}
        assert fresh.call("inside_live.mesh_name") == "Live Depth"
        assert fresh.call("inside_live.materials") == ["of the data", "of the object"]
        assert not fresh.call("inside_live.is_connected"), "another file is another scene"
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        assert fresh.call("inside_live.surface_error")["error"] < TOLERANCE


def test_frames_go_on_into_their_scene_while_another_is_looked_at(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_live.other_scene")
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert fresh.call("inside_live.scene_of_live_object") == "Scene"
