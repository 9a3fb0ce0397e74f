"""What a batch of scenes is made of: solids, ground, light and two cameras, as tensors.

World axes: x right, y forward, z up, metres. Camera axes: x right, y down, z forward.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Solids:
    """The solids of B scenes, P each; unused ones lie far below the ground."""

    counts: tuple[int, int, int, int]
    """How many of the P are boxes, ellipsoids, cylinders and foliage, in this order."""
    rotation: Tensor
    """(B, P, 3, 3) the solid's frame from the world's, metres."""
    center: Tensor
    """(B, P, 3) in the world."""
    half: Tensor
    """(B, P, 3) half sizes along the solid's own axes, metres."""
    motion: Tensor
    """(B, P, 3) how far it moves in the world from the first view to the second."""
    material: Tensor
    """(B, P, MATERIAL_WIDTH)."""

    @property
    def matrix(self) -> Tensor:
        """Return (B, P, 3, 3): the unit shape's frame from the world's."""
        return self.rotation / self.half[..., None]


@dataclass(frozen=True, slots=True)
class Camera:
    """Where B pictures are taken from."""

    position: Tensor
    """(B, 3)."""
    world_from_camera: Tensor
    """(B, 3, 3) rotation."""
    focal: Tensor
    """(B,) in units of the picture's width."""


@dataclass(frozen=True, slots=True)
class Light:
    """What lights B scenes; colours are linear."""

    sun: Tensor
    """(B, 3) towards the sun, unit length; or where the lamp is, if ``lamp`` is 1."""
    sun_color: Tensor
    """(B, 3)."""
    lamp: Tensor
    """(B,) 0 where the light is a sun, 1 where it is a lamp at a place."""
    sky_top: Tensor
    """(B, 3)."""
    sky_horizon: Tensor
    """(B, 3), the fog's colour too."""
    ambient: Tensor
    """(B, 3) what reaches a surface from everywhere."""
    fog_per_m: Tensor
    """(B,)."""
    clouds: Tensor
    """(B, 2) cover 0..1 and seed."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """B scenes of one kind, seen twice."""

    solids: Solids
    ground_height: Tensor
    """(B,) height of the ground plane; minus infinity where there is none."""
    ground_material: Tensor
    """(B, MATERIAL_WIDTH)."""
    hills: Tensor | None
    """(B, 3) amplitude, wavelength and seed of hilly ground, or None for a plane."""
    light: Light
    cameras: tuple[Camera, Camera]
