"""Six kinds of places, composed at random: street, field, room, table, portrait and jumble."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from . import furniture, things
from .things import BOX, CYLINDER, ELLIPSOID, FOLIAGE, Builder, Material, Vector


@dataclass(slots=True)
class Draft:
    """One scene before it becomes rows of tensors."""

    builder: Builder
    """Its solids."""
    eye: Vector
    """Where the camera is."""
    yaw: float
    """Where it looks, radians to the left of y."""
    pitch: float
    """Radians upwards."""
    focal: float
    """In units of the picture's width."""
    ground: Material | None
    """The ground plane's material at height 0, or None for no ground."""
    lamp: Vector | None = None
    """Where the lamp is; None for a sun."""
    reach: float = 10.0
    """A typical distance, the measure of the camera's motion between the views."""
    roll: float = 0.0
    """Radians clockwise."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run of scenes is drawn from; held-out evaluation uses one that training does not."""

    weights: tuple[float, float, float, float, float, float] = (2.5, 2.0, 2.0, 1.5, 3.0, 1.0)
    """Shares of streets, fields, rooms, tables, portraits and jumbles."""
    fov_deg: tuple[float, float] = (35.0, 100.0)
    """Horizontal field of view, least and greatest."""
    tilt: float = 1.0
    """Factor on the camera's tilt and roll."""
    crowd: float = 1.0
    """Factor on how many things stand about."""


_FURNITURE: list[Callable[[Builder], None]] = [
    furniture.seat,
    furniture.seat,
    furniture.shelf,
    furniture.shelf,
    furniture.table_with_things,
    furniture.table_with_things,
    things.person,
    furniture.lamp,
    furniture.crate,
    furniture.crate,
]
_CLOSE: list[Callable[[Builder], None]] = [
    things.person,
    things.person,
    things.person,
    things.animal,
    things.bicycle,
    furniture.seat,
    things.rock,
]
TRAINING = Setting()
UNFAMILIAR = Setting(weights=(2.0, 3.0, 2.0, 1.0, 1.0, 2.0), fov_deg=(45.0, 80.0), tilt=1.6, crowd=1.6)
"""The other setting: more clutter, more tilt, other shares."""


def street(rng: Random, setting: Setting) -> Draft:
    """A road between buildings, with cars, people, posts and trees."""
    build = Builder(rng)
    half_road = rng.uniform(2.5, 7.0)
    half_gap = half_road + rng.uniform(1.0, 7.0)
    asphalt = things.material(
        rng,
        first=things.color(rng, vivid=0.0, dark=0.03, bright=0.35),
        pattern="noise",
        period=rng.uniform(0.5, 4.0),
        contrast=0.4,
    )
    _line_with_buildings(build, half_road, half_gap)
    _paint_markings(build, half_road)
    crowd = setting.crowd
    _scatter(build, things.car, rng.randint(1, int(5 * crowd)), (4.0, 50.0), half_road, yaw=math.pi / 2, speed=0.5)
    _scatter(build, things.person, rng.randint(0, int(6 * crowd)), (1.6, 30.0), half_gap, speed=0.08)
    _scatter(build, things.post, rng.randint(0, int(5 * crowd)), (2.0, 40.0), half_gap)
    _scatter(build, things.tree, rng.randint(0, int(3 * crowd)), (5.0, 50.0), half_gap)
    _scatter(
        build, things.bicycle, rng.randint(0, 2), (2.5, 20.0), half_gap, yaw=rng.choice((0.0, math.pi / 2)), speed=0.2
    )
    eye = (
        rng.uniform(-0.9, 0.9) * half_gap,
        0.0,
        rng.choice((rng.uniform(0.5, 2.2), rng.uniform(1.4, 1.8), rng.uniform(2.0, 7.0))),
    )
    yaw = rng.choice((rng.gauss(0.0, 0.15), rng.gauss(0.0, 0.15), rng.uniform(-1.2, 1.2)))
    return _finish(
        Draft(build, eye, yaw, rng.gauss(-0.06, 0.09) - 0.04 * max(0.0, eye[2] - 2.0), 0.0, asphalt, reach=8.0), setting
    )


