"""Rays against boxes, ellipsoids, cylinders, foliage, ground and hills, in whole batches.

A solid is a unit shape in its own frame: the cube |x|,|y|,|z| <= 1, the unit ball, the cylinder
x^2 + y^2 <= 1, |z| <= 1, or foliage: the unit sphere's skin with holes. ``local_from_world`` carries
points there; the ray's parameter t is the same in both frames. Every ``hit_...`` function returns t of
the nearest hit in front of the origin, infinity where there is none, and is compiled where possible.
"""

import math

import torch
from torch import Tensor

from .textures import noise_2, noise_3

NEAREST = 1e-3
"""Smallest t that counts, so that a shadow ray does not meet the surface it leaves."""


def to_local(matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor) -> list[Tensor]:
    """Return six pictures: origin x, y, z and direction x, y, z in one solid's own frame.

    Args:
        matrix: (B, 3, 3) local from world.
        center: (B, 3) of the solid, in the world.
        origin: (3, B, N) in the world.
        direction: (3, B, N) in the world.
    """
    shifted = [origin[axis] - center[:, axis, None] for axis in range(3)]
    return [
        matrix[:, row, 0, None] * vector[0] + matrix[:, row, 1, None] * vector[1] + matrix[:, row, 2, None] * vector[2]
        for vector in (shifted, direction)
        for row in range(3)
    ]


def hit_box(matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
    """Return t at a cube; from inside, t at the wall that is left through."""
    ox, oy, oz, dx, dy, dz = to_local(matrix, center, origin, direction)
    entry, leave = torch.full_like(dx, -math.inf), torch.full_like(dx, math.inf)
    for start, slope in ((ox, dx), (oy, dy), (oz, dz)):
        inverse = 1.0 / torch.where(slope.abs() < 1e-9, 1e-9, slope)
        first, second = (-1.0 - start) * inverse, (1.0 - start) * inverse
        entry = torch.maximum(entry, torch.minimum(first, second))
        leave = torch.minimum(leave, torch.maximum(first, second))
    nearest = torch.where(entry > NEAREST, entry, leave)
    return torch.where((entry <= leave) & (nearest > NEAREST), nearest, math.inf)


def hit_ellipsoid(matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
    """Return t at a unit sphere."""
    near, far = _sphere_roots(*to_local(matrix, center, origin, direction))
    nearest = torch.where(near > NEAREST, near, far)
    return torch.where(nearest > NEAREST, nearest, math.inf)


def hit_cylinder(matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
    """Return t at a capped cylinder along its own z axis."""
    ox, oy, oz, dx, dy, dz = to_local(matrix, center, origin, direction)
    a = (dx * dx + dy * dy).clamp(min=1e-12)
    b = ox * dx + oy * dy
    discriminant = b * b - a * (ox * ox + oy * oy - 1.0)
    root = torch.sqrt(discriminant.clamp(min=0.0))
    inverse = 1.0 / torch.where(dz.abs() < 1e-9, 1e-9, dz)
    first, second = (-1.0 - oz) * inverse, (1.0 - oz) * inverse
    entry = torch.maximum((-b - root) / a, torch.minimum(first, second))
    leave = torch.minimum((-b + root) / a, torch.maximum(first, second))
    hit = (discriminant > 0.0) & (entry <= leave) & (entry > NEAREST)
    return torch.where(hit, entry, math.inf)


def hit_foliage(matrix: Tensor, center: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
    """Return t at a sphere's skin that is full of holes, its back seen through them."""
    ox, oy, oz, dx, dy, dz = to_local(matrix, center, origin, direction)
    near, far = _sphere_roots(ox, oy, oz, dx, dy, dz)
    seed = center[:, 0, None] + center[:, 1, None]
    nearest = torch.full_like(dx, math.inf)
    for t in (far, near):
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        leaf = 0.45 * noise_3(5.0 * x + seed, 5.0 * y, 5.0 * z)
        leaf = leaf + 0.55 * noise_3(23.0 * x + seed, 23.0 * y, 23.0 * z)
        nearest = torch.where((t > NEAREST) & torch.isfinite(t) & (leaf > 0.44), t, nearest)
    return nearest


def hit_ground(height: Tensor, origin: Tensor, direction: Tensor) -> Tensor:
    """Return t at the plane z = height (B,)."""
    fall = direction[2]
    t = (height[:, None] - origin[2]) / torch.where(fall.abs() < 1e-9, 1e-9, fall)
    return torch.where(t > NEAREST, t, math.inf)


def hill_height(x: Tensor, y: Tensor, hills: Tensor) -> Tensor:
    """Return the ground's height (B, N) at (x, y); hills: (B, 3) amplitude, wavelength, seed."""
    amplitude, wavelength, seed = hills[:, 0, None], hills[:, 1, None], hills[:, 2, None]
    u, v = x / wavelength, y / wavelength
    broad = noise_2(u, v, seed) - 0.5
    fine = noise_2(3.1 * u, 3.1 * v, seed + 1.0) - 0.5
    return amplitude * (broad + 0.3 * fine)


def above_hills(t: Tensor, origin: Tensor, direction: Tensor, hills: Tensor) -> Tensor:
    """Return how far above the ground the ray is at t."""
    x = origin[0] + t * direction[0]
    y = origin[1] + t * direction[1]
    return origin[2] + t * direction[2] - hill_height(x, y, hills)


def solid_normal(kind: Tensor, local: Tensor) -> Tensor:
    """Return the outward normal (3, ...) in a solid's own frame, not of unit length.

    Args:
        kind: (...) 0 box, 1 ellipsoid or foliage, 2 cylinder.
        local: (3, ...) the point on the surface in the solid's own frame.
    """
    x, y, z = local[0], local[1], local[2]
    size_x, size_y, size_z = x.abs(), y.abs(), z.abs()
    on_x = (size_x >= size_y) & (size_x >= size_z)
    on_y = (size_y >= size_z) & ~on_x
    box_x = torch.where(on_x, torch.sign(x), 0.0)
    box_y = torch.where(on_y, torch.sign(y), 0.0)
    box_z = torch.where(on_x | on_y, 0.0, torch.sign(z))
    on_cap = size_z > 0.9999
    is_box, is_ball = kind < 0.5, (kind >= 0.5) & (kind < 1.5)
    return torch.stack(
        [
            torch.where(is_box, box_x, torch.where(is_ball | ~on_cap, x, 0.0)),
            torch.where(is_box, box_y, torch.where(is_ball | ~on_cap, y, 0.0)),
            torch.where(is_box, box_z, torch.where(is_ball, z, torch.where(on_cap, torch.sign(z), 0.0))),
        ]
    )


def _sphere_roots(ox: Tensor, oy: Tensor, oz: Tensor, dx: Tensor, dy: Tensor, dz: Tensor) -> tuple[Tensor, Tensor]:
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    # Relative to the closest point, or float32 loses small things far away.
    closest = -b / a
    qx, qy, qz = ox + closest * dx, oy + closest * dy, oz + closest * dz
    spare = 1.0 - (qx * qx + qy * qy + qz * qz)
    half = torch.sqrt(spare.clamp(min=0.0) / a)
    hit = spare > 0.0
    return (
        torch.where(hit, closest - half, math.inf),
        torch.where(hit, closest + half, math.inf),
    )
