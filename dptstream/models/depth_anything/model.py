"""Depth Anything, assembled: a DPT decoder on a DINOv2 encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import Config
from .features import AttentionAt, Features
from .fusion import Fusion
from .head import Head
from .image_encoder import ImageEncoder, PatchEmbed
from .reassemble import Reassemble
from .temporal_head import WINDOW, TemporalFusion
from .video import StreamState

FRAMES_AT_ONCE = 4
"""Frames of a clip that go through the encoder, and through the finest steps, together; bounds memory, not results."""


class Model(nn.Module):
    """A network of the Depth Anything family.

    Yang et al., "Depth Anything" (https://arxiv.org/abs/2401.10891) and "Depth Anything V2" (https://arxiv.org/abs/2406.09414);
    Lin et al., "Depth Anything 3" (https://arxiv.org/abs/2511.10647), its monocular models; Chen et al., "Video Depth Anything"
    (https://arxiv.org/abs/2501.12375). The decoder is that of "Vision Transformers for Dense Prediction"
    (https://arxiv.org/abs/2103.13413).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.image_encoder = ImageEncoder(config)
        self.reassemble = Reassemble(config)
        self.fusion = TemporalFusion(config) if config.has_temporal_head else Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Estimate ``config.depth_kind`` for normalised RGB pictures: (B, 3, H, W) -> (B, H, W) float32.

        The pictures have nothing to do with each other. A video network also takes clips, (B, T, 3, H, W) -> (B, T, H, W), of
        up to 32 frames that see each other.

        Raises:
            ValueError: a side is not a positive multiple of 14, or it is a clip and no video network, or too long.
        """
        if images_bchw.ndim == 5:
            return self._forward_clips(images_bchw)
        tokens_bnc, patch_grid_hw = self.patch_embed(images_bchw)
        taps_bnc = self.image_encoder(tokens_bnc, patch_grid_hw)
        levels_bchw = self.reassemble(taps_bnc, patch_grid_hw)
        fused_bchw = self.fusion(levels_bchw)
        depth_bhw: Tensor = self.head(fused_bchw, patch_grid_hw)
        return depth_bhw

    def depth_and_sky(self, images_bchw: Tensor) -> tuple[Tensor, Tensor]:
        """Return V3's two outputs as they are, each (B, H, W) float32: depth, which means nothing in the sky, and sky from 0.3 on.

        Raises:
            ValueError: this is no network of V3, or a side is not a positive multiple of 14.
        """
        levels_bchw, patch_grid_hw = self._levels(images_bchw)
        depth_bhw, sky_bhw = self.head.depth_and_sky(self.fusion(levels_bchw), patch_grid_hw)
        if sky_bhw is None:
            raise ValueError(f"variant {self.config.variant!r} tells no sky; v3-mono and v3-metric do")
        return depth_bhw, sky_bhw

    @torch.no_grad()
    def features(
        self,
        images_bchw: Tensor,
        *,
        attention_block: int | None = None,
        attention_at: AttentionAt | None = None,
        level_scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    ) -> Features:
        """Run the network on pictures and return what it computes on the way.

        Args:
            images_bchw: (B, 3, H, W) as for ``forward``.
            attention_block: the block of the encoder, from 0, whose attention is wanted; costs another run up to it.
            attention_at: whose attention is wanted, (x, y) in [0, 1) or "class"; every token's by default, which takes
                heads * N² values.
            level_scales: factors of the four reassembled levels, finest first; 0 hides a level from the fusion.

        Raises:
            ValueError: a side is not a positive multiple of 14, or there is no such block or point.
        """
        tokens_bnc, patch_grid_hw = self.patch_embed(images_bchw)
        attention_bhqn = None
        if attention_block is not None:
            attention_bhqn = self.image_encoder.attention(tokens_bnc, patch_grid_hw, attention_block, attention_at)
        tapped_bnc = self.image_encoder.tapped(tokens_bnc, patch_grid_hw)
        levels_bchw = self.reassemble(self.image_encoder.normalised_patches(tapped_bnc), patch_grid_hw)
        levels_bchw = [level * scale for level, scale in zip(levels_bchw, level_scales, strict=True)]
        fused_bchw = self.fusion.steps(levels_bchw)
        depth_bhw = self.head(fused_bchw[-1], patch_grid_hw)
        return Features(
            tokens_bnc=tuple(tapped_bnc),
            token_grids_hw=(patch_grid_hw,) * len(tapped_bnc),
            attention_bhqn=attention_bhqn,
            attention_grid_hw=None if attention_bhqn is None else patch_grid_hw,
            levels_bchw=tuple(levels_bchw),
            fused_bchw=tuple(reversed(fused_bchw)),
            depth_bhw=depth_bhw,
        )

    def initial_state(self) -> StreamState:
        """Return the empty memory of a new feed, for ``step``.

        Raises:
            ValueError: this is no video network.
        """
        self._temporal_fusion()
        return StreamState()

    def step(self, images_bchw: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Estimate the next picture of B feeds in step, (B, 3, H, W) -> (B, H, W) float32, and return what they remember.

        This is the authors' streaming: the frame sees its feed's first frame, the one 41 frames ago and the last 29, and
        earlier depths are never revised.

        Raises:
            ValueError: this is no video network, or the pictures' shape is not that of the frames before.
        """
        fusion = self._temporal_fusion()
        shape = tuple(images_bchw.shape)
        if state.shape and shape != state.shape:
            raise ValueError(
                f"the pictures have shape {shape}, those before {state.shape}: start anew with initial_state()"
            )
        levels_bchw, patch_grid_hw = self._levels(images_bchw)
        fused_bchw, left = fusion.step(levels_bchw, state.window())
        return self.head(fused_bchw, patch_grid_hw), state.after(left, shape)

    def _forward_clips(self, clips_btchw: Tensor) -> Tensor:
        fusion = self._temporal_fusion()
        clip_count, frame_count = clips_btchw.shape[:2]
        if not 1 <= frame_count <= WINDOW:
            raise ValueError(
                f"a clip has {frame_count} frames; allowed are 1 to {WINDOW}: use OfflineVideo or step() for more"
            )
        parts = [self._levels(part_nchw) for part_nchw in torch.split(clips_btchw.flatten(0, 1), FRAMES_AT_ONCE)]
        patch_grid_hw = parts[0][1]
        levels_nchw = [torch.cat(level) for level in zip(*(levels for levels, _ in parts), strict=True)]
        _, fused_nchw, adapted_nchw = fusion.begin(levels_nchw, frame_count=frame_count)
        splits = zip(*(torch.split(whole, FRAMES_AT_ONCE) for whole in (fused_nchw, *adapted_nchw)), strict=True)
        depth_nhw = torch.cat([self.head(fusion.finish(fused, adapted), patch_grid_hw) for fused, *adapted in splits])
        return depth_nhw.view(clip_count, frame_count, *depth_nhw.shape[1:])

    def _levels(self, images_bchw: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        tokens_bnc, patch_grid_hw = self.patch_embed(images_bchw)
        return self.reassemble(self.image_encoder(tokens_bnc, patch_grid_hw), patch_grid_hw), patch_grid_hw

    def _temporal_fusion(self) -> TemporalFusion:
        if isinstance(self.fusion, TemporalFusion):
            return self.fusion
        raise ValueError(f"variant {self.config.variant!r} takes single pictures; video and video-metric take clips")