def field(rng: Random, setting: Setting) -> Draft:
    """Open ground, flat or hilly, with trees, houses, animals, fences and far hills."""
    build = Builder(rng)
    soil = rng.choice(((0.06, 0.12, 0.03), (0.2, 0.15, 0.08), (0.35, 0.3, 0.2), (0.5, 0.5, 0.52), (0.1, 0.1, 0.1)))
    ground = things.material(
        rng,
        first=soil,
        pattern=rng.choice(("noise", "blotches", "noise", "bricks", "checker")),
        period=rng.uniform(0.2, 3.0),
        contrast=0.6,
    )
    if rng.random() < 0.12:  # water
        ground = things.plain(rng, (0.3, 0.4, 0.5), period=rng.uniform(0.5, 4.0))
        ground[4] = rng.uniform(0.0, 1.0)
    for _ in range(rng.randint(0, 4)):
        far = rng.uniform(150.0, 900.0)
        build.place(rng.uniform(-1.0, 1.0) * far, far, yaw=rng.uniform(-0.5, 0.5))
        slope = things.material(
            rng,
            first=(rng.uniform(0.05, 0.2), rng.uniform(0.08, 0.2), rng.uniform(0.05, 0.2)),
            pattern="noise",
            period=30.0,
        )
        build.part(ELLIPSOID, (0, 0, 0), (far * rng.uniform(0.3, 0.9), far * 0.3, far * rng.uniform(0.03, 0.2)), slope)
    crowd = setting.crowd
    spread = 12.0
    _scatter(build, things.tree, rng.randint(0, int(5 * crowd)), (4.0, 60.0), spread * 2)
    _scatter(build, things.bush, rng.randint(0, int(3 * crowd)), (2.0, 25.0), spread)
    _scatter(build, things.rock, rng.randint(0, int(4 * crowd)), (1.5, 20.0), spread)
    _scatter(build, things.person, rng.randint(0, int(3 * crowd)), (2.0, 30.0), spread, speed=0.08)
    _scatter(build, things.animal, rng.randint(0, int(2 * crowd)), (1.5, 20.0), spread, speed=0.08)
    _scatter(build, things.fence, rng.randint(0, 2), (3.0, 25.0), spread)
    _scatter(build, things.bicycle, rng.randint(0, 1), (2.5, 12.0), spread, speed=0.2)
    for _ in range(rng.randint(0, 2)):
        build.place(rng.uniform(-25.0, 25.0), rng.uniform(12.0, 70.0))
        things.building(build, (rng.uniform(3, 8), rng.uniform(3, 6), rng.uniform(1.5, 4)))
    eye = (0.0, 0.0, rng.choice((rng.uniform(0.3, 2.0), rng.uniform(1.4, 1.8), rng.uniform(2.0, 12.0))))
    pitch = rng.gauss(-0.07, 0.1) - 0.03 * max(0.0, eye[2] - 2.0)
    return _finish(Draft(build, eye, rng.gauss(0, 0.2), pitch, 0.0, ground, reach=8.0), setting)


def room(rng: Random, setting: Setting) -> Draft:
    """The inside of a room with furniture, pictures, windows and people."""
    build = Builder(rng)
    wide, deep, tall = rng.uniform(1.6, 4.5), rng.uniform(1.8, 6.0), rng.uniform(1.15, 1.7)
    build.place(0.0, 0.0, yaw=0.0)
    walls = things.material(
        rng, first=things.color(rng, vivid=0.1, dark=0.15, bright=0.8), contrast=0.25, period=rng.uniform(0.2, 2.0)
    )
    floor = things.material(
        rng,
        pattern=rng.choice(("bricks", "stripes", "checker", "noise", "marble")),
        period=rng.uniform(0.15, 0.8),
        contrast=0.5,
    )
    build.part(BOX, (0, 0, tall), (wide, deep, tall), walls)
    build.part(BOX, (0, 0, -0.05), (wide, deep, 0.06), floor)
    build.part(BOX, (0, 0, 2 * tall + 0.05), (wide, deep, 0.06), things.plain(rng, (0.7, 0.7, 0.68)))
    for _ in range(rng.randint(1, 6)):
        furniture.hang(build, wide, deep, tall)
    for _ in range(int(rng.randint(2, 8) * setting.crowd)):
        _furnish(build, wide, deep)
    eye = (rng.uniform(-0.6, 0.6) * wide, -rng.uniform(0.5, 0.97) * deep, rng.uniform(0.5, min(1.9, 1.8 * tall)))
    yaw = rng.choice((rng.gauss(0, 0.2), rng.uniform(-0.9, 0.9)))
    lamp = (rng.uniform(-0.7, 0.7) * wide, rng.uniform(-0.9, 0.7) * deep, 2 * tall - rng.uniform(0.15, 0.6))
    pitch = rng.gauss(-0.15, 0.15) - 0.25 * (eye[2] - 1.2)
    return _finish(Draft(build, eye, yaw, pitch, 0.0, None, lamp=lamp, reach=2.5), setting)


