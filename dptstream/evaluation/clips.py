"""Clips to be judged: frames with a network's raw depth, and their truth where it is known."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..frames import DepthFrame, VideoFrame, resize_depth
from ..geometry import DepthKind
from ..models.base import DepthModel
from ..sources.base import Source
from ..sources.synthetic import SyntheticSettings, SyntheticSource, SyntheticTruth
from ..temporal import SceneCutDetector
from .corruption import Corruption, Corruptor
from .metrics import value_range
from .truth import Float, TrueMotion, TruthFrame


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One clip, ready to be smoothed and measured."""

    name: str
    """What to call it in tables."""
    frames: list[DepthFrame]
    """Raw depth with its picture (at a modest size) and cuts, in order."""
    truth: list[TruthFrame] | None
    """What is known of each frame; None where nothing is."""
    max_depth: float = 70.0
    """Metres beyond which the truth does not count."""

    def shots(self) -> Iterator[slice]:
        """Yield the frames of each shot: where the truth says so, else where cuts were found."""
        if self.truth is not None:
            starts = [index for index, frame in enumerate(self.truth) if frame.first_of_shot]
        else:
            starts = [index for index, frame in enumerate(self.frames) if frame.scene_cut]
        bounds = sorted({0, *starts, len(self.frames)})
        yield from (slice(begin, end) for begin, end in itertools.pairwise(bounds))


def spoiled_clip(settings: SyntheticSettings, corruption: Corruption | None = None, *, max_depth: float = 70.0) -> Clip:
    """Film a synthetic scene and spoil its exact depth as a per-frame network would; equal seeds give equal clips."""
    random = np.random.default_rng((settings.seed, 0x5EED))
    truth = film_truth(settings)
    detector, frames = SceneCutDetector(), []
    corruptor: Corruptor | None = None
    for number, frame in enumerate(truth):
        if corruptor is None or frame.first_of_shot:
            end = next((i for i in range(number + 1, len(truth)) if truth[i].first_of_shot), len(truth))
            corruptor = Corruptor(value_range(truth[number:end]), end - number, random, corruption)
        image = corruptor.picture(frame.image)
        video = VideoFrame(image, number, number, 1 / settings.fps)
        depth = corruptor.depth(frame.inverse_depth)
        frames.append(DepthFrame(depth, DepthKind.RELATIVE_INVERSE, video, scene_cut=detector.step(image)))
    return Clip(f"seed {settings.seed}", frames, truth, max_depth)


def film_truth(settings: SyntheticSettings) -> list[TruthFrame]:
    """Film a synthetic scene and return what is known of every frame."""
    with SyntheticSource(settings) as source:
        return [_truth_frame(frame, source.truth(frame.sequence), source) for frame in source]


def _truth_frame(frame: VideoFrame, truth: SyntheticTruth, source: SyntheticSource) -> TruthFrame:
    motion = None
    if not truth.scene_cut:
        # A point that was behind the camera has no depth there; it is not visible either.
        before = 1 / np.maximum(truth.previous_depth, 0.01)
        motion = TrueMotion(truth.flow, before.astype(np.float32), ~truth.occluded)
    return TruthFrame(
        frame.image,
        (1 / truth.depth).astype(np.float32),
        frame.pts_seconds,
        first_of_shot=truth.scene_cut,
        motion=motion,
        moving=truth.moving,
        world_from_camera=truth.world_from_camera,
        intrinsics=source.info.intrinsics,
    )


def predicted_clip(source: Source, model: DepthModel, *, size: int | None = None, limit: int | None = None) -> Clip:
    """Run a network over a source, keeping raw depth and small pictures; nothing is known of the truth."""
    frames: list[DepthFrame] = []
    detector = SceneCutDetector()
    for frame in source:
        if limit is not None and len(frames) >= limit:
            break
        frames.append(_predict(frame, model, size, cut=detector.step(frame.image)))
    return Clip(source.info.name, frames, None)


def predicted_truth(
    name: str, truth: Sequence[TruthFrame], model: DepthModel, *, size: int | None = None, max_depth: float = 70.0
) -> Clip:
    """Run a network over pictures whose depth is known."""
    detector, frames = SceneCutDetector(), []
    for number, known in enumerate(truth):
        video = VideoFrame(known.image, number, round(known.pts_seconds * 90000), Fraction(1, 90000))
        frames.append(_predict(video, model, size, cut=detector.step(known.image)))
    return Clip(name, frames, list(truth), max_depth)


def _predict(frame: VideoFrame, model: DepthModel, size: int | None, *, cut: bool) -> DepthFrame:
    pixels = torch.from_numpy(np.ascontiguousarray(frame.image))[None].to(model.device)
    input_hw = model.input_size_hw((frame.height, frame.width), size=size)
    with torch.no_grad():
        depth = model(model.preprocess(pixels, input_hw))[0].float().cpu().numpy()
    # The picture is kept at the depth's size: whole clips of full pictures would not fit in memory.
    shape_wh = (depth.shape[1], depth.shape[0])
    image = np.asarray(cv2.resize(frame.image, shape_wh, interpolation=cv2.INTER_AREA), np.uint8)
    video = replace(frame, image=image)
    return DepthFrame(depth, model.info.kind, video, model.info.output_resize, scene_cut=cut)


def inverse_at(depth: NDArray[np.float32], frame: DepthFrame, size_hw: tuple[int, int]) -> Float:
    """Return a depth map of ``frame`` as inverse depth at another size, resized as its network's authors do."""
    resized = resize_depth(depth, size_hw, frame.output_resize)
    if frame.kind is DepthKind.RELATIVE_INVERSE:
        return resized
    return (1 / np.maximum(resized, 1e-3)).astype(np.float32)
