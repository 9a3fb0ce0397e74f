"""The filter on a GPU: the same as on the CPU, without a wait, and quick."""

import numpy as np
import pytest
import torch

from dptstream.geometry import DepthKind
from dptstream.temporal import CausalFilter, DeviceFilter, MotionFinder

from .scenes import depth_frame, picture, run, slope

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_it_agrees_with_the_cpu_and_never_waits_for_the_device() -> None:
    random = np.random.default_rng(5)
    frames = [
        depth_frame(slope() * np.exp(0.03 * random.normal()) + 0.004 * random.normal(size=(48, 80)), picture(), number)
        for number in range(12)
    ]
    expected, _ = run(CausalFilter(), frames)
    finder, smoother, state = MotionFinder(), DeviceFilter(), None
    results, uploads = [], []
    for frame in frames:
        motion = finder.step(frame.video.image)
        uploads.append([torch.from_numpy(a).cuda() for a in (frame.depth, motion.flow, motion.confidence)])
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number, (depth, flow, confidence) in enumerate(uploads):
            result, state = smoother.step(
                depth, DepthKind.RELATIVE_INVERSE, number / 25, state, flow=flow, confidence=confidence
            )
            results.append(result)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.cpu().numpy(), wanted, atol=1e-3 * np.ptp(slope()))


def test_a_frame_of_518x924_takes_a_few_milliseconds_at_most() -> None:
    smoother, state = DeviceFilter(), None
    depth = torch.rand(518, 924, device="cuda")
    flow, confidence = torch.zeros(2, 144, 256, device="cuda"), torch.ones(144, 256, device="cuda")
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for number in range(60):
        if number == 10:
            began.record()
        _, state = smoother.step(
            depth, DepthKind.RELATIVE_INVERSE, number / 25, state, flow=flow, confidence=confidence
        )
    ended.record()
    torch.cuda.synchronize()
    # Bound by launches from Python, not by the GPU: a CUDA graph of the step would take a fraction.
    assert began.elapsed_time(ended) / 50 < 5
