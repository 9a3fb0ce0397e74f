"""The generator's depth and flow are exact."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from examples.train_tiny.draw import NO_GROUND, draw_batch
from examples.train_tiny.places import TRAINING, UNFAMILIAR
from examples.train_tiny.pool import batch_names, read_batch, render_batch, write_batch
from examples.train_tiny.render import Renderer, pixel_rays
from examples.train_tiny.scene import Camera, Light, Scenes, Solids
from examples.train_tiny.shapes import hill_height
from examples.train_tiny.textures import MATERIAL_WIDTH

CPU = torch.device("cpu")
SIZE_HW = (24, 40)
FOCAL = 0.8


def scene_with(
    counts: tuple[int, int, int, int],
    center: tuple[float, float, float],
    half: tuple[float, float, float],
    *,
    ground: float = NO_GROUND,
) -> Scenes:
    """One solid before a camera at the origin that looks along y."""
    turn = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]])
    camera = Camera(torch.zeros(1, 3), turn, torch.tensor([FOCAL]))
    solids = Solids(
        counts,
        torch.eye(3)[None, None],
        torch.tensor([[center]]),
        torch.tensor([[half]]),
        torch.zeros(1, 1, 3),
        torch.full((1, 1, MATERIAL_WIDTH), 0.5),
    )
    light = Light(
        torch.tensor([[0.0, 0.0, 1.0]]),
        torch.ones(1, 3),
        torch.zeros(1),
        torch.ones(1, 3),
        torch.ones(1, 3),
        torch.ones(1, 3),
        torch.zeros(1),
        torch.zeros(1, 2),
    )
    return Scenes(solids, torch.tensor([ground]), torch.full((1, MATERIAL_WIDTH), 0.5), None, light, (camera, camera))


def slopes() -> tuple[torch.Tensor, torch.Tensor]:
    """How far right and up each pixel's ray goes for each metre forward."""
    height, width = SIZE_HW
    right = (torch.arange(width) + 0.5 - width / 2) / (FOCAL * width)
    up = -(torch.arange(height) + 0.5 - height / 2) / (FOCAL * width)
    return right[None, :].expand(height, width), up[:, None].expand(height, width)


def test_a_sphere_has_the_depth_of_the_quadratic_formula():
    radius, away = 1.0, 3.0
    depth = Renderer(*SIZE_HW).render(scene_with((0, 1, 0, 0), (0.0, away, 0.0), (radius,) * 3), 0).depth[0]
    right, up = slopes()
    a = 1.0 + right**2 + up**2
    discriminant = away**2 - a * (away**2 - radius**2)
    expected = torch.where(discriminant > 0, (away - torch.sqrt(discriminant.clamp(min=0))) / a, math.inf)
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-4)


def test_a_box_shows_a_front_of_constant_depth():
    depth = Renderer(*SIZE_HW).render(scene_with((1, 0, 0, 0), (0.0, 5.0, 0.0), (1.0, 0.5, 0.6)), 0).depth[0]
    right, up = slopes()
    inside = (right.abs() * 4.5 < 1.0) & (up.abs() * 4.5 < 0.6)
    assert inside.any()
    torch.testing.assert_close(depth[inside], torch.full_like(depth[inside], 4.5))
    assert torch.isinf(depth[~inside]).all()


def test_the_ground_is_a_plane():
    depth = Renderer(*SIZE_HW).render(scene_with((0, 1, 0, 0), (0.0, -50.0, 0.0), (1.0,) * 3, ground=-1.5), 0).depth[0]
    _, up = slopes()
    expected = torch.where(up < 0, 1.5 / -up, math.inf)
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-4)


def test_a_cylinder_hides_what_its_round_side_covers():
    depth = Renderer(*SIZE_HW).render(scene_with((0, 0, 1, 0), (0.0, 4.0, 0.0), (0.5, 0.5, 9.0)), 0).depth[0]
    right, _ = slopes()
    a = 1.0 + right**2
    discriminant = 16.0 - a * (16.0 - 0.25)
    expected = torch.where(discriminant > 0, (4.0 - torch.sqrt(discriminant.clamp(min=0))) / a, math.inf)
    torch.testing.assert_close(depth, expected, rtol=1e-4, atol=1e-4)