def tabletop(rng: Random, setting: Setting) -> Draft:
    """Small things on a surface seen from close by, a wall or a room behind."""
    build = Builder(rng)
    back = rng.uniform(0.5, 4.0)
    build.place(0.0, back, yaw=rng.gauss(0, 0.25))
    build.part(BOX, (0, 0.05, 0), (8.0, 0.05, 6.0), things.material(rng, contrast=0.6))
    build.place(0.0, 0.0, yaw=rng.gauss(0, 0.4))
    top = things.material(
        rng,
        pattern=rng.choice(("marble", "stripes", "noise", "checker", "bricks", "blotches")),
        period=rng.uniform(0.03, 0.5),
        contrast=0.7,
    )
    depth = min(back, rng.uniform(0.35, 1.5))
    build.part(BOX, (0, 0, -0.03), (rng.uniform(0.5, 3.0), depth, 0.03), top)
    scale = rng.choice((1.0, 1.0, 2.0))
    for _ in range(int(rng.randint(1, 9) * setting.crowd)):
        build.place(rng.uniform(-0.45, 0.45) * scale, rng.uniform(-0.2, 0.6) * depth)
        furniture.small_object(build, scale=scale)
    if rng.random() < 0.3:
        build.place(rng.uniform(-0.6, 0.6), depth + 0.3, -0.75, yaw=-math.pi / 2)
        things.person(build, legs=False)
    high = rng.uniform(0.08, 0.7) * scale
    away = rng.uniform(0.35, 0.9) * scale
    pitch = -math.atan2(high, away) * rng.uniform(0.6, 1.1)
    lamp = (rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 0.3), rng.uniform(0.6, 2.0)) if rng.random() < 0.6 else None
    return _finish(
        Draft(
            build, (rng.gauss(0, 0.08), -away, high), rng.gauss(0, 0.1), pitch, 0.0, None, lamp=lamp, reach=0.6 * scale
        ),
        setting,
    )


def portrait(rng: Random, setting: Setting) -> Draft:
    """One or two people, animals or large things close to the camera, anything behind."""
    build = Builder(rng)
    ground = things.material(rng, contrast=0.5, period=rng.uniform(0.2, 2.0))
    inside = rng.random() < 0.5
    if inside:
        _set_wall(build)
    else:
        _set_outdoors(build)
    distance = rng.choice((rng.uniform(0.6, 1.3), rng.uniform(0.7, 3.2)))
    thing = rng.choice(_CLOSE)
    count = rng.choice((1, 1, 2, 3))
    for number in range(count):
        x = rng.gauss(0.0, 0.25) if count == 1 else (number - 0.5 * (count - 1)) * rng.uniform(0.5, 0.9)
        away = distance + rng.uniform(0.0, 0.5) * number
        yaw = rng.choice((-math.pi / 2 + rng.gauss(0, 0.5), rng.uniform(-math.pi, math.pi)))
        build.place(x * distance, away, yaw=yaw, speed=rng.choice((0.0, 0.05)))
        thing(build)
    high = rng.uniform(1.0, 1.75) if thing is things.person else rng.uniform(0.4, 1.3)
    target = rng.uniform(0.9, 1.6) if thing is things.person else 0.6
    pitch = math.atan2(target - high, distance) + rng.gauss(0, 0.05)
    lamp = (
        (rng.uniform(-2.5, 2.5), rng.uniform(-2.0, 1.0), rng.uniform(1.5, 3.0))
        if inside and rng.random() < 0.7
        else None
    )
    return _finish(
        Draft(build, (0.0, 0.0, high), rng.gauss(0, 0.15), pitch, 0.0, ground, lamp=lamp, reach=distance), setting
    )


