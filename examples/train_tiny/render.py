"""Render batches of scenes: pictures, exact inverse depth, and exact flow to the second view.

A ray's direction has length 1 along the camera's z axis, so its t *is* the depth.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import shading, shapes
from .scene import Camera, Scenes, Solids

HIT_FUNCTIONS = (shapes.hit_box, shapes.hit_ellipsoid, shapes.hit_cylinder, shapes.hit_foliage)
_MARCH_STEPS = 44
_MARCH_START, _MARCH_GROWTH = 0.4, 1.14
_REFINEMENTS = 12


@dataclass(frozen=True, slots=True)
class View:
    """What one camera sees."""

    rgb: Tensor
    """(B, 3, H, W) in 0..1, gamma-coded."""
    depth: Tensor
    """(B, H, W) metres along the optical axis; infinite for the sky."""
    index: Tensor
    """(B, H, W) which solid; P for the ground, P + 1 for the sky."""


Rays = tuple[Tensor, Tensor]
"""Origins and directions, (3, B, N) each."""
Met = tuple[Tensor, Tensor]
"""t (B, N), infinite where nothing was met, and the number of the solid as a float."""


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function compiled, or as it is where TRAIN_TINY_EAGER is set."""
    if os.environ.get("TRAIN_TINY_EAGER"):
        return function
    return torch.compile(function, dynamic=False)


def pixel_rays(camera: Camera, height: int, width: int) -> Rays:
    """Return origins and directions, (3, B, H*W) each."""
    device = camera.focal.device
    v, u = torch.meshgrid(
        torch.arange(height, device=device) + 0.5 - 0.5 * height,
        torch.arange(width, device=device) + 0.5 - 0.5 * width,
        indexing="ij",
    )
    focal_px = (camera.focal * width)[:, None]
    x, y = u.reshape(1, -1) / focal_px, v.reshape(1, -1) / focal_px
    turn = camera.world_from_camera
    direction = torch.stack(
        [turn[:, row, 0, None] * x + turn[:, row, 1, None] * y + turn[:, row, 2, None] for row in range(3)]
    )
    origin = camera.position.T[:, :, None].expand_as(direction)
    return origin, direction


