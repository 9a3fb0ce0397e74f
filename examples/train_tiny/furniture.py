"""Things for rooms and tables, and what hangs on walls."""

import math

from .things import BOX, CYLINDER, ELLIPSOID, Builder, Vector, material, plain


def table(build: Builder, half: Vector) -> None:
    """Add a table whose top is at 2 * half[2]."""
    rng = build.rng
    wood = material(rng, pattern=rng.choice(("marble", "stripes", "noise")), contrast=0.4)
    build.part(BOX, (0.0, 0.0, 2 * half[2] - 0.02), (half[0], half[1], 0.02), wood)
    for along in (-0.9, 0.9):
        for side in (-0.9, 0.9):
            build.part(BOX, (along * half[0], side * half[1], half[2]), (0.03, 0.03, half[2]), wood)


def seat(build: Builder) -> None:
    """Add a chair or a sofa."""
    rng = build.rng
    cloth = material(rng, contrast=0.5)
    if rng.random() < 0.5:
        half = rng.uniform(0.5, 1.1)
        build.part(BOX, (0.0, 0.0, 0.22), (0.42, half, 0.22), cloth)
        build.part(BOX, (-0.36, 0.0, 0.55), (0.1, half, 0.4), cloth)
        for side in (-1.0, 1.0):
            build.part(BOX, (0.0, side * half, 0.3), (0.42, 0.1, 0.3), cloth)
            build.part(ELLIPSOID, (-0.1, side * 0.5 * half, 0.55), (0.1, 0.2, 0.2), material(rng))
        return
    build.part(BOX, (0.0, 0.0, 0.45), (0.22, 0.22, 0.025), cloth)
    build.part(BOX, (-0.21, 0.0, 0.75), (0.02, 0.2, 0.25), cloth)
    for along in (-0.2, 0.2):
        for side in (-0.2, 0.2):
            build.part(BOX, (along, side, 0.22), (0.02, 0.02, 0.22), cloth)


def shelf(build: Builder) -> None:
    """Add a bookcase, its front along x."""
    rng = build.rng
    wide, tall = rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.1)
    wood = plain(rng)
    if rng.random() < 0.4:
        build.part(BOX, (0.0, 0.0, tall), (0.25, wide, tall), material(rng, contrast=0.5))
        return
    build.part(BOX, (-0.15, 0.0, tall), (0.02, wide, tall), wood)
    for side in (-1.0, 1.0):
        build.part(BOX, (0.0, side * wide, tall), (0.16, 0.02, tall), wood)
    books = material(rng, pattern="poster", period=0.12)
    for level in range(4):
        high = 2 * tall * (level + 0.5) / 4
        build.part(BOX, (0.0, 0.0, high), (0.16, wide, 0.015), wood)
        if rng.random() < 0.6:
            build.part(BOX, (-0.02, rng.uniform(-0.3, 0.3) * wide, high + 0.14), (0.1, 0.6 * wide, 0.12), books)


def small_object(build: Builder, *, scale: float = 1.0) -> None:
    """Add something that stands on a table: a cup, a bottle, a ball, a box, a bowl, a spoon."""
    rng = build.rng
    s = scale * rng.uniform(0.6, 1.5)
    paint = material(rng, period=rng.uniform(0.02, 0.3) * scale * 4)
    choice = rng.random()
    if choice < 0.25:
        build.part(CYLINDER, (0, 0, 0.06 * s), (0.045 * s, 0.045 * s, 0.06 * s), paint)
        build.part(CYLINDER, (0.06 * s, 0, 0.06 * s), (0.03 * s, 0.03 * s, 0.008 * s), paint, tilt=(math.pi / 2, 0, 0))
        build.part(CYLINDER, (0, 0, 0.004 * s), (0.09 * s, 0.09 * s, 0.004 * s), paint)
    elif choice < 0.45:
        build.part(CYLINDER, (0, 0, 0.1 * s), (0.04 * s, 0.04 * s, 0.1 * s), paint)
        build.part(ELLIPSOID, (0, 0, 0.2 * s), (0.04 * s, 0.04 * s, 0.04 * s), paint)
        build.part(CYLINDER, (0, 0, 0.26 * s), (0.014 * s, 0.014 * s, 0.05 * s), paint)
    elif choice < 0.65:
        radius = 0.07 * s
        build.part(ELLIPSOID, (0, 0, radius), (radius, radius * rng.uniform(0.8, 1.0), radius), paint)
    elif choice < 0.85:
        half = (0.1 * s * rng.random() + 0.02, 0.08 * s * rng.random() + 0.02, 0.1 * s * rng.random() + 0.01)
        build.part(BOX, (0, 0, half[2]), half, material(rng, pattern=rng.choice(("poster", "noise")), period=0.1 * s))
    else:
        build.part(CYLINDER, (0, 0, 0.01 * s), (0.008 * s, 0.008 * s, 0.12 * s), plain(rng), tilt=(0, math.pi / 2, 0))
        build.part(ELLIPSOID, (0.13 * s, 0, 0.012 * s), (0.03 * s, 0.02 * s, 0.006 * s), plain(rng))


def hang(build: Builder, wide: float, deep: float, tall: float) -> None:
    """Add a picture, a door or a bright window to a wall."""
    rng = build.rng
    half_u, half_v = rng.uniform(0.15, 0.8), rng.uniform(0.15, 0.7)
    high = tall + rng.uniform(-0.3, 0.5)
    choice = rng.random()
    surface = material(rng, pattern="poster", period=rng.uniform(0.05, 0.5))
    if choice < 0.3:
        surface = material(
            rng,
            first=(0.6, 0.7, 0.8),
            second=(0.9, 0.9, 0.9),
            pattern="noise",
            period=0.5,
            emission=rng.uniform(0.5, 2.0),
        )
    elif choice < 0.5:
        half_v, high = 1.0, 1.0
        surface = plain(rng)
    thick = rng.uniform(0.01, 0.06)
    build.place(0.0, 0.0, yaw=0.0)
    if rng.random() < 0.5:
        build.part(BOX, (rng.uniform(-0.7, 0.7) * wide, deep, high), (half_u, thick, half_v), surface)
    else:
        build.part(
            BOX, (rng.choice((-1.0, 1.0)) * wide, rng.uniform(-0.5, 0.8) * deep, high), (thick, half_u, half_v), surface
        )


def table_with_things(build: Builder) -> None:
    rng = build.rng
    half = (rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.4))
    table(build, half)
    x, y, z = build.origin
    for _ in range(rng.randint(0, 4)):
        build.place(x + rng.uniform(-0.3, 0.3), y + rng.uniform(-0.25, 0.25), z + 2 * half[2])
        small_object(build, scale=1.5)


def lamp(build: Builder) -> None:
    rng = build.rng
    tall = rng.uniform(0.5, 0.8)
    build.part(CYLINDER, (0, 0, tall), (0.02, 0.02, tall), plain(rng))
    build.part(rng.choice((CYLINDER, ELLIPSOID)), (0, 0, 2 * tall), (0.2, 0.2, 0.15), plain(rng, (0.8, 0.7, 0.5)))


def crate(build: Builder) -> None:
    rng = build.rng
    half = (rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.6))
    build.part(rng.choice((BOX, BOX, CYLINDER, ELLIPSOID)), (0, 0, half[2]), half, material(rng))
