"""Things to put into scenes: people, cars, trees, furniture, each a few solids with materials."""

import colorsys
import math
from dataclasses import dataclass, field
from random import Random

from .textures import PATTERNS

BOX, ELLIPSOID, CYLINDER, FOLIAGE = range(4)
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Material = list[float]


@dataclass(slots=True)
class Solid:
    """One solid before it becomes a row of tensors."""

    kind: int
    """BOX, ELLIPSOID, CYLINDER or FOLIAGE."""
    center: Vector
    """In the world, metres."""
    half: Vector
    """Half sizes along its own axes, metres."""
    rotation: Matrix
    """Its own frame from the world's."""
    material: Material
    """The columns of MATERIAL_FIELDS."""
    motion: Vector
    """How far it moves from the first view to the second."""
    base: tuple[float, float]
    """Where on the ground its thing stands: hills lift it by their height there."""


@dataclass(slots=True)
class Builder:
    """Collects solids; parts are given in the frame of the thing being placed."""

    rng: Random
    """Decides everything."""
    solids: list[Solid] = field(default_factory=list)
    """What has been placed so far."""
    origin: Vector = (0.0, 0.0, 0.0)
    """Where the current thing stands."""
    yaw: float = 0.0
    """How far it is turned about the vertical, radians."""
    motion: Vector = (0.0, 0.0, 0.0)
    """How far it moves between the views."""

    def place(self, x: float, y: float, z: float = 0.0, *, yaw: float | None = None, speed: float = 0.0) -> None:
        """Start a new thing at a place; ``speed`` metres along its own x axis between the views."""
        self.origin = (x, y, z)
        self.yaw = self.rng.uniform(-math.pi, math.pi) if yaw is None else yaw
        self.motion = (speed * math.cos(self.yaw), speed * math.sin(self.yaw), 0.0)

    def part(self, kind: int, at: Vector, half: Vector, material: Material, *, tilt: Vector = (0.0, 0.0, 0.0)) -> None:
        """Add a solid at a place in the thing's frame, turned by ``tilt`` (about x, y, z)."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        center = (
            self.origin[0] + cosine * at[0] - sine * at[1],
            self.origin[1] + sine * at[0] + cosine * at[1],
            self.origin[2] + at[2],
        )
        rotation = rotation_from_angles(tilt[0], tilt[1], tilt[2] + self.yaw)
        size = (max(half[0], 2e-3), max(half[1], 2e-3), max(half[2], 2e-3))
        self.solids.append(Solid(kind, center, size, rotation, material, self.motion, self.origin[:2]))


def rotation_from_angles(about_x: float, about_y: float, about_z: float) -> Matrix:
    """Return the rotation into a frame turned by x first, then y, then z."""
    cx, sx = math.cos(about_x), math.sin(about_x)
    cy, sy = math.cos(about_y), math.sin(about_y)
    cz, sz = math.cos(about_z), math.sin(about_z)
    return (
        (cz * cy, sz * cy, -sy),
        (cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx),
        (cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx),
    )


def color(rng: Random, *, vivid: float = 0.28, dark: float = 0.02, bright: float = 0.75) -> Vector:
    """Return a linear colour; ``vivid`` is the share of saturated ones."""
    value = math.exp(rng.uniform(math.log(dark), math.log(bright)))
    saturation = rng.uniform(0.5, 0.95) if rng.random() < vivid else rng.betavariate(1.2, 4.0)
    hue = rng.choice((rng.random(), rng.gauss(0.08, 0.03) % 1.0, rng.gauss(0.6, 0.05) % 1.0))
    return colorsys.hsv_to_rgb(hue, saturation, value)


def material(
    rng: Random,
    *,
    first: Vector | None = None,
    second: Vector | None = None,
    pattern: str | None = None,
    period: float | None = None,
    contrast: float = 1.0,
    emission: float = 0.0,
) -> Material:
    """Return a material; what is not given is drawn at random, colours often related."""
    a = color(rng) if first is None else first
    if second is None:
        factor = math.exp(rng.gauss(0.0, 0.6 * contrast))
        related = (a[0] * factor, a[1] * factor, a[2] * factor)
        second = color(rng) if rng.random() < 0.35 * contrast else related
    name = pattern or rng.choices(PATTERNS, (6, 1.5, 2, 0.7, 0.3, 2, 1.2, 1.2))[0]
    return [
        float(PATTERNS.index(name)),
        period or math.exp(rng.uniform(math.log(0.05), math.log(1.2))),
        math.exp(rng.gauss(0.0, 0.5)),
        abs(rng.gauss(0.0, 0.25)) if rng.random() < 0.6 else 0.0,
        rng.random() ** 4 * 1.5,
        emission,
        abs(rng.gauss(0.0, 0.5)),
        abs(rng.gauss(0.0, 0.35)),
        rng.random(),
        *a,
        *second,
    ]


def plain(rng: Random, base: Vector | None = None, *, period: float = 0.3) -> Material:
    """Return a nearly even surface: paint, skin, metal."""
    result = material(rng, first=base, pattern="noise", period=period, contrast=0.25)
    result[6], result[7] = abs(rng.gauss(0.0, 0.15)), abs(rng.gauss(0.0, 0.12))
    return result


def person(build: Builder, *, scale: float = 1.0, legs: bool = True) -> None:
    """Add a standing or walking person, feet at the thing's origin, looking along x."""
    rng = build.rng
    s = scale * rng.uniform(0.92, 1.08)
    skin_tone = rng.uniform(0.08, 0.6)
    skin = plain(rng, (skin_tone, skin_tone * rng.uniform(0.6, 0.8), skin_tone * rng.uniform(0.4, 0.65)))
    hair = plain(rng, color(rng, vivid=0.0, dark=0.01, bright=0.3))
    shirt = material(rng, period=rng.uniform(0.05, 0.4), contrast=0.7)
    trousers = plain(rng, color(rng, dark=0.01, bright=0.4))
    wide = rng.uniform(0.85, 1.25)
    stride = rng.uniform(0.0, 0.45)
    if legs:
        for side in (-1.0, 1.0):
            at = (side * stride * 0.35 * s, side * 0.1 * s * wide, 0.43 * s)
            build.part(
                CYLINDER, at, (0.075 * s * wide, 0.08 * s * wide, 0.45 * s), trousers, tilt=(0.0, -side * stride, 0.0)
            )
    torso = rng.choice((ELLIPSOID, CYLINDER))
    build.part(
        torso,
        (0.0, 0.0, 1.13 * s),
        (0.13 * s * wide, 0.21 * s * wide, 0.34 * s if torso == ELLIPSOID else 0.29 * s),
        shirt,
    )
    build.part(ELLIPSOID, (0.0, 0.0, 0.9 * s), (0.13 * s * wide, 0.19 * s * wide, 0.16 * s), trousers)
    build.part(ELLIPSOID, (0.0, 0.0, 1.36 * s), (0.11 * s, 0.22 * s * wide, 0.1 * s), shirt)
    build.part(CYLINDER, (0.0, 0.0, 1.48 * s), (0.055 * s, 0.055 * s, 0.07 * s), skin)
    build.part(ELLIPSOID, (0.02 * s, 0.0, 1.63 * s), (0.1 * s, 0.078 * s, 0.12 * s), skin)
    build.part(ELLIPSOID, (-0.012 * s, 0.0, 1.665 * s), (0.105 * s, 0.088 * s, 0.1 * s), hair)
    sleeve = shirt if rng.random() < 0.6 else skin
    for side in (-1.0, 1.0):
        swing = rng.uniform(-0.7, 0.7)
        at = (-math.sin(swing) * 0.28 * s, side * 0.25 * s * wide, 1.13 * s)
        build.part(
            CYLINDER, at, (0.045 * s, 0.05 * s, 0.3 * s), sleeve, tilt=(side * rng.uniform(0.0, 0.25), swing, 0.0)
        )
    if rng.random() < 0.3:
        build.part(BOX, (-0.2 * s, 0.0, 1.2 * s), (0.08 * s, 0.15 * s, 0.22 * s), plain(rng))