def project(points: Tensor, camera: Camera, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixel x, pixel y (pixel centres at .5) and depth of world points (3, B, N)."""
    shifted = points - camera.position.T[:, :, None]
    turn = camera.world_from_camera  # its transpose carries the world into the camera
    x, y, z = (
        turn[:, 0, axis, None] * shifted[0] + turn[:, 1, axis, None] * shifted[1] + turn[:, 2, axis, None] * shifted[2]
        for axis in range(3)
    )
    focal_px = (camera.focal * width)[:, None]
    depth = torch.where(z.abs() < 1e-6, 1e-6, z)
    return x / depth * focal_px + 0.5 * width, y / depth * focal_px + 0.5 * height, z


class Renderer:
    """Renders scenes at one size; keeps its compiled functions between calls."""

    def __init__(self, height: int, width: int) -> None:
        self.height = height
        self.width = width
        self._nearer = [compiled(_nearer_with(hit)) for hit in HIT_FUNCTIONS]
        self._darken = compiled(shading.darken)
        self._shade = compiled(shading.shade)
        self._sky = compiled(shading.sky_color)
        self._above_hills = compiled(shapes.above_hills)

    def render(self, scenes: Scenes, which: int) -> View:
        """Return view 0 or 1 of each scene."""
        camera = scenes.cameras[which]
        solids = _moved(scenes.solids) if which else scenes.solids
        rays = pixel_rays(camera, self.height, self.width)
        depth, index = self._trace(scenes, solids, rays)
        rgb = self._colors(scenes, solids, camera, rays, (depth, index))
        shape = (depth.shape[0], self.height, self.width)
        return View(
            rgb.permute(1, 0, 2).reshape(shape[0], 3, *shape[1:]),
            depth.reshape(shape),
            index.long().reshape(shape),
        )

    def flow(self, scenes: Scenes, first: View, second: View) -> Tensor:
        """Return (B, 2, H, W) pixels from view 0 to view 1; NaN where the point is hidden there."""
        camera_0, camera_1 = scenes.cameras
        origin, direction = pixel_rays(camera_0, self.height, self.width)
        batch = direction.shape[1]
        depth = first.depth.reshape(batch, -1)
        points = origin + direction * torch.where(torch.isfinite(depth), depth, 1e5)
        motion = torch.cat([scenes.solids.motion, torch.zeros_like(points[:, :, :2].permute(1, 2, 0))], 1)
        index = first.index.reshape(batch, -1, 1).expand(-1, -1, 3)
        points = points + motion.gather(1, index).permute(2, 0, 1)
        x, y, z = project(points, camera_1, self.height, self.width)
        column = torch.floor(x).clamp(0, self.width - 1).long()
        row = torch.floor(y).clamp(0, self.height - 1).long()
        target = row * self.width + column
        same = second.index.reshape(batch, -1).gather(1, target) == index[..., 0]
        seen = second.depth.reshape(batch, -1).gather(1, target)
        near_enough = (z / seen - 1.0).abs() < 0.1
        inside = (z > 0) & (x > 0) & (x < self.width) & (y > 0) & (y < self.height)
        sky = torch.isinf(depth)
        visible = inside & same & (near_enough | sky)
        grid = torch.arange(self.height * self.width, device=x.device)
        flow_x = x - (grid % self.width + 0.5)
        flow_y = y - (torch.div(grid, self.width, rounding_mode="floor") + 0.5)
        flow = torch.where(visible[:, None], torch.stack([flow_x, flow_y], dim=1), math.nan)
        return flow.reshape(batch, 2, self.height, self.width)

    def _trace(self, scenes: Scenes, solids: Solids, rays: Rays, *, ground: bool = True) -> Met:
        """Return t (B, N) and which solid as a float: P the ground, P + 1 nothing."""
        origin, direction = rays
        total = solids.center.shape[1]
        t = torch.full_like(direction[0], math.inf)
        index = torch.full_like(t, total + 1)
        if ground:
            t = self._ground(scenes, origin, direction)
            index = torch.where(torch.isfinite(t), float(total), index)
        state = torch.stack([t, index])
        matrix, number = solids.matrix, 0
        for count, nearer in zip(solids.counts, self._nearer, strict=True):
            for _ in range(count):
                which = torch.full((1, 1), float(number), device=t.device)
                state = nearer(
                    state,
                    which,
                    matrix[:, number].contiguous(),
                    solids.center[:, number].contiguous(),
                    origin,
                    direction,
                )
                number += 1
        return state[0], state[1]

    def _ground(self, scenes: Scenes, origin: Tensor, direction: Tensor) -> Tensor:
        plane = shapes.hit_ground(scenes.ground_height, origin, direction)
        if scenes.hills is None:
            return plane
        near = torch.full_like(plane, _MARCH_START)
        far = torch.full_like(plane, math.inf)
        before = self._above_hills(near, origin, direction, scenes.hills)
        t = near
        for _ in range(_MARCH_STEPS):
            t = t * _MARCH_GROWTH
            above = self._above_hills(t, origin, direction, scenes.hills)
            crossed = (above < 0) & (before >= 0) & torch.isinf(far)
            far = torch.where(crossed, t, far)
            near = torch.where(crossed, t / _MARCH_GROWTH, near)
            before = above
        found = torch.isfinite(far)
        high = torch.where(found, far, 1.0)
        for _ in range(_REFINEMENTS):
            middle = 0.5 * (near + high)
            below = self._above_hills(middle, origin, direction, scenes.hills) < 0
            high = torch.where(below, middle, high)
            near = torch.where(below, near, middle)
        reach = _MARCH_START * _MARCH_GROWTH**_MARCH_STEPS
        return torch.where(found, high, torch.where(plane > reach, plane, math.inf))

    def _colors(self, scenes: Scenes, solids: Solids, camera: Camera, rays: Rays, met: Met) -> Tensor:
        """Return linear colours (3, B, N) of what the rays have met."""
        light = scenes.light
        depth, index = met
        hit_depth = torch.where(torch.isfinite(depth), depth, 1.0)
        points = rays[0] + rays[1] * hit_depth
        table = shading.surface_table(scenes, solids)
        rows = index.long().clamp(max=table.shape[1] - 1)
        surface = table.gather(1, rows[..., None].expand(-1, -1, table.shape[2]))
        is_lamp = light.lamp[:, None] > 0.5
        to_light = light.sun.T[:, :, None] - torch.where(is_lamp, points, 0.0)
        start = points - rays[1] * (2e-3 * hit_depth + 1e-3)
        blocked, _ = self._trace(scenes, solids, (start, to_light), ground=False)
        hits = shading.Hits(
            points=points,
            direction=rays[1],
            depth=depth,
            surface=surface.permute(2, 0, 1).contiguous(),
            slope=shading.ground_slope(scenes, points),
            to_light=to_light,
            lit=(blocked > torch.where(is_lamp, 0.98, 1e9)).float(),
            openness=self._openness(solids, points, index),
            footprint=depth / (camera.focal * self.width)[:, None],
        )
        return self._shade(hits, self._sky(rays[1], light), light)

    def _openness(self, solids: Solids, points: Tensor, index: Tensor) -> Tensor:
        openness = torch.ones_like(index)
        matrix = solids.matrix
        for number in range(solids.center.shape[1]):
            openness = self._darken(
                openness,
                torch.full((1, 1), float(number), device=index.device),
                index,
                matrix[:, number].contiguous(),
                solids.center[:, number].contiguous(),
                solids.half[:, number].contiguous(),
                points,
            )
        return openness


def _nearer_with(hit: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def nearer(
        state: Tensor, which: Tensor, matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor
    ) -> Tensor:
        t = hit(matrix, center, origin, direction)
        closer = t < state[0]
        return torch.stack([torch.where(closer, t, state[0]), torch.where(closer, which, state[1])])

    return nearer


def _moved(solids: Solids) -> Solids:
    return Solids(
        solids.counts,
        solids.rotation,
        solids.center + solids.motion,
        solids.half,
        solids.motion,
        solids.material,
    )
