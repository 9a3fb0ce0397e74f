"""What Video-Depth-Anything adds to the decoder: attention along time, at four places of the fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config
from .fusion import Fusion
from .size_tables import SizeTables

WINDOW = 32
"""Frames that attention spans at most; the positions in time were trained for these."""
HEAD_COUNT = 8
PLACE_COUNT = 4
ATTENTION_COUNT = 2
PIXELS_AT_ONCE = 32768  # attention kernels launch one block a pixel along a grid axis that ends at 65535

Memory = tuple[Tensor, ...]
"""What one frame leaves for later ones: eight tensors (pixels, C), two for each of the four places, in order."""


class TemporalAttention(nn.Module):
    """Self-attention of one pixel along time, with sinusoidal positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.queries = nn.Linear(channels, channels, bias=False)
        self.keys = nn.Linear(channels, channels, bias=False)
        self.values = nn.Linear(channels, channels, bias=False)
        self.projection = nn.Linear(channels, channels)
        self._position_tables = SizeTables()

    def forward(self, tokens_ptc: Tensor) -> Tensor:
        """Let all frames of a clip see each other; keep the shape (pixels, T, C)."""
        placed_ptc = tokens_ptc + self.positions(tokens_ptc)
        queries, keys, values = (_split_heads(layer(placed_ptc)) for layer in (self.queries, self.keys, self.values))
        mixed_phtd = F.scaled_dot_product_attention(queries, keys, values)
        projected_ptc: Tensor = self.projection(mixed_phtd.transpose(1, 2).flatten(2))
        return projected_ptc

    def recall(self, newest_pc: Tensor, earlier_pc: Sequence[Tensor]) -> Tensor:
        """Let the newest frame see 31 earlier ones, oldest first; return (pixels, C).

        With one query a pixel, projecting 32 keys and values is most of the work. As (W x) . q = x . (W' q), the query is
        projected into the space of the tokens instead, and the weighted sum of tokens out of it: the same numbers for a
        tenth of the work, and no keys or values to keep.
        """
        window_ptc = torch.stack((*earlier_pc, newest_pc), dim=1)
        window_ptc = window_ptc + self.positions(window_ptc)
        channels = newest_pc.shape[1]
        per_head = (HEAD_COUNT, channels // HEAD_COUNT, channels)
        queries_hpd = self.queries(window_ptc[:, -1]).unflatten(1, per_head[:2]).transpose(0, 1)
        queries_phc = torch.bmm(queries_hpd, self.keys.weight.view(per_head)).transpose(0, 1)
        scores_pht = torch.bmm(queries_phc, window_ptc.transpose(1, 2)) * per_head[1] ** -0.5
        mixed_phc = torch.bmm(scores_pht.softmax(dim=-1), window_ptc)
        values_hpd = torch.bmm(mixed_phc.transpose(0, 1), self.values.weight.view(per_head).transpose(1, 2))
        projected_pc: Tensor = self.projection(values_hpd.transpose(0, 1).flatten(1))
        return projected_pc

    def positions(self, tokens_ptc: Tensor) -> Tensor:
        """Return the sinusoidal positions (T, C) of the first T places in time."""
        _, count, channels = tokens_ptc.shape
        return self._position_tables.fetch(
            (count, channels), tokens_ptc, lambda: _sinusoids(count, channels, tokens_ptc)
        )


class TemporalModule(nn.Module):
    """One transformer block along time: two attentions and a gated MLP, added to the features it was given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.enter = nn.Linear(channels, channels)
        self.attention_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(ATTENTION_COUNT))
        self.attentions = nn.ModuleList(TemporalAttention(channels) for _ in range(ATTENTION_COUNT))
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp_expand = nn.Linear(channels, 8 * channels)
        self.mlp_contract = nn.Linear(4 * channels, channels)
        self.leave = nn.Linear(channels, channels)

    def forward(self, features_nchw: Tensor, frame_count: int) -> Tensor:
        """Mix the frames of each clip; N counts clips times ``frame_count``."""
        tokens_npc = self._tokens(features_nchw)
        count, pixels, channels = tokens_npc.shape
        clips = (count // frame_count, frame_count, pixels, channels)
        tokens_ptc = tokens_npc.view(clips).transpose(1, 2).flatten(0, 1)
        mixed_ptc = torch.cat([self._mix(part_ptc) for part_ptc in torch.split(tokens_ptc, PIXELS_AT_ONCE)])
        mixed_npc = mixed_ptc.view(clips[0], pixels, frame_count, channels).transpose(1, 2).flatten(0, 1)
        return self._add(features_nchw, mixed_npc)

    def step(self, features_bchw: Tensor, earlier: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Memory]:
        """Let the newest frame see earlier ones by what they left; return the features and what this frame leaves.

        ``earlier`` holds, for each attention, 31 tensors (pixels, C), or none for the first frame, which sees itself alone.
        """
        tokens_bpc = self._tokens(features_bchw)
        tokens_pc = tokens_bpc.flatten(0, 1)
        left = []
        for attention, norm, earlier_pc in zip(self.attentions, self.attention_norms, earlier, strict=True):
            assert isinstance(attention, TemporalAttention)
            newest_pc = norm(tokens_pc)
            left.append(newest_pc)
            mixed_pc = attention.recall(newest_pc, earlier_pc) if earlier_pc else attention(newest_pc[:, None])[:, 0]
            tokens_pc = tokens_pc + mixed_pc
        tokens_pc = tokens_pc + self._mlp(tokens_pc)
        return self._add(features_bchw, tokens_pc.view_as(tokens_bpc)), tuple(left)

    def _tokens(self, features_nchw: Tensor) -> Tensor:
        tokens_npc: Tensor = self.enter(self.norm(features_nchw).flatten(2).transpose(1, 2))
        return tokens_npc

    def _mix(self, tokens_ptc: Tensor) -> Tensor:
        for attention, norm in zip(self.attentions, self.attention_norms, strict=True):
            tokens_ptc = tokens_ptc + attention(norm(tokens_ptc))
        return tokens_ptc + self._mlp(tokens_ptc)

    def _mlp(self, tokens: Tensor) -> Tensor:
        values, gate = self.mlp_expand(self.mlp_norm(tokens)).chunk(2, dim=-1)
        contracted: Tensor = self.mlp_contract(values * F.gelu(gate))
        return contracted

    def _add(self, features_nchw: Tensor, tokens_npc: Tensor) -> Tensor:
        change_npc: Tensor = self.leave(tokens_npc)
        return features_nchw + change_npc.transpose(1, 2).reshape(features_nchw.shape)


class TemporalFusion(Fusion):
    """The fusion of Video-Depth-Anything: frames see each other on levels 2 and 3, and after the two coarsest steps.

    Chen et al., "Video Depth Anything: Consistent Depth Estimation for Super-Long Videos" (https://arxiv.org/abs/2501.12375).
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        _, _, third, fourth = config.level_channels
        places = (third, fourth, config.fusion_channels, config.fusion_channels)
        self.temporal = nn.ModuleList(TemporalModule(channels) for channels in places)

    def steps(self, levels_bchw: Sequence[Tensor]) -> list[Tensor]:
        """Fuse pictures that have nothing to do with each other, clips of one frame; return every step, coarsest first."""
        coarsest_bchw, coarse_bchw, adapted_bchw = self.begin(levels_bchw, frame_count=1)
        fine_bchw = self.fuse(1, coarse_bchw, adapted_bchw)
        return [coarsest_bchw, coarse_bchw, fine_bchw, self.fuse(0, fine_bchw, adapted_bchw)]

    def begin(self, levels_nchw: Sequence[Tensor], *, frame_count: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Do the two coarsest steps, where frames are mixed; return both, and the two finest levels, adapted."""
        finest, fine, coarse, coarsest = levels_nchw
        coarse, coarsest = self.temporal[0](coarse, frame_count), self.temporal[1](coarsest, frame_count)
        adapted_nchw = self.adapt((finest, fine, coarse, coarsest))
        first_nchw: Tensor = self.temporal[2](self.fuse(3, None, adapted_nchw), frame_count)
        second_nchw: Tensor = self.temporal[3](self.fuse(2, first_nchw, adapted_nchw), frame_count)
        return first_nchw, second_nchw, adapted_nchw[:2]

    def finish(self, fused_nchw: Tensor, adapted_nchw: Sequence[Tensor]) -> Tensor:
        """Do the two finest steps, in which every frame is by itself."""
        return self.fuse(0, self.fuse(1, fused_nchw, adapted_nchw), adapted_nchw)

    def step(self, levels_bchw: Sequence[Tensor], earlier: Sequence[Memory]) -> tuple[Tensor, Memory]:
        """Fuse the newest frame, which sees ``earlier`` frames (31 or none); return its features and what it leaves."""
        finest, fine, coarse, coarsest = levels_bchw
        coarse, left_0 = self._step_place(0, coarse, earlier)
        coarsest, left_1 = self._step_place(1, coarsest, earlier)
        adapted_bchw = self.adapt((finest, fine, coarse, coarsest))
        fused_bchw, left_2 = self._step_place(2, self.fuse(3, None, adapted_bchw), earlier)
        fused_bchw, left_3 = self._step_place(3, self.fuse(2, fused_bchw, adapted_bchw), earlier)
        return self.finish(fused_bchw, adapted_bchw), (*left_0, *left_1, *left_2, *left_3)

    def _step_place(self, place: int, features_bchw: Tensor, earlier: Sequence[Memory]) -> tuple[Tensor, Memory]:
        first = place * ATTENTION_COUNT
        here = [[memory[index] for memory in earlier] for index in range(first, first + ATTENTION_COUNT)]
        module = self.temporal[place]
        assert isinstance(module, TemporalModule)
        return module.step(features_bchw, here)


def _split_heads(tokens_ptc: Tensor) -> Tensor:
    pixels, count, channels = tokens_ptc.shape
    return tokens_ptc.view(pixels, count, HEAD_COUNT, channels // HEAD_COUNT).transpose(1, 2)


def _sinusoids(count: int, channels: int, like: Tensor) -> Tensor:
    """Return (count, channels): sines on even channels, cosines on odd ones, wavelengths from 2 pi to 10000 times that."""
    places = torch.arange(count, device=like.device, dtype=torch.float32)[:, None]
    even_channels = torch.arange(0, channels, 2, device=like.device, dtype=torch.float32)
    angles = places * torch.exp(even_channels * (-math.log(10000.0) / channels))
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1).to(like.dtype)