def car(build: Builder) -> None:
    """Add a car, van or lorry along x."""
    rng = build.rng
    long = rng.uniform(1.7, 2.5)
    tall = rng.choice((rng.uniform(0.28, 0.4), rng.uniform(0.28, 0.4), rng.uniform(0.6, 1.2)))
    wide = rng.uniform(0.8, 1.0)
    paint = plain(rng, color(rng, vivid=0.4, dark=0.02, bright=0.8))
    paint[4] = rng.uniform(0.3, 1.5)
    glass = plain(rng, (0.02, 0.03, 0.04))
    glass[4] = 1.5
    tyre = plain(rng, (0.015, 0.015, 0.015))
    build.part(BOX, (0.0, 0.0, 0.55), (long, wide, 0.3), paint)
    back = -0.1 * long if tall < 0.5 else -0.2 * long
    build.part(BOX, (back, 0.0, 0.85 + tall * 0.5), (0.55 * long, 0.9 * wide, 0.5 * tall), glass)
    build.part(BOX, (back, 0.0, 0.86 + tall), (0.5 * long, 0.86 * wide, 0.05), paint)
    if rng.random() < 0.5:
        build.part(ELLIPSOID, (0.0, 0.0, 0.72), (1.02 * long, 0.98 * wide, 0.28), paint)
    for along in (-0.62, 0.62):
        for side in (-1.0, 1.0):
            at = (along * long, side * (wide - 0.08), 0.32)
            build.part(CYLINDER, at, (0.32, 0.32, 0.11), tyre, tilt=(math.pi / 2, 0.0, 0.0))


