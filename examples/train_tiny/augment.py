"""Turn clean renderings into what cameras and codecs deliver, whole batches at a time.

Geometry (crop, zoom, flip) moves pictures, inverse depth and flow alike. Everything else changes the
pictures alone. The second view of a pair gets the same treatment as the first, but its own noise.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
"""Edge of the blocks that the imitation of JPEG works on."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network sees and should say; P pairs come as 2P pictures, pair by pair."""

    rgb: Tensor
    """(N, 3, H, W) in 0..1."""
    inverse: Tensor
    """(N, H, W) inverse depth in 1/m; 0 for the sky."""
    flow: Tensor | None
    """(N/2, H, W, 2) pixels from the first view to the second, NaN where hidden; None if unpaired."""


def crop(batch: Batch, size_hw: tuple[int, int], zoom: tuple[float, float], rng: torch.Generator) -> Batch:
    """Cut a random window of every picture (of every pair) and resize it, sometimes mirrored.

    Args:
        batch: What to cut from.
        size_hw: Height and width of the result.
        rng: Decides the windows.
        zoom: Least and greatest share of the picture's width that the window covers.
    """
    count, _, height, width = batch.rgb.shape
    repeat = 1 if batch.flow is None else 2
    kinds = count // repeat
    share = torch.empty(kinds).uniform_(*zoom, generator=rng)
    stretch = torch.empty(kinds).uniform_(-0.12, 0.12, generator=rng).exp()
    part_y = (share * width / height * size_hw[0] / size_hw[1] * stretch).clamp(max=1.0)
    part_x = share
    slack = torch.rand(2, kinds, generator=rng) * 2.0 - 1.0
    shift_x, shift_y = slack[0] * (1.0 - part_x), slack[1] * (1.0 - part_y)
    mirror = torch.where(torch.rand(kinds, generator=rng) < 0.5, -1.0, 1.0)
    grid = _window_grid(part_x * mirror, part_y, shift_x, shift_y, size_hw).to(batch.rgb.device)
    full = grid.repeat_interleave(repeat, dim=0)
    rgb = F.grid_sample(batch.rgb, full, mode="bilinear", padding_mode="border", align_corners=False)
    inverse = F.grid_sample(batch.inverse[:, None], full, mode="nearest", padding_mode="border", align_corners=False)[
        :, 0
    ]
    if batch.flow is None:
        return Batch(rgb, inverse, None)
    flow = F.grid_sample(
        batch.flow.permute(0, 3, 1, 2), grid, mode="nearest", padding_mode="border", align_corners=False
    ).permute(0, 2, 3, 1)
    scale = torch.stack([mirror * size_hw[1] / (part_x * width), size_hw[0] / (part_y * height)], dim=1).to(flow)
    return Batch(rgb, inverse, flow * scale[:, None, None])


def photograph(batch: Batch, rng: torch.Generator) -> Batch:
    """Imitate lenses, sensors, processing and codecs."""
    rgb = batch.rgb
    count = rgb.shape[0]
    repeat = 1 if batch.flow is None else 2
    rgb = _defocus(rgb, batch.inverse, _amounts(count, repeat, 0.25, rng))
    rgb = _grade(rgb, repeat, rng)
    rgb = _vignette(rgb, _amounts(count, repeat, 0.3, rng))
    rgb = _soften(rgb, _amounts(count, repeat, 0.4, rng))
    rgb = _smear(rgb, _amounts(count, repeat, 0.08, rng))
    rgb = _coarsen(rgb, _amounts(count, repeat, 0.12, rng))
    rgb = _noise(rgb, _amounts(count, repeat, 0.4, rng), rng)
    rgb = _block_code(rgb, _amounts(count, repeat, 0.3, rng))
    return Batch(rgb.clamp(0.0, 1.0), batch.inverse, batch.flow)


def _window_grid(part_x: Tensor, part_y: Tensor, shift_x: Tensor, shift_y: Tensor, size_hw: tuple[int, int]) -> Tensor:
    height, width = size_hw
    y = (torch.arange(height) + 0.5) * 2.0 / height - 1.0
    x = (torch.arange(width) + 0.5) * 2.0 / width - 1.0
    grid_x = (x[None] * part_x[:, None] + shift_x[:, None])[:, None, :].expand(-1, height, -1)
    grid_y = (y[None] * part_y[:, None] + shift_y[:, None])[:, :, None].expand(-1, -1, width)
    return torch.stack([grid_x, grid_y], dim=3)


