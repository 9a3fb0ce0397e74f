"""Draw batches of scenes from a seed, as tensors on a device."""

import math
from random import Random

import torch
from torch import Tensor

from .places import KINDS, Draft, Setting, field, portrait
from .scene import Camera, Light, Scenes, Solids
from .shapes import hill_height
from .textures import MATERIAL_WIDTH
from .things import Solid, Vector

NO_GROUND = -math.inf
"""Height of the ground plane where there is none."""
_ABSENT_Z = -1e5
"""Where solids that pad a batch lie, far from every ray."""
_FAR_HALF_M = 40.0
"""Solids larger than this are horizons: hills do not lift them."""


def draw_batch(seed: int, count: int, setting: Setting, device: torch.device) -> Scenes:
    """Return ``count`` scenes of one kind, decided by the seed alone."""
    rng = Random(seed)  # noqa: S311
    kind = rng.choices(KINDS, setting.weights)[0]
    drafts = [kind(Random(f"{seed}/{number}"), setting) for number in range(count)]  # noqa: S311
    hilly = kind in (field, portrait) and rng.random() < 0.4
    hills = _draw_hills(rng, drafts, hilly).to(device) if hilly else None
    solids = _stack_solids([draft.builder.solids for draft in drafts]).to(device)
    solids_tensors = _split(solids, drafts)
    cameras = tuple(_cameras(rng, drafts, device))
    if hills is not None:
        solids_tensors, cameras = _lift(solids_tensors, cameras, hills, drafts)
    ground_height = torch.tensor([NO_GROUND if d.ground is None else 0.0 for d in drafts], device=device)
    ground = torch.tensor([d.ground or [1.0] * MATERIAL_WIDTH for d in drafts], device=device)
    return Scenes(solids_tensors, ground_height, ground, hills, _light(rng, drafts, device), (cameras[0], cameras[1]))


def _stack_solids(scenes: list[list[Solid]]) -> Tensor:
    """Return (B, P, 21 + MATERIAL_WIDTH): solids sorted by kind, padded to one count per kind."""
    counts = _counts(scenes)
    rows = []
    for solids in scenes:
        for kind, count in enumerate(counts):
            chosen = [solid for solid in solids if solid.kind == kind]
            rows.append([_row(solid) for solid in chosen] + [_ABSENT] * (count - len(chosen)))
    flat = [row for group in rows for row in group]
    return torch.tensor(flat, dtype=torch.float32).reshape(len(scenes), sum(counts), -1)


def _counts(scenes: list[list[Solid]]) -> tuple[int, int, int, int]:
    boxes, balls, cylinders, leaves = (
        max(sum(solid.kind == kind for solid in solids) for solids in scenes) for kind in range(4)
    )
    return boxes, balls, cylinders, leaves


def _row(solid: Solid) -> list[float]:
    turn = solid.rotation
    return [*turn[0], *turn[1], *turn[2], *solid.center, *solid.half, *solid.motion, *solid.base, *solid.material]


_ABSENT = [
    1.0,
    0,
    0,
    0,
    1.0,
    0,
    0,
    0,
    1.0,
    0,
    0,
    _ABSENT_Z,
    1e-3,
    1e-3,
    1e-3,
    0,
    0,
    0,
    0,
    0,
    *([1.0] * MATERIAL_WIDTH),
]


def _split(rows: Tensor, drafts: list[Draft]) -> Solids:
    batch, total = rows.shape[:2]
    return Solids(
        counts=_counts([draft.builder.solids for draft in drafts]),
        rotation=rows[..., 0:9].reshape(batch, total, 3, 3).contiguous(),
        center=rows[..., 9:12].contiguous(),
        half=rows[..., 12:15].contiguous(),
        motion=rows[..., 15:18].contiguous(),
        material=rows[..., 20:].contiguous(),
    )


def _draw_hills(rng: Random, drafts: list[Draft], hilly: bool) -> Tensor:
    rows = []
    for _ in drafts:
        wavelength = rng.uniform(4.0, 40.0)
        rows.append([wavelength * rng.uniform(0.05, 0.3) * hilly, wavelength, float(rng.randrange(500))])
    return torch.tensor(rows)


def _lift(
    solids: Solids, cameras: tuple[Camera, ...], hills: Tensor, drafts: list[Draft]
) -> tuple[Solids, tuple[Camera, ...]]:
    """Raise things and cameras by the hills' height where they stand."""
    total = solids.center.shape[1]
    base = _stack_solids([draft.builder.solids for draft in drafts])[..., 18:20].to(hills)
    rise = hill_height(base[..., 0], base[..., 1], hills)
    far = solids.half.amax(dim=2) > _FAR_HALF_M
    center = solids.center.clone()
    center[..., 2] += torch.where(far, 0.0, rise)
    eye = cameras[0].position
    lift = hill_height(eye[:, None, 0], eye[:, None, 1], hills)[:, 0]
    raised = tuple(
        Camera(camera.position + torch.stack([lift * 0, lift * 0, lift], dim=1), camera.world_from_camera, camera.focal)
        for camera in cameras
    )
    assert rise.shape == (hills.shape[0], total)
    return Solids(solids.counts, solids.rotation, center, solids.half, solids.motion, solids.material), raised


