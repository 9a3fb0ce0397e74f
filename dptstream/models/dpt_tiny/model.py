"""The dpt_tiny network. Knows nothing of files, pictures or video."""

import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .decoder import Fusion, Head, Reassemble
from .encoder import ConvNorm, ImageEncoder


class Model(nn.Module):
    """Vision Transformers for Dense Prediction, the hybrid, in miniature.

    Ranftl, Bochkovskiy, Koltun, 2021, https://arxiv.org/abs/2103.13413. What differs here: the
    convolutional part is a few residual blocks, positions come from a depthwise convolution, and
    the head joins the stem's half-resolution picture, so that edges stay sharp in a small network.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_embed = ConvNorm(3, config.stem_channels, stride=2)
        self.image_encoder = ImageEncoder(config)
        self.reassemble = Reassemble(config)
        self.fusion = Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return relative inverse depth (B, H, W), larger is nearer, never negative.

        Args:
            images_bchw: RGB normalised with the checkpoint's mean and std; H and W are multiples
                of 16.
        """
        stem = F.relu(self.patch_embed(images_bchw))
        levels = self.image_encoder(stem)
        reassembled = self.reassemble(levels)
        fused = self.fusion(reassembled)
        inverse_depth: Tensor = self.head(fused, stem)
        return inverse_depth


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the module's state dict from the file's: the same keys, as the file is our own."""
    return dict(state_dict)
