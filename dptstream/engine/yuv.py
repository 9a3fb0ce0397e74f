"""Decoded pictures to RGB on any device, to the bit as FFmpeg's swscale does it on x86. Knows no decoder."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..frames import YuvForm, YuvMatrix


class _Factors(NamedTuple):
    """What V adds to red, U to blue, and U and V take from green, times 2**16, for brightness that spans the full range."""

    red_from_v: int
    blue_from_u: int
    green_from_u: int
    green_from_v: int


# ITU-R BT.601, BT.709 and BT.2020: 2 (1 - Kr), 2 (1 - Kb), 2 Kb (1 - Kb) / Kg, 2 Kr (1 - Kr) / Kg, times 255 / 224.
_FACTORS: dict[YuvMatrix, _Factors] = {
    "bt601": _Factors(104597, 132201, 25675, 53279),
    "bt709": _Factors(117489, 138438, 13975, 34925),
    "bt2020": _Factors(110013, 140363, 12277, 42626),
}
_LUMA_FROM_LIMITED = (1 << 16) * 255 // 219


def rgb_from_yuv(planes_bn: Tensor, form: YuvForm) -> Tensor:
    """Convert pictures: (B, byte_count) uint8 planes Y, U, V -> (B, H, W, 3) uint8, by tensor operations alone.

    Every block of 2x2 pixels has the colour stored for it, and each product is rounded down to 3 and 13 bits as swscale's
    fast converter does on x86, so the result is the same to the bit; swscale on other processors differs by up to 3.
    """
    height, width = form.height, form.width
    luma_bn, u_bn, v_bn = torch.split(planes_bn.int(), [height * width, *[height * width // 4] * 2], dim=1)
    luma_factor, offset = (1 << 13, 0) if form.full_range else (_rounded(_LUMA_FROM_LIMITED), 16 * 8)
    luma_bn = luma_bn.mul_(8 * luma_factor).sub_(offset * luma_factor).bitwise_right_shift_(16)
    luma_bhiwj = luma_bn.view(-1, height // 2, 2, width // 2, 2)
    u_bn, v_bn = ((plane_bn - 128) * 8 for plane_bn in (u_bn, v_bn))
    red, blue, green_u, green_v = (
        _rounded(factor * 224 // 255 if form.full_range else factor) for factor in _FACTORS[form.matrix]
    )
    colours = ((v_bn * red) >> 16, ((u_bn * -green_u) >> 16) + ((v_bn * -green_v) >> 16), (u_bn * blue) >> 16)
    rgb = torch.empty((len(planes_bn), height // 2, 2, width // 2, 2, 3), dtype=torch.uint8, device=planes_bn.device)
    for channel, colour_bn in enumerate(colours):
        colour_bh1w1 = colour_bn.view(-1, height // 2, 1, width // 2, 1)
        rgb[..., channel] = (luma_bhiwj + colour_bh1w1).clamp_(0, 255)
    return rgb.view(-1, height, width, 3)


def _rounded(factor: int) -> int:
    """Return a factor times 2**16 with 13 bits behind the point, as swscale keeps it."""
    return ((factor << 13) + (1 << 15)) >> 16