def tree(build: Builder) -> None:
    """Add a leafy tree, a conifer or a bare trunk."""
    rng = build.rng
    height = rng.uniform(2.5, 10.0)
    bark = material(rng, first=color(rng, vivid=0.0, dark=0.03, bright=0.2), pattern="stripes", period=0.15)
    radius = height * rng.uniform(0.015, 0.04)
    build.part(
        CYLINDER,
        (0.0, 0.0, 0.4 * height),
        (radius, radius, 0.4 * height),
        bark,
        tilt=(rng.gauss(0, 0.05), rng.gauss(0, 0.05), 0),
    )
    green = (rng.uniform(0.02, 0.15), rng.uniform(0.06, 0.25), rng.uniform(0.01, 0.08))
    for _ in range(rng.choice((0, 1, 2, 3, 4))):
        size = height * rng.uniform(0.13, 0.32)
        at = (rng.gauss(0, 0.12) * height, rng.gauss(0, 0.12) * height, height * rng.uniform(0.55, 0.95))
        leaves = material(rng, first=green, pattern="blotches", period=rng.uniform(0.1, 0.4))
        kind = FOLIAGE if rng.random() < 0.8 else ELLIPSOID
        build.part(kind, at, (size, size, size * rng.uniform(0.6, 1.4)), leaves)


def bush(build: Builder) -> None:
    """Add one to three low leafy mounds."""
    rng = build.rng
    green = (rng.uniform(0.02, 0.15), rng.uniform(0.06, 0.25), rng.uniform(0.01, 0.08))
    for _ in range(rng.randint(1, 3)):
        size = rng.uniform(0.25, 0.9)
        leaves = material(rng, first=green, pattern="blotches", period=rng.uniform(0.04, 0.2))
        build.part(FOLIAGE, (rng.gauss(0, 0.5), rng.gauss(0, 0.5), 0.7 * size), (size, size, size), leaves)


