"""The convolutional stem of the hybrid: a ResNet-50 without its last stage.

Kolesnikov et al.: Big Transfer (BiT), 2019 (https://arxiv.org/abs/1912.11370), in the arrangement that activates after
the sum. Two habits come from its TensorFlow origin: group norms in place of batch norms, and a stride of two
that pads one pixel more at the right and bottom than at the left and top. Its convolutions have standardised
weights (Qiao et al., https://arxiv.org/abs/1903.10520); that depends on the weights alone, so ``checkpoint.convert``
does it once and the convolutions here are plain.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 32


class Downsample(nn.Module):
    """What a skip connection passes through where the block changes the shape."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, channels, H / stride, W / stride)."""
        shortcut_bchw: Tensor = self.norm(self.conv(features_bchw))
        return shortcut_bchw


class Bottleneck(nn.Module):
    """Three convolutions, narrow in the middle, beside a skip connection."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        middle = channels // 4
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1 if stride == 1 else 0, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, middle)
        self.conv3 = nn.Conv2d(middle, channels, 1, bias=False)
        self.norm3 = nn.GroupNorm(GROUPS, channels)
        same_shape = in_channels == channels and stride == 1
        self.downsample = None if same_shape else Downsample(in_channels, channels, stride)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Transform (B, C, H, W), whose sides are even, into (B, channels, H / stride, W / stride)."""
        skip_bchw = features_bchw if self.downsample is None else self.downsample(features_bchw)
        features_bchw = F.relu(self.norm1(self.conv1(features_bchw)))
        if self.stride == 2:
            features_bchw = F.pad(features_bchw, (0, 1, 0, 1))
        features_bchw = F.relu(self.norm2(self.conv2(features_bchw)))
        return F.relu(self.norm3(self.conv3(features_bchw)) + skip_bchw)


class Stem(nn.Module):
    """The first convolution and a pooling: four pixels a cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 7, stride=2, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Turn (B, 3, H, W) into (B, C, H / 4, W / 4)."""
        features_bchw = F.relu(self.norm(self.conv(F.pad(images_bchw, (2, 3, 2, 3)))))
        # After the rectifier a border of zeros cannot win against a picture's own values.
        return F.max_pool2d(F.pad(features_bchw, (0, 1, 0, 1)), kernel_size=3, stride=2)


class ResNet(nn.Module):
    """The stem and its stages; each stage after the first halves the size, each doubles the channels."""

    def __init__(self, width: int, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = tuple(4 * width * 2**stage for stage in range(len(depths)))
        self.stem = Stem(width)
        self.stages = nn.ModuleList()
        in_channels = width
        for stage, (depth, channels) in enumerate(zip(depths, self.channels, strict=True)):
            first = Bottleneck(in_channels, channels, stride=1 if stage == 0 else 2)
            others = (Bottleneck(channels, channels, stride=1) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(first, *others))
            in_channels = channels

    def forward(self, images_bchw: Tensor) -> list[Tensor]:
        """Return the output of every stage, at 4, 8, 16, ... pixels a cell; sides are multiples of the last."""
        features_bchw = self.stem(images_bchw)
        outputs = []
        for stage in self.stages:
            features_bchw = stage(features_bchw)
            outputs.append(features_bchw)
        return outputs
