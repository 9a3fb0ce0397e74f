"""The sheets of ``dptstream inspect``: what a network computes on the way to the depth of one picture. Writes no file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.base import Features
from ..models.network import NetworkModel
from .sheets import PAPER, Image, Panel, heat, mark, overlay, principal_colors, sheet, span_note

WHOLE = (1.0, 1.0, 1.0, 1.0)
Scales = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What the user wants to see."""

    block: int
    """Block of the encoder, from 0, whose attention is shown."""
    at: tuple[float, float] | Literal["class"]
    """Whose attention: of a point (x, y) of the picture, in [0, 1), or of the class token."""
    head: int | None = None
    """One head alone; None shows the mean and every head."""
    level_scales: Scales = WHOLE
    """Factors of the four reassembled levels, finest first."""


def draw_sheets(
    model: NetworkModel, rgb_hwc: Image, input_hw: tuple[int, int], look: Look
) -> Iterator[tuple[str, Image]]:
    """Run the network on a picture and give a name and a sheet at a time.

    Raises:
        ValueError: There is no such block, head or point, or the size does not suit the network.
    """
    images_bchw = model.preprocess(torch.from_numpy(np.array(rgb_hwc))[None].to(model.device), input_hw)
    features = model.features(
        images_bchw, attention_block=look.block, attention_at=look.at, level_scales=look.level_scales
    )
    titles = _Titles(model, input_hw, look)
    yield "attention", _attention_sheet(features, rgb_hwc, look, titles)
    yield "tokens", _tokens_sheet(features, rgb_hwc, titles)
    yield "levels", _maps_sheet(features.levels_bchw, rgb_hwc, "level", titles, "Reassembled levels")
    yield "fusion", _maps_sheet(features.fused_bchw, rgb_hwc, "after fusing level", titles, "Fusion steps")
    yield "depth", _depth_sheet(model, images_bchw, features, rgb_hwc, titles)


@dataclass(frozen=True, slots=True)
class _Titles:
    """Words that several sheets share."""

    model: NetworkModel
    input_hw: tuple[int, int]
    look: Look

    def of(self, what: str) -> str:
        """Return the title of a sheet."""
        info = self.model.info
        return f"{what} - {info.name} ({info.family}, {info.variant})".replace(", )", ")")

    def note(self, words: str) -> str:
        """Return the line below it, with the network's size and the scales where they are not all 1."""
        height, width = self.input_hw
        scales = "" if self.look.level_scales == WHOLE else f"; levels scaled by {scale_words(self.look.level_scales)}"
        return f"network input {width} x {height}{scales}; {words}"


def scale_words(scales: Scales) -> str:
    """Return the factors as they are written after --level-scale."""
    return ",".join(f"{scale:g}" for scale in scales)


def _attention_sheet(features: Features, picture: Image, look: Look, titles: _Titles) -> Image:
    assert features.attention_bhqn is not None
    assert features.attention_grid_hw is not None
    weights_hn = features.attention_bhqn[0, :, 0].float().cpu()
    rows, columns = features.attention_grid_hw
    class_tokens = weights_hn.shape[1] - rows * columns
    maps_hij = weights_hn[:, class_tokens:].reshape(-1, rows, columns).numpy()
    if look.head is not None and not 0 <= look.head < len(maps_hij):
        raise ValueError(f"head is {look.head}; block {look.block} has heads 0 to {len(maps_hij) - 1}")

    def panel(title: str, values_hw: NDArray[np.float32], share: float) -> Panel:
        to_class = f", class token {share:.1%}" if class_tokens else ""
        return Panel(title, overlay(picture, values_hw), f"most on one patch {values_hw.max():.2%}{to_class}")

    shares = weights_hn[:, :class_tokens].sum(dim=1).numpy()
    who = "class token" if look.at == "class" else f"point {look.at[0]:.2f}, {look.at[1]:.2f}"
    shown = picture if look.at == "class" else mark(picture, look.at)
    panels = [Panel("picture", shown, f"looking: {who}")]
    if look.head is None:
        panels.append(panel("mean of all heads", maps_hij.mean(axis=0), float(shares.mean())))
        panels += [panel(f"head {head}", values_hw, float(shares[head])) for head, values_hw in enumerate(maps_hij)]
    else:
        panels.append(panel(f"head {look.head}", maps_hij[look.head], float(shares[look.head])))
    words = f"grid {columns} x {rows}; each map is bright where the {who} looks, dark where it does not"
    columns_of_sheet = 2 if look.head is not None else 4 if len(panels) <= 8 else 6
    return sheet(titles.of(f"Attention of block {look.block}"), titles.note(words), panels, columns=columns_of_sheet)