def _amounts(count: int, repeat: int, share: float, rng: torch.Generator) -> Tensor:
    """Return (count, 1, 1, 1) in [0, 1]: 0 for all but ``share`` of the pictures or pairs."""
    amount = torch.rand(count // repeat, generator=rng)
    chosen = torch.rand(count // repeat, generator=rng) < share
    return (amount * chosen).repeat_interleave(repeat)[:, None, None, None]


def _only(rgb: Tensor, amount: Tensor) -> tuple[Tensor, Tensor]:
    chosen = amount[:, 0, 0, 0] > 0
    return chosen, rgb[chosen]


def _grade(rgb: Tensor, repeat: int, rng: torch.Generator) -> Tensor:
    kinds = rgb.shape[0] // repeat

    def draw(spread: float, *shape: int) -> Tensor:
        values = (torch.rand(kinds, *shape, generator=rng) * 2.0 - 1.0) * spread
        return values.repeat_interleave(repeat, dim=0).to(rgb)

    gray = rgb.mean(dim=1, keepdim=True)
    saturation = (1.0 + draw(0.8, 1, 1, 1)) * (draw(1.0, 1, 1, 1) > -0.86)
    rgb = (gray + saturation * (rgb - gray)).clamp(0.0, 1.0)
    rgb = rgb ** torch.exp(draw(0.3, 1, 1, 1))
    middle = rgb.mean(dim=(1, 2, 3), keepdim=True)
    rgb = middle + (rgb - middle) * torch.exp(draw(0.25, 1, 1, 1))
    return (rgb * torch.exp(draw(0.12, 3, 1, 1)) * torch.exp(draw(0.2, 1, 1, 1))).clamp(0.0, 1.0)


def _blur(rgb: Tensor, sigma: float) -> Tensor:
    """Blur by a Gaussian; sums of shifted pictures, far faster on a CPU than a depthwise convolution."""
    radius = max(1, math.ceil(2.0 * sigma))
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    weights = [weight / sum(weights) for weight in weights]
    height, width = rgb.shape[-2:]
    padded = F.pad(rgb, (radius, radius, radius, radius), mode="replicate")
    across = weights[0] * padded[..., :width]
    for offset, weight in enumerate(weights[1:], start=1):
        across.add_(padded[..., offset : offset + width], alpha=weight)
    blurred = weights[0] * across[..., :height, :]
    for offset, weight in enumerate(weights[1:], start=1):
        blurred.add_(across[..., offset : offset + height, :], alpha=weight)
    return blurred


def _defocus(rgb: Tensor, inverse: Tensor, amount: Tensor) -> Tensor:
    """Blur what lies well behind or before a random distance, as a wide aperture does."""
    chosen, some = _only(rgb, amount)
    if not len(some):
        return rgb
    strength = amount[chosen].to(rgb)
    depth_map = inverse[chosen][:, None]
    near = depth_map.flatten(1).quantile(0.9, dim=1).clamp(min=1e-3)[:, None, None, None]
    focus = near * (0.3 + 0.7 * torch.frac(strength * 37.0))
    off = ((depth_map - focus).abs() / focus * (1.0 + 2.0 * strength) - 0.25).clamp(0.0, 1.0)
    sigma = 1.2 + 2.3 * float(strength.mean())
    blurred = some + _blur(off, 0.8) * (_blur(some, sigma) - some)
    return torch.index_put(rgb, (chosen,), blurred)


def _vignette(rgb: Tensor, amount: Tensor) -> Tensor:
    height, width = rgb.shape[-2:]
    y = torch.linspace(-1, 1, height, device=rgb.device)[:, None]
    x = torch.linspace(-1, 1, width, device=rgb.device)[None]
    return rgb * (1.0 - 0.35 * amount.to(rgb) * (x * x + y * y))


def _soften(rgb: Tensor, amount: Tensor) -> Tensor:
    amount = amount.to(rgb)
    return rgb + amount * 1.2 * (_blur(rgb, 0.8) - rgb)


def _smear(rgb: Tensor, amount: Tensor) -> Tensor:
    """Blur along x, as a panning camera does."""
    chosen, some = _only(rgb, amount)
    if not len(some):
        return rgb
    smeared = F.avg_pool2d(F.pad(some, (3, 3, 0, 0), mode="replicate"), (1, 7), stride=1)
    return torch.index_put(rgb, (chosen,), some + amount[chosen].to(rgb) * (smeared - some))


def _coarsen(rgb: Tensor, amount: Tensor) -> Tensor:
    chosen, some = _only(rgb, amount)
    if not len(some):
        return rgb
    small = F.interpolate(some, scale_factor=0.5, mode="area")
    return torch.index_put(
        rgb, (chosen,), F.interpolate(small, size=some.shape[-2:], mode="bilinear", align_corners=False)
    )


def _noise(rgb: Tensor, amount: Tensor, rng: torch.Generator) -> Tensor:
    grain = torch.randn(rgb.shape, generator=rng).to(rgb)
    blotch = F.interpolate(grain[:, :, ::2, ::2], size=rgb.shape[-2:], mode="bilinear", align_corners=False)
    return rgb + (amount**2 * 0.05).to(rgb) * (grain + 0.7 * blotch)


def _block_code(rgb: Tensor, amount: Tensor) -> Tensor:
    """Quantise 8x8 cosine blocks, coarser at high frequencies, as JPEG and video codecs do."""
    chosen, some = _only(rgb, amount)
    height, width = rgb.shape[-2:]
    if not len(some) or height % BLOCK or width % BLOCK:
        return rgb
    order = torch.arange(BLOCK, device=rgb.device)
    basis = torch.cos(math.pi / BLOCK * (order[None] + 0.5) * order[:, None]) * math.sqrt(2.0 / BLOCK)
    basis[0] /= math.sqrt(2.0)
    blocks = some.reshape(-1, 3, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    step = (1.0 + 0.6 * (order[:, None] + order[None])) * 0.1
    step = step * amount[chosen].to(rgb)[..., None, None] + 1e-3
    coded = torch.round((basis @ blocks @ basis.T) / step) * step
    restored = (basis.T @ coded @ basis).transpose(3, 4).reshape(some.shape)
    return torch.index_put(rgb, (chosen,), restored)