def post(build: Builder) -> None:
    """Add something thin: a bollard, a lamp post, a sign or a traffic light."""
    rng = build.rng
    metal = plain(rng, color(rng, vivid=0.15))
    if rng.random() < 0.35:
        tall = rng.uniform(0.4, 0.6)
        banded = material(rng, pattern="stripes", period=rng.uniform(0.2, 0.6)) if rng.random() < 0.5 else metal
        build.part(CYLINDER, (0.0, 0.0, tall), (rng.uniform(0.05, 0.12),) * 2 + (tall,), banded)
        return
    tall = rng.uniform(1.0, 3.2)
    thin = rng.uniform(0.025, 0.09)
    build.part(CYLINDER, (0.0, 0.0, tall), (thin, thin, tall), metal)
    kind = rng.random()
    if kind < 0.35:
        board = material(rng, pattern="poster", period=rng.uniform(0.2, 0.8))
        build.part(BOX, (0.05, 0.0, 2 * tall - 0.3), (0.02, rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.4)), board)
    elif kind < 0.6:
        build.part(CYLINDER, (0.6, 0.0, 2 * tall), (0.04, 0.04, 0.7), metal, tilt=(0.0, math.pi / 2, 0.0))
        build.part(BOX, (1.2, 0.0, 2 * tall), (0.25, 0.1, 0.06), metal)
    elif kind < 0.75:
        build.part(BOX, (0.0, 0.0, 2 * tall - 0.35), (0.14, 0.14, 0.4), plain(rng, (0.02, 0.02, 0.02)))


def fence(build: Builder) -> None:
    """Add a row of posts with rails, or a low wall, along x."""
    rng = build.rng
    wood = material(rng, contrast=0.4)
    count, gap, tall = rng.randint(4, 7), rng.uniform(0.6, 1.8), rng.uniform(0.35, 0.7)
    if rng.random() < 0.4:
        build.part(BOX, (0.0, 0.0, tall), (count * gap * 0.5, 0.12, tall), material(rng, pattern="bricks", period=0.3))
        return
    for number in range(count):
        build.part(BOX, ((number - 0.5 * count) * gap, 0.0, tall), (0.05, 0.05, tall), wood)
    for high in (0.7, 1.6):
        build.part(BOX, (-0.5 * gap, 0.0, tall * high), (count * gap * 0.5, 0.025, 0.05), wood)


def building(build: Builder, half: Vector) -> None:
    """Add a building: a facade with windows, perhaps a roof, balconies and a shop front."""
    rng = build.rng
    wall = color(rng, vivid=0.1, dark=0.08, bright=0.7)
    pane = color(rng, vivid=0.1, dark=0.02, bright=0.2)
    facade = material(
        rng,
        first=wall,
        second=pane,
        pattern=rng.choice(("windows", "windows", "bricks", "noise")),
        period=rng.uniform(1.5, 3.5),
    )
    facade[2], facade[3] = rng.uniform(0.9, 1.6), 0.0
    build.part(BOX, (0.0, 0.0, half[2]), half, facade)
    if rng.random() < 0.5:
        roof = material(rng, pattern="bricks", period=0.4)
        wide = half[1] * 0.75
        build.part(BOX, (0.0, 0.0, 2 * half[2]), (half[0] * 1.03, wide, wide), roof, tilt=(math.pi / 4, 0.0, 0.0))
    if rng.random() < 0.5:
        front = material(rng, pattern="poster", period=rng.uniform(0.8, 2.5))
        build.part(BOX, (0.0, 0.0, 1.6), (half[0] + 0.15, half[1] + 0.15, 1.6), front)
    if rng.random() < 0.4:
        for floor in range(1, min(4, int(half[2] * 2 / 3))):
            build.part(BOX, (0.0, 0.0, 3.0 * floor), (half[0] + 0.5, half[1] + 0.5, 0.08), plain(rng, wall))


