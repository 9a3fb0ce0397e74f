"""The picture cut into patches, each projected to a token."""

from torch import Tensor, nn

from .config import Config


class PatchEmbed(nn.Module):
    """One linear layer over the pixels of each patch, done as a strided convolution."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.projection = nn.Conv2d(3, config.embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, images_bchw: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn (B, 3, H, W) into (B, N, C) tokens in row order and the patch grid's (height, width).

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of the patch size.
        """
        _check_pictures(images_bchw, self.patch_size)
        features_bchw = self.projection(images_bchw)
        height, width = features_bchw.shape[-2:]
        return features_bchw.flatten(2).transpose(1, 2), (height, width)


def _check_pictures(images_bchw: Tensor, multiple: int) -> None:
    shape = tuple(images_bchw.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"pictures have shape {shape}; give (B, 3, H, W)")
    height, width = shape[-2:]
    if min(height, width) < multiple or height % multiple or width % multiple:
        raise ValueError(
            f"picture is {height}x{width} (height x width); both must be positive multiples of {multiple}: resize it first"
        )
