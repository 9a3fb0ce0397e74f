"""The panel in real Blender: what it shows in each state, and what greyed buttons say."""

from pathlib import Path

import pytest

from dptstream.geometry import DepthKind
from dptstream.wire import DepthPlane

from .environments import Blender
from .publishing import feed, slope

LIVE, DISPLAY, MODEL, SERVER = (f"DPTSTREAM_PT_{name}" for name in ("live", "display", "steering", "server"))


def test_every_panel_draws_before_anything_was_connected(fresh: Blender) -> None:
    for name in fresh.call("inside_panel.names"):
        fresh.call("inside_panel.drawn", panel=name)
        assert fresh.call("inside_panel.tab", panel=name) == "Depth"
    assert "endpoint = tcp://127.0.0.1:5577" in fresh.call("inside_panel.drawn", panel=LIVE)
    assert "[Connect]" in fresh.call("inside_panel.drawn", panel=LIVE)
    assert fresh.call("inside_panel.drawn", panel=DISPLAY) == []
    assert any("python" in line for line in fresh.call("inside_panel.draw_preferences"))


def test_the_state_line_tells_rate_losses_size_model_and_kind(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert any(line.startswith("Waiting for ") for line in fresh.call("inside_panel.drawn", panel=LIVE))
        fresh.call("inside_live.pump", frames=20)
        lines = fresh.call("inside_panel.drawn", panel=LIVE)
    assert any(line.startswith("Live · ") and " fps · " in line and " ms · " in line for line in lines), lines
    assert "32x20 · metres" in lines
    assert "tiny" in lines
    assert "[Disconnect]" in lines


def test_near_and_far_show_for_relative_depth_alone(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        metric = fresh.call("inside_panel.drawn", panel=DISPLAY)
        fresh.call("inside_live.press", button="disconnect")
    inverse = DepthPlane(slope(0).depth.codes, DepthKind.RELATIVE_INVERSE, 2.0, 4.0)
    with feed(lambda sequence: slope(sequence, depth=inverse)) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        relative = fresh.call("inside_panel.drawn", panel=DISPLAY)
    assert set(relative) - set(metric) == {"Near = 1.0", "Far = 4.0"}
    assert {
        "As Points = False",
        "Scale = 1.0",
        "Stride = 1",
        "Video Colors = True",
        "Material = Depth Stream colours",
    } <= set(metric)


def test_errors_are_rows_that_fit_the_panel(fresh: Blender) -> None:
    fresh.call("inside_live.connect", endpoint="nonsense")
    lines = fresh.call("inside_panel.drawn", panel=LIVE)
    assert "tcp://HOST:PORT" in " ".join(lines)
    assert max(map(len, lines)) <= 60


def test_a_node_group_of_the_users_own_gets_the_frames_and_is_told(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_live.pump")
        fresh.call("inside_panel.replace_modifier")
        assert fresh.call("inside_live.pump", frames=3) >= 3
        assert "connect to have it back" in " ".join(fresh.call("inside_panel.drawn", panel=DISPLAY))


@pytest.mark.parametrize(
    ("button", "why"),
    [
        ("disconnect", "Not connected"),
        ("look_through", "Connect first"),
        ("stop_server", "No server was started here"),
        ("copy_log", "There is no log yet"),
        ("steer", "Connect to a server first"),
    ],
)
def test_greyed_buttons_say_why(fresh: Blender, button: str, why: str) -> None:
    assert why in fresh.call("inside_live.press", button=button)[1]


def test_connect_is_greyed_with_a_reason_while_connected_or_without_an_address(fresh: Blender) -> None:
    assert "Enter the address" in fresh.call("inside_live.connect", endpoint=" ")[1]
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        assert "Connected already" in fresh.call("inside_live.connect", endpoint=endpoint)[1]


def test_start_server_is_greyed_until_it_has_all_it_needs(fresh: Blender, tmp_path: Path) -> None:
    fresh.call("inside_panel.set_python", path="")
    assert "Name the Python" in fresh.call("inside_live.press", button="start_server")[1]
    fresh.call("inside_panel.set_python", path=str(tmp_path / "no-python"))
    assert "Choose a file" in fresh.call("inside_live.press", button="start_server")[1]
    fresh.call("inside_panel.set_scene", server_input="CLIP")
    assert "Movie Clip Editor" in fresh.call("inside_live.press", button="start_server")[1]
    fresh.call("inside_panel.set_scene", server_input="FILE", server_file=str(tmp_path / "clip.mp4"))
    assert "cannot start" in fresh.call("inside_live.press", button="start_server")[1]
    assert "server_file" in " ".join(fresh.call("inside_panel.drawn", panel=SERVER))


def test_true_colors_are_offered_where_the_view_would_dull_them(fresh: Blender) -> None:
    with feed(slope) as endpoint:
        fresh.call("inside_live.connect", endpoint=endpoint)
        fresh.call("inside_panel.view_transform", name="AgX")
        assert "[Show True Colors]" in fresh.call("inside_panel.drawn", panel=LIVE)
        assert fresh.call("inside_live.press", button="true_colors") == ["FINISHED"]
        assert fresh.call("inside_panel.view_transform") == "Standard"
        assert "[Show True Colors]" not in fresh.call("inside_panel.drawn", panel=LIVE)
