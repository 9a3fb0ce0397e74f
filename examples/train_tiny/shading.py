"""Colours of what rays meet: sun or lamp, sky, shadow, darkening in corners, fog, and the camera's exposure.

The functions on whole pictures, ``darken``, ``sky_color`` and ``shade``, are pure arithmetic and get compiled.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from . import shapes
from .scene import Light, Scenes, Solids
from .textures import MATERIAL_WIDTH, noise_2, surface_color

NORMAL_KINDS = (0.0, 1.0, 2.0, 1.0)
"""How ``shapes.solid_normal`` calls boxes, ellipsoids, cylinders and foliage."""
_GROUND_KIND = 3.0


class Hits(NamedTuple):
    """What N rays of B pictures have met, ready to be shaded."""

    points: Tensor
    """(3, B, N) in the world."""
    direction: Tensor
    """(3, B, N) of the rays."""
    depth: Tensor
    """(B, N); infinite for the sky."""
    surface: Tensor
    """(16 + MATERIAL_WIDTH, B, N): the row of ``surface_table`` of what was met."""
    slope: Tensor
    """(2, B, N) the ground's rise along x and y."""
    to_light: Tensor
    """(3, B, N) towards the sun or the lamp; its length is the distance of the lamp."""
    lit: Tensor
    """(B, N) 1 where no shadow falls."""
    openness: Tensor
    """(B, N) in 0..1, less in corners."""
    footprint: Tensor
    """(B, N) metres a pixel covers, seen face on."""


def surface_table(scenes: Scenes, solids: Solids) -> Tensor:
    """Return (B, P + 1, 16 + MATERIAL_WIDTH): rotation, center, half, kind and material; ground last."""
    batch, total = solids.center.shape[:2]
    kinds = torch.cat([torch.full((count,), kind) for count, kind in zip(solids.counts, NORMAL_KINDS, strict=True)]).to(
        solids.center
    )
    rows = torch.cat(
        [
            solids.rotation.reshape(batch, total, 9),
            solids.center,
            solids.half,
            kinds[None, :, None].expand(batch, total, 1),
            solids.material,
        ],
        dim=2,
    )
    ground = torch.zeros(batch, 1, 16 + MATERIAL_WIDTH, device=rows.device)
    ground[:, 0, 0:9:4] = 1.0
    ground[:, 0, 12:15] = 1.0
    ground[:, 0, 15] = _GROUND_KIND
    ground[:, 0, 16:] = scenes.ground_material
    return torch.cat([rows, ground], dim=1)


def ground_slope(scenes: Scenes, points: Tensor) -> Tensor:
    """Return (2, B, N): the ground's rise along x and y."""
    if scenes.hills is None:
        return torch.zeros_like(points[:2])
    step = 0.05
    here = shapes.hill_height(points[0], points[1], scenes.hills)
    along_x = shapes.hill_height(points[0] + step, points[1], scenes.hills)
    along_y = shapes.hill_height(points[0], points[1] + step, scenes.hills)
    return torch.stack([along_x - here, along_y - here]) / step


def darken(
    openness: Tensor,
    which: Tensor,
    index: Tensor,
    matrix: Tensor,
    center: Tensor,
    half: Tensor,
    points: Tensor,
) -> Tensor:
    """Return how open each point is to the sky, less what one solid close by takes away."""
    local = [points[axis] - center[:, axis, None] for axis in range(3)]
    squared = torch.zeros_like(openness)
    for row in range(3):
        along = (
            matrix[:, row, 0, None] * local[0] + matrix[:, row, 1, None] * local[1] + matrix[:, row, 2, None] * local[2]
        )
        beyond = (along.abs() - 1.0).clamp(min=0.0) * half[:, row, None]
        squared = squared + beyond * beyond
    reach = (0.9 * half.amin(dim=1) + 0.1 * half.amax(dim=1)).clamp(max=1.2)[:, None]
    close = (1.0 - torch.sqrt(squared) / (1.5 * reach + 1e-4)).clamp(min=0.0)
    other = ((index - which).abs() > 0.5) & (half.amax(dim=1)[:, None] < 40.0)
    inside = squared < 1e-9
    return openness * torch.where(other & ~inside, 1.0 - 0.5 * close * close, 1.0)


