"""One shot in a furnished room, filmed by hand: pictures with exact depth, flow and occlusion."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry import Intrinsics
from .synthetic_raycast import Doubles, Floats, Hits, Pose, Rays, Thing, cast
from .synthetic_texture import TEXTURE_SIDE, make_texture
from .synthetic_truth import SyntheticTruth

_ROOM = (np.array([-4.0, -1.6, -3.0]), np.array([4.0, 1.4, 10.0]))
_TEXELS_PER_METRE = 90
_SAME_SURFACE = 1e-3
"""Relative difference of depth up to which two hits are one point; far above what float32 rays lose."""
_WALKS_M = (0.0, 0.45, 0.9)  # amplitude of the walk to and fro: resting, strolling, striding
_WALK_HZ = 0.15


class RoomScene:
    """A room with 7 balls and 5 boxes, of which 3 balls and a box move."""

    def __init__(self, camera: Intrinsics, fps: float, random: np.random.Generator) -> None:
        self._camera = camera
        self._fps = fps
        self._operator = _Operator(random)
        self._things = [_draw_ball(random, moves=index < 3) for index in range(7)]
        self._things += [_draw_box(random, moves=index < 1) for index in range(5)]
        tints = [random.uniform(0.8, 1.1, 3), *(thing.tint for thing in self._things)]
        self._tints = np.array(tints, np.float32)
        self._moving = np.array([False, *(thing.moves for thing in self._things)])
        self._texture = make_texture(random)
        self._ray_x = ((np.arange(camera.width, dtype=np.float32) + 0.5 - camera.cx) / camera.fx).astype(np.float32)
        self._ray_y = ((np.arange(camera.height, dtype=np.float32) + 0.5 - camera.cy) / camera.fy).astype(np.float32)

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Return the frame, (H, W, 3) RGB."""
        hits = self._look(self._operator.world_from_camera(number / self._fps), number / self._fps)
        columns, rows = (
            np.remainder(place * np.float32(_TEXELS_PER_METRE), np.float32(TEXTURE_SIDE)) for place in (hits.u, hits.v)
        )
        texels = cv2.remap(self._texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        factors = np.take(self._tints, hits.surface, axis=0)
        factors *= hits.shade[..., None]
        return np.asarray(cv2.multiply(texels, factors, dtype=cv2.CV_8U), np.uint8)

    def truth(self, number: int, previous: int | None) -> SyntheticTruth:
        """Return what is true of the frame, with motion since the frame ``previous`` of the same shot."""
        now = number / self._fps
        pose = self._operator.world_from_camera(now)
        hits = self._look(pose, now)
        moving = self._moving[hits.surface]
        if previous is None:
            flow = np.zeros((*hits.depth.shape, 2), np.float32)
            return SyntheticTruth(hits.depth, flow, np.ones_like(moving), hits.depth, moving, pose, scene_cut=True)
        before = previous / self._fps
        pose_before = self._operator.world_from_camera(before)
        x, y, depth_before = self._carry_back(hits, pose, now, pose_before, before)
        seen = cast(Rays.through(pose_before, x, y), _ROOM, self._things, before).depth
        camera = self._camera
        columns, rows = (
            x * np.float32(camera.fx) + np.float32(camera.cx),
            y * np.float32(camera.fy) + np.float32(camera.cy),
        )
        outside = (columns < 0) | (rows < 0) | (columns > camera.width) | (rows > camera.height)
        hidden = (depth_before <= 0) | (seen < depth_before * (1 - _SAME_SURFACE))
        flow = np.stack(
            [columns - (np.arange(camera.width) + 0.5), rows - (np.arange(camera.height) + 0.5)[:, None]], axis=-1
        ).astype(np.float32)
        return SyntheticTruth(hits.depth, flow, outside | hidden, depth_before, moving, pose, scene_cut=False)

    def _look(self, world_from_camera: Doubles, seconds: float) -> Hits:
        rays = Rays.through(world_from_camera, self._ray_x[None, :], self._ray_y[:, None])
        return cast(rays, _ROOM, self._things, seconds)

    def _carry_back(
        self, hits: Hits, pose: Doubles, now: float, pose_before: Doubles, before: float
    ) -> tuple[Floats, Floats, Floats]:
        """Return where the points hit ``now`` stood in the camera ``before``: x and y at depth 1, and depth."""
        points = np.stack([self._ray_x[None, :] * hits.depth, self._ray_y[:, None] * hits.depth, hits.depth], axis=-1)
        x, y, z = (np.empty_like(hits.depth) for _ in range(3))
        camera_before = np.linalg.inv(pose_before)
        for surface in np.unique(hits.surface):
            motion = np.eye(4)
            if surface and self._moving[surface]:
                thing = self._things[surface - 1]
                motion = thing.pose_at(before).world_from_thing @ np.linalg.inv(thing.pose_at(now).world_from_thing)
            carry = camera_before @ motion @ pose
            where = hits.surface == surface
            there = points[where].astype(np.float64) @ carry[:3, :3].T + carry[:3, 3]
            x[where], y[where], z[where] = there[:, 0] / there[:, 2], there[:, 1] / there[:, 2], there[:, 2]
        return x, y, z


class _Operator:
    """Carries the camera: a slow walk to and fro, breath and a slight shake."""

    def __init__(self, random: np.random.Generator) -> None:
        self._walk_m = float(random.choice(_WALKS_M))
        self._frequencies_hz = np.concatenate(
            [random.uniform(0.1, 0.5, (6, 1)), random.uniform(1.5, 4.0, (6, 2))], axis=1
        )
        self._phases = random.uniform(0, 2 * math.pi, (6, 3))
        slow, shake = np.array([0.12, 0.05, 0.05, 0.03, 0.05, 0.015]), np.array([0.004] * 3 + [0.0015] * 3)
        self._amplitudes = np.stack([slow, shake, shake], axis=1)  # metres along x y z, radians about x y z

    def world_from_camera(self, seconds: float) -> Doubles:
        """Return the pose (4, 4) at a moment."""
        swings = np.sin(2 * math.pi * self._frequencies_hz * seconds + self._phases)
        along_and_about = (self._amplitudes * swings).sum(axis=1)
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(along_and_about[3:])[0]
        pose[:3, 3] = along_and_about[:3]
        pose[2, 3] -= self._walk_m * math.cos(2 * math.pi * _WALK_HZ * seconds)
        return pose


def _draw_ball(random: np.random.Generator, *, moves: bool) -> Thing:
    radius = random.uniform(0.2, 0.6)
    home = Pose(
        np.array([random.uniform(-2.2, 2.2), random.uniform(-0.9, 0.8), random.uniform(3.0, 7.5)]),
        random.uniform(0, 2 * math.pi),
    )
    sway = random.uniform(0.3, 0.9, 3) * (1, 0.4, 0.6) * moves
    spin = random.uniform(0.3, 1.0) * moves
    return Thing("ball", np.full(3, radius), home, sway, random.uniform(0.15, 0.4), spin, random.uniform(0.35, 1.25, 3))


def _draw_box(random: np.random.Generator, *, moves: bool) -> Thing:
    half = random.uniform(0.2, 0.6, 3)
    place = np.array([random.uniform(-2.8, 2.8), _ROOM[1][1] - half[1], random.uniform(3.0, 8.5)])
    home = Pose(place, random.uniform(0, math.pi / 2))
    sway = random.uniform(0.3, 0.8, 3) * (1, 0, 0.5) * moves
    return Thing("box", half, home, sway, random.uniform(0.1, 0.3), 0.4 * moves, random.uniform(0.35, 1.25, 3))