def jumble(rng: Random, setting: Setting) -> Draft:
    """Solids of all sizes afloat before the sky, a wall or a ground: nothing to lean a prior on."""
    build = Builder(rng)
    size = rng.choice((0.3, 1.0, 3.0))
    if rng.random() < 0.5:
        build.place(0.0, rng.uniform(6.0, 14.0) * size, yaw=rng.gauss(0, 0.5))
        build.part(
            BOX,
            (0, 0, 0),
            (40 * size, 0.1, 40 * size),
            things.material(rng, period=rng.uniform(0.3, 3.0) * size),
            tilt=(rng.gauss(0, 0.4), 0.0, 0.0),
        )
    for _ in range(int(rng.randint(4, 22) * setting.crowd)):
        away = math.exp(rng.uniform(math.log(1.2), math.log(10.0))) * size
        half = tuple(math.exp(rng.gauss(-1.5, 0.7)) * size * (0.5 + away / size / 6) for _ in range(3))
        build.place(
            rng.uniform(-0.7, 0.7) * away,
            away,
            rng.uniform(-0.5, 0.5) * away + 1.5,
            speed=rng.choice((0.0, 0.1 * size)),
        )
        kind = rng.choices((BOX, ELLIPSOID, CYLINDER, FOLIAGE), (4, 4, 3, 1))[0]
        cut = things.material(rng, period=rng.uniform(0.1, 1.0) * size)
        build.part(
            kind, (0, 0, 0), (half[0], half[1], half[2]), cut, tilt=(rng.uniform(-3, 3), rng.uniform(-3, 3), 0.0)
        )
    ground = things.material(rng, period=size) if rng.random() < 0.3 else None
    return _finish(
        Draft(build, (0.0, 0.0, 1.5), rng.gauss(0, 0.1), rng.gauss(0, 0.15), 0.0, ground, reach=2.5 * size), setting
    )


KINDS = (street, field, room, tabletop, portrait, jumble)


def _line_with_buildings(build: Builder, half_road: float, half_gap: float) -> None:
    rng = build.rng
    for side in (-1.0, 1.0):
        along = rng.uniform(-15.0, 5.0)
        while along < 110.0 and rng.random() < 0.93:
            half = (rng.uniform(3.0, 12.0), rng.uniform(3.0, 8.0), rng.uniform(2.0, 11.0))
            build.place(side * (half_gap + half[1] + rng.uniform(0, 2.5)), along + half[0], yaw=math.pi / 2)
            things.building(build, half)
            along += 2 * half[0] + rng.choice((0.0, 0.0, rng.uniform(0.0, 12.0)))
        if rng.random() < 0.8:
            build.place(side * (half_road + 10.0), 60.0, yaw=0.0)
            paving = things.material(
                rng, pattern=rng.choice(("bricks", "checker", "noise")), period=rng.uniform(0.3, 1.0), contrast=0.3
            )
            build.part(BOX, (0.0, 0.0, 0.0), (10.0, 90.0, 0.14), paving)


def _paint_markings(build: Builder, half_road: float) -> None:
    rng = build.rng
    paint = things.plain(rng, (0.6, 0.6, 0.55))
    if rng.random() < 0.6:
        x = rng.choice((0.0, rng.uniform(-half_road, half_road)))
        for number in range(rng.randint(1, 7)):
            build.place(x, 2.0 + 6.0 * number, yaw=0.0)
            build.part(BOX, (0, 0, 0), (0.07, rng.uniform(1.0, 2.0), 0.006), paint)
    if rng.random() < 0.3:
        for number in range(6):
            build.place(-half_road + 0.5 + number * half_road / 3, rng.choice((6.0, 12.0)), yaw=0.0)
            build.part(BOX, (0, 0, 0), (0.25, 1.5, 0.006), paint)


