"""Procedural textures: noise and patterns as pure functions of a point in space.

Everything is floating point arithmetic on whole pictures, so that ``torch.compile`` turns each
function into one vectorised loop on a CPU and one kernel on a GPU.
"""

import torch
from torch import Tensor

PATTERNS = (
    "noise",
    "bricks",
    "stripes",
    "checker",
    "windows",
    "blotches",
    "poster",
    "marble",
)
"""What a material's ``pattern`` value counts through."""

MATERIAL_FIELDS = (
    "pattern",
    "period",
    "aspect",
    "warp",
    "gloss",
    "emission",
    "rough_amount",
    "fine_amount",
    "seed",
    "red_a",
    "green_a",
    "blue_a",
    "red_b",
    "green_b",
    "blue_b",
)
"""The columns of a material: lengths in metres, colours linear in 0..1."""

MATERIAL_WIDTH = len(MATERIAL_FIELDS)


def fraction(values: Tensor) -> Tensor:
    """Return the fractional part, in [0, 1) for negative values too."""
    return values - torch.floor(values)


def hash_3(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return a pseudo-random number in [0, 1) for each lattice point (whole-valued floats)."""
    x = fraction(x * 0.1031)
    y = fraction(y * 0.1030)
    z = fraction(z * 0.0973)
    mix = x * (y + 33.33) + y * (z + 33.33) + z * (x + 33.33)
    return fraction((x + y + 2.0 * mix) * (z + mix))


def noise_3(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return smooth value noise in [0, 1) with lattice spacing 1."""
    floor_x, floor_y, floor_z = torch.floor(x), torch.floor(y), torch.floor(z)
    u, v, w = _fade(x - floor_x), _fade(y - floor_y), _fade(z - floor_z)
    planes = []
    for step_z in (0.0, 1.0):
        rows = []
        for step_y in (0.0, 1.0):
            left = hash_3(floor_x, floor_y + step_y, floor_z + step_z)
            right = hash_3(floor_x + 1.0, floor_y + step_y, floor_z + step_z)
            rows.append(left + u * (right - left))
        planes.append(rows[0] + v * (rows[1] - rows[0]))
    return planes[0] + w * (planes[1] - planes[0])


def noise_2(x: Tensor, y: Tensor, seed: Tensor | float) -> Tensor:
    """Return smooth value noise in [0, 1) over a plane, different for each seed."""
    floor_x, floor_y = torch.floor(x), torch.floor(y)
    u, v = _fade(x - floor_x), _fade(y - floor_y)
    depth = torch.zeros_like(x) + seed
    rows = []
    for step_y in (0.0, 1.0):
        left = hash_3(floor_x, floor_y + step_y, depth)
        right = hash_3(floor_x + 1.0, floor_y + step_y, depth)
        rows.append(left + u * (right - left))
    return rows[0] + v * (rows[1] - rows[0])


def surface_color(
    points: Tensor, normals: Tensor, material: Tensor, footprint: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the albedo (red, green, blue) of surface points.

    Args:
        points: (3, ...) in the object's own frame, metres.
        normals: (3, ...) in the same frame; choose which plane a flat pattern is drawn on.
        material: (MATERIAL_WIDTH, ...), the columns of MATERIAL_FIELDS.
        footprint: (...) metres one pixel covers there; detail finer than that fades out.
    """
    x, y, z = points[0], points[1], points[2]
    pattern, period, aspect, warp = material[0], material[1], material[2], material[3]
    rough_amount, fine_amount, seed = material[6], material[7], material[8]
    u, v, side = _flat_coordinates(x, y, z, normals)
    offset = seed * 7.31
    rough = _octaves(x, y, z, period, offset, footprint)
    fine = noise_3(x * 61.0 / period + offset, y * 61.0 / period, z * 61.0 / period)
    fine_weight = _visible(period / 61.0, footprint)
    value = _pattern_value(pattern, u / period + offset, v / (period * aspect), rough, warp, seed)
    value = 0.5 + (value - 0.5) * _visible(period * torch.clamp(aspect, max=1.0), footprint)
    shade = 1.0 + rough_amount * (rough - 0.5) + fine_amount * fine_weight * (fine - 0.5)
    shade = shade * (0.85 + 0.3 * hash_3(side + 3.0, torch.floor(seed * 97.0), side))
    red = (material[9] + value * (material[12] - material[9])) * shade
    green = (material[10] + value * (material[13] - material[10])) * shade
    blue = (material[11] + value * (material[14] - material[11])) * shade
    return red.clamp(0.0, 1.5), green.clamp(0.0, 1.5), blue.clamp(0.0, 1.5)


def _fade(values: Tensor) -> Tensor:
    return values * values * (3.0 - 2.0 * values)


def _visible(period: Tensor, footprint: Tensor) -> Tensor:
    return torch.clamp(0.5 * period / footprint - 0.5, 0.0, 1.0)


def _octaves(x: Tensor, y: Tensor, z: Tensor, period: Tensor, offset: Tensor, footprint: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    amplitude, reach = 0.5, 1.0
    for _ in range(4):
        scale = reach / period
        layer = noise_3(x * scale + offset, y * scale - offset, z * scale + 0.5 * offset)
        total = total + amplitude * _visible(period / reach, footprint) * (layer - 0.5)
        amplitude, reach = amplitude * 0.62, reach * 2.17
    return 0.5 + 1.3 * total


def _flat_coordinates(x: Tensor, y: Tensor, z: Tensor, normals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    normal_x, normal_y, normal_z = normals[0].abs(), normals[1].abs(), normals[2].abs()
    faces_up = (normal_z >= normal_x) & (normal_z >= normal_y)
    faces_x = (normal_x >= normal_y) & ~faces_up
    u = torch.where(faces_x, y, x)
    v = torch.where(faces_up, y, z)
    side = torch.where(faces_up, 0.0, torch.where(faces_x, 1.0, 2.0))
    side = side + torch.where(normals[0] + normals[1] + normals[2] > 0.0, 0.0, 3.0)
    return u, v, side


def _pattern_value(pattern: Tensor, u: Tensor, v: Tensor, rough: Tensor, warp: Tensor, seed: Tensor) -> Tensor:
    """Return in [0, 1] how much of colour B shows."""
    bent_u = u + warp * (rough - 0.5)
    bent_v = v + warp * (rough - 0.5)
    row = torch.floor(bent_v)
    brick_u = bent_u + 0.5 * torch.remainder(row, 2.0)
    column = torch.floor(brick_u)
    inside_u, inside_v = fraction(brick_u), fraction(bent_v)
    cell = hash_3(column, row, seed * 31.0)
    mortar = torch.minimum(torch.minimum(inside_u, 1.0 - inside_u), torch.minimum(inside_v, 1.0 - inside_v) * 0.8)
    plain_column = torch.floor(bent_u)
    plain_u = fraction(bent_u)
    plain_cell = hash_3(plain_column, row, seed * 17.0)
    glazed = ((plain_u - 0.5).abs() < 0.22 + 0.1 * fraction(seed * 3.7)) & (
        (inside_v - 0.5).abs() < 0.2 + 0.2 * fraction(seed * 5.3)
    )
    half_u, half_v = torch.floor(bent_u * 3.1), torch.floor(bent_v * 3.1)
    small_cell = hash_3(half_u, half_v, seed * 13.0)
    choices = (
        _sharpen(rough, 2.0),
        torch.where(mortar < 0.06, 1.0, 0.75 * cell * fraction(seed * 7.7)),
        _sharpen(0.5 + 0.5 * torch.sin(6.2831853 * (u + warp * rough)), 1.5 + 6.0 * seed),
        torch.remainder(plain_column + row, 2.0),
        torch.where(glazed, 0.55 + 0.45 * plain_cell, 0.0),
        _sharpen(noise_2(bent_u, bent_v, seed), 9.0),
        torch.where(plain_cell < 0.55, torch.floor(small_cell * 4.0) / 3.0, plain_cell),
        _sharpen(torch.sin(6.2831853 * (2.0 * rough + 0.5 * u)).abs(), 2.0),
    )
    value = choices[0]
    for index, choice in enumerate(choices[1:], start=1):
        value = torch.where((pattern - index).abs() < 0.5, choice, value)
    return value


def _sharpen(values: Tensor, contrast: Tensor | float) -> Tensor:
    return torch.clamp(0.5 + (values - 0.5) * contrast, 0.0, 1.0)