def _tokens_sheet(features: Features, picture: Image, titles: _Titles) -> Image:
    config: Any = titles.model.network.config
    panels = [Panel("picture", picture)]
    for tap, tokens_bnc, (rows, columns) in zip(config.taps, features.tokens_bnc, features.token_grids_hw, strict=True):
        norms_n = tokens_bnc[0].float().norm(dim=-1).cpu()
        class_tokens = len(norms_n) - rows * columns
        norms_hw = norms_n[class_tokens:].reshape(rows, columns).numpy()
        note = span_note(norms_hw) + (f", class token {norms_n[0]:.3g}" if class_tokens else "")
        panels.append(Panel(f"after block {tap}: {columns} x {rows} tokens", heat(norms_hw), note))
    words = "length of every patch's token where the decoder taps the encoder"
    return sheet(titles.of("Token norms"), titles.note(words), panels, columns=len(panels))


def _maps_sheet(maps_bchw: tuple[Tensor, ...], picture: Image, name: str, titles: _Titles, title: str) -> Image:
    lengths, colors = [Panel("picture", picture)], [Panel("", np.full_like(picture, PAPER))]
    for number, map_bchw in enumerate(maps_bchw, start=1):
        features_chw = map_bchw[0].float().cpu().numpy()
        channels, height, width = features_chw.shape
        length_hw = np.sqrt(np.square(features_chw).mean(axis=0))
        size = f"{width} x {height}, {channels} channels"
        lengths.append(Panel(f"{name} {number}: root mean square", heat(length_hw), f"{size}, {span_note(length_hw)}"))
        colors.append(Panel(f"{name} {number}: main directions", principal_colors(features_chw), size))
    words = "finest first; above: strength of all channels; below: the three directions they vary in most, as colours"
    return sheet(titles.of(title), titles.note(words), [*lengths, *colors], columns=5)


def _depth_sheet(
    model: NetworkModel, images_bchw: Tensor, features: Features, picture: Image, titles: _Titles
) -> Image:
    scaled = titles.look.level_scales != WHOLE
    whole_hw = _depth(model.features(images_bchw) if scaled else features)
    span = (float(np.quantile(whole_hw, 0.005)), float(np.quantile(whole_hw, 0.995)))
    variants = [("depth", whole_hw)]
    if scaled:
        variants.append((f"levels x {scale_words(titles.look.level_scales)}", _depth(features)))
    else:
        for level in range(4):
            scales = [0.0 if other == level else 1.0 for other in range(4)]
            hidden = model.features(images_bchw, level_scales=(scales[0], scales[1], scales[2], scales[3]))
            variants.append((f"without level {level + 1}", _depth(hidden)))
    bright = "near" if model.info.kind.larger_is_nearer else "far"
    panels = [Panel("picture", picture)]
    panels += [Panel(name, heat(depth_hw, span=span), _depth_note(depth_hw, whole_hw)) for name, depth_hw in variants]
    if scaled:
        change_hw = np.abs(variants[1][1] - whole_hw)
        panels.append(Panel("difference, absolute", heat(change_hw), span_note(change_hw)))
    words = f"{model.info.kind.value.replace('_', ' ')} depth, {bright} is bright, all in the colours of the first"
    return sheet(titles.of("Depth"), titles.note(words), panels, columns=2 if scaled else 3)


def _depth(features: Features) -> NDArray[np.float32]:
    return features.depth_bhw[0].float().cpu().numpy()


def _depth_note(depth_hw: NDArray[np.float32], whole_hw: NDArray[np.float32]) -> str:
    if depth_hw is whole_hw:
        return span_note(depth_hw)
    if min(float(depth_hw.std()), float(whole_hw.std())) == 0:
        return f"{span_note(depth_hw)}, flat"
    return f"{span_note(depth_hw)}, correlation {np.corrcoef(depth_hw.ravel(), whole_hw.ravel())[0, 1]:.3f}"
