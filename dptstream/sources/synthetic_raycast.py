"""Rays, balls, boxes and where they meet, in numpy. Knows no film.

World axes are OpenCV's (x right, y down, z forward), in metres. A ray's direction is 1 along its camera's optical
axis, so the length along a ray *is* the depth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_NEAREST_M = 0.05
_FACE_SHADES = np.array([0.8, 0.65, 1.0], np.float32)  # of flat faces, by the axis they look along
_LIGHT = (-0.43, -0.72, -0.54)  # towards the light, unit length


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """The rays of one camera."""

    origin: Doubles
    """(3,) in the world."""
    x: Floats
    """(H, W) x of the directions in the world; so are y and z."""
    y: Floats
    z: Floats

    @classmethod
    def through(cls, world_from_camera: Doubles, x: Floats, y: Floats) -> "Rays":
        """Make the rays through the camera's points (x, y, 1); x and y may be a row and a column to be crossed."""
        turn = world_from_camera[:3, :3].astype(np.float32)
        directions = [row[0] * x + (row[1] * y + row[2]) for row in turn]
        return cls(world_from_camera[:3, 3], *directions)


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What rays meet first."""

    depth: Floats
    """(H, W) metres."""
    surface: NDArray[np.int8]
    """(H, W) 0 for the room, else 1 + the thing's index."""
    u: Floats
    """(H, W) place on the surface's texture, metres; so is v."""
    v: Floats
    shade: Floats
    """(H, W) brightness, about 0.4 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where a thing stands, turned about the vertical axis alone."""

    position: Doubles
    """(3,) of its centre, metres."""
    yaw_rad: float
    """Turn about the y axis."""

    @property
    def world_from_thing(self) -> Doubles:
        """(4, 4)."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        matrix = np.eye(4)
        matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = c, s, -s, c
        matrix[:3, 3] = self.position
        return matrix

    def turn_to_thing(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Turn the horizontal part of world directions into the thing's axes."""
        c, s = np.float32(math.cos(self.yaw_rad)), np.float32(math.sin(self.yaw_rad))
        return c * x - s * z, s * x + c * z


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A ball or an upright box, at rest or swaying and spinning."""

    shape: Literal["ball", "box"]
    half_size: Doubles
    """(3,) half extents, metres; of a ball the radius, three times."""
    home: Pose
    """Where it rests, or sways about."""
    sway: Doubles
    """(3,) amplitude, metres; zero for a thing at rest."""
    sway_hz: float
    """Oscillations per second."""
    spin_rad: float
    """Turn per second; zero for a thing at rest."""
    tint: Doubles
    """(3,) factors of its colours."""

    @property
    def moves(self) -> bool:
        """Whether it is ever elsewhere, or turned."""
        return self.spin_rad != 0 or bool(self.sway.any())

    def pose_at(self, seconds: float) -> Pose:
        """Return its pose ``seconds`` into the shot."""
        swing = math.sin(2 * math.pi * self.sway_hz * seconds)
        return Pose(self.home.position + self.sway * swing, self.home.yaw_rad + self.spin_rad * seconds)


def cast(rays: Rays, room: tuple[Doubles, Doubles], things: Sequence[Thing], seconds: float) -> Hits:
    """Find what each ray meets first, in the room (its low and high corner) as it stands at ``seconds``."""
    hits = _meet_room(rays, room)
    for index, thing in enumerate(things):
        meet = _meet_ball if thing.shape == "ball" else _meet_box
        meet(rays, thing, thing.pose_at(seconds), hits, np.int8(index + 1))
    return hits


def _meet_room(rays: Rays, room: tuple[Doubles, Doubles]) -> Hits:
    directions = (rays.x, rays.y, rays.z)
    reaches = []
    for axis, direction in enumerate(directions):
        low, high = (np.float32(corner[axis] - rays.origin[axis]) for corner in room)
        # From within, the wall ahead is the farther one along each axis; parallel rays never get there.
        with np.errstate(divide="ignore"):
            reaches.append(np.maximum(low / direction, high / direction))
    depth = np.minimum(np.minimum(reaches[0], reaches[1]), reaches[2])
    is_x, is_y = reaches[0] == depth, reaches[1] == depth
    x, y, z = (
        np.float32(origin) + depth * direction for origin, direction in zip(rays.origin, directions, strict=True)
    )
    shade = np.where(is_x, _FACE_SHADES[0], np.where(is_y, _FACE_SHADES[1], _FACE_SHADES[2]))
    return Hits(depth, np.zeros(depth.shape, np.int8), np.where(is_x, z, x), np.where(is_y, z, y), shade)


def _meet_ball(rays: Rays, thing: Thing, pose: Pose, hits: Hits, surface: np.int8) -> None:
    radius = thing.half_size[0]
    offset = rays.origin - pose.position
    x, y, z = offset.astype(np.float32)
    a = rays.x * rays.x + rays.y * rays.y + rays.z * rays.z
    b = x * rays.x + y * rays.y + z * rays.z
    discriminant = b * b - a * np.float32(offset @ offset - radius * radius)
    depth = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    met = (discriminant > 0) & (depth > _NEAREST_M) & (depth < hits.depth)
    if not met.any():
        return
    depth = depth[met]
    normal_x, normal_y, normal_z = (
        (start + depth * direction[met]) / np.float32(radius)
        for start, direction in zip((x, y, z), (rays.x, rays.y, rays.z), strict=True)
    )
    shade = 0.45 + 0.55 * np.maximum(normal_x * _LIGHT[0] + normal_y * _LIGHT[1] + normal_z * _LIGHT[2], 0)
    local_x, local_z = pose.turn_to_thing(normal_x, normal_z)
    # Longitude and latitude. The second half mirrors the first, so that no seam shows.
    around = np.abs(np.arctan2(local_x, local_z)) * np.float32(radius)
    along = np.arcsin(np.clip(normal_y, -1, 1)) * np.float32(radius)
    _put(hits, met, surface, depth, around, along, shade)


def _meet_box(rays: Rays, thing: Thing, pose: Pose, hits: Hits, surface: np.int8) -> None:
    dx, dz = pose.turn_to_thing(rays.x, rays.z)
    offset = rays.origin - pose.position
    start = offset.astype(np.float32)
    ox, oz = pose.turn_to_thing(start[0:1], start[2:3])
    origins, directions = (ox, start[1:2], oz), (dx, rays.y, dz)
    enters, leaves = [], []
    for origin, direction, half in zip(origins, directions, thing.half_size.astype(np.float32), strict=True):
        with np.errstate(divide="ignore"):
            one, other = (-half - origin) / direction, (half - origin) / direction
        enters.append(np.minimum(one, other))
        leaves.append(np.maximum(one, other))
    depth = np.maximum(np.maximum(enters[0], enters[1]), enters[2])
    leave = np.minimum(np.minimum(leaves[0], leaves[1]), leaves[2])
    met = (depth < leave) & (depth > _NEAREST_M) & (depth < hits.depth)
    if not met.any():
        return
    depth = depth[met]
    x, y, z = (origin + depth * direction[met] for origin, direction in zip(origins, directions, strict=True))
    is_x, is_y = enters[0][met] == depth, enters[1][met] == depth
    shade = np.where(is_x, _FACE_SHADES[0], np.where(is_y, _FACE_SHADES[1], _FACE_SHADES[2]))
    _put(hits, met, surface, depth, np.where(is_x, z, x), np.where(is_y, z, y), shade)


def _put(
    hits: Hits, met: NDArray[np.bool_], surface: np.int8, depth: Floats, u: Floats, v: Floats, shade: Floats
) -> None:
    hits.depth[met] = depth
    hits.surface[met] = surface
    # Each surface wears another part of the texture.
    hits.u[met] = u + np.float32(1.37) * surface
    hits.v[met] = v + np.float32(0.71) * surface
    hits.shade[met] = shade