def sky_color(direction: Tensor, light: Light) -> Tensor:
    """Return (3, B, N): a gradient, clouds on a high plane, and a glow around the sun."""
    length = torch.sqrt((direction * direction).sum(0))
    rise = (direction[2] / length).clamp(min=0.0)
    blend = torch.sqrt(rise)
    lift = 1.0 / (direction[2] / length).clamp(min=0.03)
    u, v = direction[0] / length * lift, direction[1] / length * lift
    seed = light.clouds[:, 1, None]
    cover = torch.zeros_like(u)
    amplitude, scale = 0.5, 0.7
    for _ in range(4):
        cover = cover + amplitude * noise_2(u * scale + seed, v * scale - seed, seed)
        amplitude, scale = amplitude * 0.55, scale * 2.1
    white = ((cover + light.clouds[:, 0, None] - 1.0) * 3.0).clamp(0.0, 1.0)
    toward = (
        (
            direction[0] * light.sun[:, 0, None]
            + direction[1] * light.sun[:, 1, None]
            + direction[2] * light.sun[:, 2, None]
        )
        / length
    ).clamp(0.0, 1.0)
    glow = 0.5 * toward**16
    channels = []
    for channel in range(3):
        base = light.sky_horizon[:, channel, None] + blend * (
            light.sky_top[:, channel, None] - light.sky_horizon[:, channel, None]
        )
        cloud = 0.8 * light.sky_horizon[:, channel, None] + 0.25
        base = base + white * (cloud - base)
        channels.append(base + glow * light.sun_color[:, channel, None] * 0.3)
    return torch.stack(channels)


def shade(hits: Hits, sky: Tensor, light: Light) -> Tensor:
    """Return linear colours (3, B, N).

    Diffuse light and a highlight (Blinn, 1977) from sun or lamp, even light from all around, and fog.
    """
    hit = torch.isfinite(hits.depth)
    frame, normal_local, normal = _surface_frame(hits)
    view = hits.direction * torch.rsqrt((hits.direction * hits.direction).sum(0))
    facing = (normal * view).sum(0)
    normal = torch.where(facing > 0.0, -normal, normal)
    light_squared = (hits.to_light * hits.to_light).sum(0).clamp(min=1e-6)
    light_unit = hits.to_light * torch.rsqrt(light_squared)
    stretched = hits.footprint * torch.rsqrt(facing.abs().clamp(min=0.02))
    material = hits.surface[16:]
    albedos = surface_color(frame, normal_local, material, stretched)
    weaker = torch.where(light.lamp[:, None] > 0.5, 1.0 / (0.3 + 0.12 * light_squared), 1.0)
    direct = (normal * light_unit).sum(0).clamp(min=0.0) * hits.lit * weaker
    around = (0.62 + 0.38 * normal[2]) * hits.openness
    halfway = light_unit - view
    shine = (normal * halfway).sum(0) * torch.rsqrt((halfway * halfway).sum(0).clamp(min=1e-6))
    mirror = material[4] * hits.lit * weaker * shine.clamp(0.0, 1.0) ** 40
    haze = 1.0 - torch.exp(-light.fog_per_m[:, None] * torch.where(hit, hits.depth, 0.0))
    result = []
    for channel, albedo in enumerate(albedos):
        sun_color = light.sun_color[:, channel, None]
        color = albedo * (direct * sun_color + around * light.ambient[:, channel, None])
        color = color + mirror * sun_color + material[5] * albedo
        color = color + haze * (light.sky_horizon[:, channel, None] - color)
        result.append(torch.where(hit, color, sky[channel]))
    return torch.stack(result)


def _surface_frame(hits: Hits) -> tuple[Tensor, Tensor, Tensor]:
    """Return the points and unit normals in the solids' own frames, and the normals in the world."""
    surface = hits.surface
    turn, center, half, kind = surface[0:9], surface[9:12], surface[12:15], surface[15]
    shifted = hits.points - center
    frame = torch.stack(
        [
            turn[3 * row] * shifted[0] + turn[3 * row + 1] * shifted[1] + turn[3 * row + 2] * shifted[2]
            for row in range(3)
        ]
    )
    local = shapes.solid_normal(kind, frame / half) / half
    is_ground = kind > 2.5
    local = torch.stack(
        [
            torch.where(is_ground, -hits.slope[0], local[0]),
            torch.where(is_ground, -hits.slope[1], local[1]),
            torch.where(is_ground, 1.0, local[2]),
        ]
    )
    local = local * torch.rsqrt((local * local).sum(0).clamp(min=1e-12))
    normal = torch.stack(
        [turn[column] * local[0] + turn[3 + column] * local[1] + turn[6 + column] * local[2] for column in range(3)]
    )
    return frame, local, normal


def develop(linear: Tensor, exposure: Tensor) -> Tensor:
    """Return gamma-coded pictures in 0..1 from linear ones (B, 3, H, W).

    Args:
        linear: (B, 3, H, W), any range.
        exposure: (B,) the mean brightness aimed at, as a camera's automatic exposure does.
    """
    brightness = linear.clamp(0, 4).mean(dim=(1, 2, 3))
    gain = exposure / brightness.clamp(min=1e-3)
    scaled = linear * gain[:, None, None, None]
    shoulder = scaled / (1.0 + 0.25 * scaled) * 1.25
    return shoulder.clamp(0.0, 1.0) ** (1.0 / 2.2)