def rock(build: Builder) -> None:
    """Add a stone."""
    rng = build.rng
    size = rng.uniform(0.15, 1.0)
    stone = material(rng, first=color(rng, vivid=0.0), contrast=0.5)
    build.part(
        rng.choice((ELLIPSOID, BOX)),
        (0.0, 0.0, 0.3 * size),
        (size, size * rng.uniform(0.5, 1.0), size * rng.uniform(0.4, 0.9)),
        stone,
        tilt=(rng.gauss(0, 0.3), rng.gauss(0, 0.3), 0.0),
    )


def bicycle(build: Builder) -> None:
    """Add a bicycle or a motorcycle along x, often with its rider."""
    rng = build.rng
    dark = plain(rng, (0.02, 0.02, 0.02))
    paint = plain(rng, color(rng, vivid=0.6))
    heavy = rng.random() < 0.35
    thin = 0.07 if heavy else 0.025
    for along in (-0.52, 0.52):
        build.part(CYLINDER, (along, 0.0, 0.33), (0.33, 0.33, thin), dark, tilt=(math.pi / 2, 0.0, 0.0))
        build.part(
            CYLINDER,
            (along, 0.0, 0.33),
            (0.25, 0.25, thin + 0.004),
            plain(rng, (0.25, 0.25, 0.25)),
            tilt=(math.pi / 2, 0.0, 0.0),
        )
    build.part(CYLINDER, (0.0, 0.0, 0.6), (thin, thin, 0.5), paint, tilt=(0.0, math.pi / 2 + 0.2, 0.0))
    build.part(CYLINDER, (0.45, 0.0, 0.65), (thin, thin, 0.35), paint, tilt=(0.0, -0.3, 0.0))
    if heavy:
        build.part(ELLIPSOID, (0.05, 0.0, 0.65), (0.4, 0.18, 0.2), paint)
        build.part(BOX, (0.0, 0.0, 0.42), (0.3, 0.15, 0.16), dark)
    if rng.random() < 0.7:
        shirt, skin = material(rng, period=0.2), plain(rng, (0.4, 0.28, 0.2))
        build.part(ELLIPSOID, (-0.12, 0.0, 1.15), (0.16, 0.2, 0.36), shirt, tilt=(0.0, 0.45, 0.0))
        build.part(ELLIPSOID, (0.1, 0.0, 1.6), (0.12, 0.1, 0.13), rng.choice((paint, skin, dark)))
        for side in (-1.0, 1.0):
            build.part(
                CYLINDER,
                (0.0, 0.12 * side, 0.65),
                (0.07, 0.07, 0.35),
                plain(rng),
                tilt=(0.0, rng.uniform(-0.4, 0.6), 0.0),
            )
            build.part(CYLINDER, (0.2, 0.2 * side, 1.2), (0.045, 0.045, 0.3), shirt, tilt=(0.0, 1.0, 0.0))


def animal(build: Builder, *, scale: float = 1.0) -> None:
    """Add a four-legged animal along x."""
    rng = build.rng
    s = scale * rng.uniform(0.5, 1.4)
    fur = material(rng, period=rng.uniform(0.05, 0.4) * s, contrast=0.6)
    build.part(ELLIPSOID, (0.0, 0.0, 0.55 * s), (0.45 * s, 0.17 * s, 0.2 * s), fur)
    build.part(ELLIPSOID, (0.5 * s, 0.0, 0.78 * s), (0.16 * s, 0.12 * s, 0.13 * s), fur)
    build.part(ELLIPSOID, (0.62 * s, 0.0, 0.74 * s), (0.11 * s, 0.06 * s, 0.06 * s), fur)
    for side in (-1.0, 1.0):
        build.part(ELLIPSOID, (0.45 * s, side * 0.08 * s, 0.92 * s), (0.03 * s, 0.04 * s, 0.07 * s), fur)
        for along in (-0.32, 0.32):
            build.part(CYLINDER, (along * s, side * 0.1 * s, 0.22 * s), (0.045 * s, 0.045 * s, 0.22 * s), fur)