def _furnish(build: Builder, wide: float, deep: float) -> None:
    rng = build.rng
    thing = rng.choice(_FURNITURE)
    x, y = rng.uniform(-0.9, 0.9) * wide, rng.uniform(-0.35, 0.92) * deep
    if thing is furniture.shelf:
        build.place(rng.choice((-1.0, 1.0)) * (wide - 0.2), y)
        build.yaw = 0.0 if build.origin[0] < 0 else math.pi
    else:
        build.place(
            x,
            y,
            yaw=rng.choice((None, 0.0, math.pi / 2, -math.pi / 2)),
            speed=rng.choice((0.0, 0.05)) if thing is things.person else 0.0,
        )
    thing(build)


def _set_wall(build: Builder) -> None:
    rng = build.rng
    build.place(0.0, rng.uniform(1.5, 8.0), yaw=rng.gauss(0, 0.3))
    build.part(
        BOX,
        (0, 0.1, 2.0),
        (12.0, 0.1, 4.0),
        things.material(rng, contrast=rng.uniform(0.2, 1.0), period=rng.uniform(0.1, 1.5)),
    )
    if rng.random() < 0.5:
        build.part(
            BOX,
            (rng.uniform(-1.5, 1.5), -0.03, 1.5),
            (rng.uniform(0.3, 1.2), 0.05, rng.uniform(0.3, 1.0)),
            things.material(rng, pattern="poster"),
        )


def _set_outdoors(build: Builder) -> None:
    rng = build.rng
    _scatter(build, things.tree, rng.randint(0, 4), (5.0, 40.0), 12.0)
    _scatter(build, things.bush, rng.randint(0, 3), (3.0, 15.0), 6.0)
    _scatter(build, things.person, rng.randint(0, 3), (4.0, 20.0), 6.0, speed=0.08)
    _scatter(build, things.car, rng.randint(0, 2), (6.0, 25.0), 8.0, speed=0.4)
    if rng.random() < 0.6:
        build.place(rng.uniform(-10, 10), rng.uniform(10, 40), yaw=0.0)
        things.building(build, (rng.uniform(4, 12), rng.uniform(3, 6), rng.uniform(2, 8)))


def _finish(draft: Draft, setting: Setting) -> Draft:
    rng = draft.builder.rng
    fov = math.radians(rng.uniform(*setting.fov_deg))
    draft.focal = 0.5 / math.tan(0.5 * fov)
    draft.pitch += rng.gauss(0.0, 0.05) * setting.tilt
    if rng.random() < 0.22 and draft.reach > 1.0:
        _occlude(draft, fov)
    draft.roll = rng.gauss(0.0, 0.05) * setting.tilt if rng.random() < 0.8 else rng.uniform(-0.3, 0.3)
    return draft


def _occlude(draft: Draft, fov: float) -> None:
    """Put something close to the camera, cut by the picture's edge as often as not."""
    build, rng = draft.builder, draft.builder.rng
    away = rng.uniform(0.7, 2.5)
    turn = draft.yaw + rng.choice((-1.0, 1.0)) * rng.uniform(0.15, 0.6) * fov
    x, y = draft.eye[0] - math.sin(turn) * away, draft.eye[1] + math.cos(turn) * away
    thing = rng.choice(
        (things.person, things.post, things.bicycle, furniture.seat, things.fence, furniture.crate, furniture.crate)
    )
    build.place(x, y, max(0.0, draft.eye[2] - rng.uniform(0.6, 1.9)))
    thing(build)


def _scatter(
    build: Builder,
    thing: Callable[[Builder], None],
    count: int,
    away: tuple[float, float],
    spread: float,
    *,
    yaw: float | None = None,
    speed: float = 0.0,
) -> None:
    for _ in range(count):
        y = math.exp(build.rng.uniform(math.log(away[0]), math.log(away[1])))
        limit = min(spread, y * 0.9 + 0.5)
        turn = None if yaw is None else yaw + build.rng.gauss(0.0, 0.1)
        moving = speed * build.rng.choice((0.0, 1.0, -1.0))
        build.place(build.rng.uniform(-limit, limit), y, yaw=turn, speed=moving)
        thing(build)