def test_hilly_ground_is_met_where_the_ray_sinks_below_it():
    flat = scene_with((0, 1, 0, 0), (0.0, -50.0, 0.0), (1.0,) * 3, ground=-1.5)
    raised = tuple(replace(camera, position=torch.tensor([[0.0, 0.0, 2.0]])) for camera in flat.cameras)
    scenes = replace(flat, hills=torch.tensor([[1.0, 9.0, 3.0]]), ground_height=torch.zeros(1), cameras=raised)
    depth = Renderer(*SIZE_HW).render(scenes, 0).depth.reshape(1, -1)
    origin, direction = pixel_rays(scenes.cameras[0], *SIZE_HW)
    near = depth < 50.0
    assert near.float().mean() > 0.2
    points = origin + direction * torch.where(near, depth, 1.0)
    above = points[2] - hill_height(points[0], points[1], scenes.hills)
    assert above[near].abs().max() < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_flow_carries_a_point_to_where_the_second_view_shows_it(seed):
    renderer = Renderer(48, 80)
    with torch.no_grad():
        scenes = draw_batch(seed, 2, TRAINING, CPU)
        first, second = renderer.render(scenes, 0), renderer.render(scenes, 1)
        flow = renderer.flow(scenes, first, second)
    for number in range(2):
        rows, columns = torch.nonzero(torch.isfinite(flow[number, 0]), as_tuple=True)
        assert len(rows) > 100
        moved_x = columns + 0.5 + flow[number, 0, rows, columns]
        moved_y = rows + 0.5 + flow[number, 1, rows, columns]
        target = (moved_y.floor().long(), moved_x.floor().long())
        same_solid = first.index[number, rows, columns] == second.index[number][target]
        assert same_solid.all()
        expected = _depth_after_motion(scenes, first, number, rows, columns)
        seen = second.depth[number][target]
        near = torch.isfinite(seen)
        off = (expected[near] / seen[near] - 1.0).abs()
        assert off.median() < 0.02  # what remains is the slope within one pixel of the target


def _depth_after_motion(scenes, first, number, rows, columns):
    origin, direction = pixel_rays(scenes.cameras[0], 48, 80)
    flat = rows * 80 + columns
    depth = torch.where(torch.isfinite(first.depth[number, rows, columns]), first.depth[number, rows, columns], 1e5)
    points = origin[:, number, flat] + direction[:, number, flat] * depth
    still = torch.zeros(2, 3)
    motion = torch.cat([scenes.solids.motion[number], still])[first.index[number, rows, columns]]
    relative = points.T + motion - scenes.cameras[1].position[number]
    return relative @ scenes.cameras[1].world_from_camera[number][:, 2]


@pytest.mark.parametrize("setting", [TRAINING, UNFAMILIAR])
def test_a_seed_gives_the_same_scene_again_and_another_seed_another(setting):
    renderer = Renderer(*SIZE_HW)
    once, again, other = (render_batch(renderer, seed, 2, setting, CPU) for seed in (7, 7, 8))
    assert np.array_equal(once.rgb, again.rgb)
    assert np.array_equal(once.inverse, again.inverse)
    assert not np.array_equal(once.rgb, other.rgb)


def test_pictures_are_neither_black_nor_empty():
    renderer = Renderer(*SIZE_HW)
    for seed in range(12):
        batch = render_batch(renderer, seed, 2, TRAINING, CPU)
        assert np.isfinite(batch.inverse).all()
        assert (batch.inverse >= 0).all()
        assert batch.rgb.astype(float).std() > 3


def test_a_pool_returns_what_was_written(tmp_path):
    batch = render_batch(Renderer(*SIZE_HW), 3, 2, TRAINING, CPU)
    write_batch(tmp_path, "0003", batch)
    assert batch_names(tmp_path) == ["0003"]
    stored = read_batch(tmp_path, "0003")
    assert np.array_equal(stored.rgb, batch.rgb)
    assert np.array_equal(stored.inverse, batch.inverse)
    assert np.array_equal(stored.flow, batch.flow, equal_nan=True)


def test_a_half_written_batch_is_not_listed(tmp_path):
    batch = render_batch(Renderer(*SIZE_HW), 3, 2, TRAINING, CPU)
    write_batch(tmp_path, "0003", batch)
    (tmp_path / "0003.flow.npy").unlink()
    assert batch_names(tmp_path) == []