def _cameras(rng: Random, drafts: list[Draft], device: torch.device) -> list[Camera]:
    eyes: list[list[list[float]]] = [[], []]
    turns: list[list[tuple[Vector, Vector, Vector]]] = [[], []]
    for draft in drafts:
        # Half the second views are a video's next frame, half are nearly another picture.
        apart = rng.random() < 0.5
        size = draft.reach * math.exp(rng.uniform(math.log(0.004), math.log(0.06))) * (4.0 if apart else 1.0)
        move = [rng.gauss(0, size), rng.gauss(0, size), rng.gauss(0, 0.3 * size)]
        swing = 0.15 if apart else rng.choice((0.004, 0.02))
        eyes[0].append(list(draft.eye))
        eyes[1].append([draft.eye[axis] + move[axis] for axis in range(3)])
        turns[0].append(_camera_axes(draft.yaw, draft.pitch, draft.roll))
        turned = (
            draft.yaw + rng.gauss(0, swing),
            draft.pitch + rng.gauss(0, swing),
            draft.roll + rng.gauss(0, 0.3 * swing),
        )
        turns[1].append(_camera_axes(*turned))
    focal = torch.tensor([draft.focal for draft in drafts], device=device)
    return [
        Camera(torch.tensor(eyes[which], device=device), torch.tensor(turns[which], device=device), focal)
        for which in range(2)
    ]


def _camera_axes(yaw: float, pitch: float, roll: float) -> tuple[Vector, Vector, Vector]:
    """Return the rotation from the camera (x right, y down, z forward) to the world, as rows."""
    forward = (-math.sin(yaw) * math.cos(pitch), math.cos(yaw) * math.cos(pitch), math.sin(pitch))
    level = (math.cos(yaw), math.sin(yaw), 0.0)
    down = (
        math.sin(pitch) * -math.sin(yaw) * 1.0,
        math.sin(pitch) * math.cos(yaw),
        -math.cos(pitch),
    )
    cosine, sine = math.cos(roll), math.sin(roll)
    right = tuple(cosine * level[axis] + sine * down[axis] for axis in range(3))
    below = tuple(cosine * down[axis] - sine * level[axis] for axis in range(3))
    return (
        (right[0], below[0], forward[0]),
        (right[1], below[1], forward[1]),
        (right[2], below[2], forward[2]),
    )


def _light(rng: Random, drafts: list[Draft], device: torch.device) -> Light:
    rows: dict[str, list[list[float]]] = {
        name: [] for name in ("sun", "sun_color", "top", "horizon", "ambient", "clouds")
    }
    lamp, fog = [], []
    for draft in drafts:
        azimuth, rise = rng.uniform(-math.pi, math.pi), rng.uniform(0.15, 1.4)
        direction = [math.cos(azimuth) * math.cos(rise), math.sin(azimuth) * math.cos(rise), math.sin(rise)]
        rows["sun"].append(list(draft.lamp) if draft.lamp else direction)
        warm = rng.uniform(0.0, 0.5)
        strength = (
            rng.choice((rng.uniform(0.0, 0.3), rng.uniform(0.5, 2.5))) if draft.lamp is None else rng.uniform(0.6, 2.0)
        )
        rows["sun_color"].append([strength, strength * (1 - 0.3 * warm), strength * (1 - 0.6 * warm)])
        blue = rng.uniform(0.0, 1.0)
        level = rng.uniform(0.25, 1.0)
        rows["top"].append([level * (0.8 - 0.6 * blue), level * (0.82 - 0.4 * blue), level])
        rows["horizon"].append(
            [level * rng.uniform(0.7, 1.1), level * rng.uniform(0.75, 1.05), level * rng.uniform(0.75, 1.05)]
        )
        soft = rng.uniform(0.15, 0.8)
        rows["ambient"].append(
            [soft * rng.uniform(0.8, 1.05), soft * rng.uniform(0.85, 1.0), soft * rng.uniform(0.85, 1.15)]
        )
        rows["clouds"].append([rng.random() ** 1.5 * 1.1, float(rng.randrange(300))])
        lamp.append(1.0 if draft.lamp else 0.0)
        fog.append(
            rng.choice((0.0, 0.0, rng.uniform(0.0, 0.004), rng.uniform(0.002, 0.02))) if draft.lamp is None else 0.0
        )
    as_tensor = {name: torch.tensor(values, device=device) for name, values in rows.items()}
    return Light(
        as_tensor["sun"],
        as_tensor["sun_color"],
        torch.tensor(lamp, device=device),
        as_tensor["top"],
        as_tensor["horizon"],
        as_tensor["ambient"],
        torch.tensor(fog, device=device),
        as_tensor["clouds"],
    )
