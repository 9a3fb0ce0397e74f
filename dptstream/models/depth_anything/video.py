"""A clip frame by frame: what a live feed remembers, and offline depth over overlapping windows in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .temporal_head import WINDOW, Memory

RECENT = 41
"""Frames that a feed remembers beside its first: the oldest of them is seen once more, then forgotten."""
OVERLAP = 10
KEY_FRAMES = (0, 12, *range(24, 32))
"""Frames of a window that open the next one: its first, one on the way, and the last eight."""
REFERENCES = 2
BLENDED = OVERLAP - REFERENCES


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a feed remembers of its past; it belongs to the feed, so many feeds can share one model.

    A step makes a new state and leaves the old one as it was. Of every frame only what later frames read is kept (see
    ``Config.stream_bytes_per_frame``), and of all frames only the first and the last 41.
    """

    first: Memory = ()
    """What the first frame left; it is seen for ever. Empty before the first step."""
    recent: tuple[Memory, ...] = ()
    """What the last frames left, oldest first; at most 41."""
    shape: tuple[int, ...] = ()
    """Shape (B, 3, H, W) of the pictures of this feed."""

    @property
    def byte_count(self) -> int:
        """Bytes this state holds: at most 42 times those of a frame."""
        tensors = {id(tensor): tensor for memory in (self.first, *self.recent) for tensor in memory}
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

    def window(self) -> list[Memory]:
        """Return what the next frame sees, oldest first: 31 memories, or none before the first step.

        The first frame, the one 41 frames ago and the last 29. Where the past is shorter, the first frame stands in.
        """
        if not self.first:
            return []
        ago = [
            self.recent[-count] if count <= len(self.recent) else self.first
            for count in (RECENT, *range(WINDOW - 3, 0, -1))
        ]
        return [self.first, *ago]

    def after(self, left: Memory, shape: tuple[int, ...]) -> StreamState:
        """Return the state after a frame that left ``left``."""
        return StreamState(self.first or left, (*self.recent, left)[-RECENT:], shape)


class OfflineVideo:
    """Depth of a clip fed frame by frame, as the authors compute it from the whole clip.

    Windows of 32 frames overlap by ten. The first ten inputs of a window are key frames of the one before; by two of them the
    new depths are brought to the scale and shift of the old ones (metric depths are left as they are), and eight frames
    are blended. At most 32 inputs and 42 outputs are held, whatever the length of the clip; a frame's depth comes back 8 to
    32 frames later.

    Args:
        model: a network with a temporal head; called with clips (1, 32, 3, H, W).
        metric: whether its depths are metres, which need no alignment.
        resize: brings depths (T, H, W) to the size they are wanted at, before they are aligned, as the authors do.
    """

    def __init__(
        self, model: nn.Module, *, metric: bool = False, resize: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._model = model
        self._metric = metric
        self._resize = resize
        self._restart()

    def feed(self, image_chw: Tensor) -> list[Tensor]:
        """Take the next normalised picture; return the depths (H, W) that are final by now, in order.

        Raises:
            ValueError: the picture's shape is not that of the ones before.
        """
        if self._inputs and image_chw.shape != self._inputs[-1].shape:
            was, came = tuple(self._inputs[-1].shape), tuple(image_chw.shape)
            raise ValueError(f"the picture has shape {came}, those before {was}: call finish() and start anew")
        self._inputs.append(image_chw)
        self._fed += 1
        return self._run_window() if len(self._inputs) == WINDOW else []

    def finish(self) -> list[Tensor]:
        """Return the remaining depths, and be ready for another clip."""
        remaining = self._fed - self._given
        rest: list[Tensor] = []
        # A window begins every 22 frames. One that the clip does not fill is filled with copies of the last frame.
        while self._windows * (WINDOW - OVERLAP) < self._fed:
            self._inputs.extend(self._inputs[-1:] * (WINDOW - len(self._inputs)))
            rest.extend(self._run_window())
        rest.extend(self._held)
        self._restart()
        return rest[:remaining]

    def _restart(self) -> None:
        self._inputs: list[Tensor] = []
        self._held: Tensor | tuple[()] = ()
        self._references: Tensor | None = None
        self._fed = self._given = self._windows = 0

    @torch.no_grad()
    def _run_window(self) -> list[Tensor]:
        depths_thw = self._model(torch.stack(self._inputs)[None])[0]
        if self._resize is not None:
            depths_thw = self._resize(depths_thw)
        self._inputs = [self._inputs[index] for index in KEY_FRAMES]
        self._windows += 1
        finished = self._stitch(depths_thw)
        self._given += len(finished)
        return finished

    def _stitch(self, depths_thw: Tensor) -> list[Tensor]:
        if self._references is None or isinstance(self._held, tuple):
            self._references = depths_thw[list(KEY_FRAMES[:REFERENCES])]
            self._held = depths_thw[-BLENDED:]
            return list(depths_thw[:-BLENDED])
        if not self._metric:
            depths_thw = _aligned(depths_thw, to=self._references)
        weights_t11 = torch.linspace(0, 1, BLENDED, device=depths_thw.device)[:, None, None]
        blended_thw = torch.lerp(self._held, depths_thw[REFERENCES:OVERLAP], weights_t11)
        # The first frame of the clip stays a reference for ever.
        self._references = torch.stack((self._references[0], depths_thw[KEY_FRAMES[1]]))
        self._held = depths_thw[-BLENDED:]
        return [*blended_thw, *depths_thw[OVERLAP:-BLENDED]]


def _aligned(depths_thw: Tensor, *, to: Tensor) -> Tensor:
    """Scale and shift all depths by what fits the first ones to ``to`` best (least squares), and clamp at zero."""
    current = depths_thw[: len(to)]
    current_mean, target_mean = current.mean(), to.mean()
    deviation = current - current_mean
    variance = (deviation * deviation).sum()
    slope = (deviation * (to - target_mean)).sum() / variance
    flat = variance == 0  # nothing to fit: leave it
    scale = torch.where(flat, 1.0, slope)
    shift = torch.where(flat, 0.0, target_mean - slope * current_mean)
    return (depths_thw * scale + shift).clamp(min=0)
