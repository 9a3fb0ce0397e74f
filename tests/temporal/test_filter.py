"""What the causal filter promises, whatever the scene."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from dptstream.geometry import DepthKind
from dptstream.temporal import CausalFilter, DeviceFilter, FilterState, MotionFinder, TemporalConfig
from dptstream.temporal.core import first_state
from dptstream.temporal.planes import TorchOps

from .scenes import depth_frame, picture, run, slope

PRESETS = ("off", "minimal", "light", "default", "strong")
KINDS = (DepthKind.RELATIVE_INVERSE, DepthKind.RELATIVE, DepthKind.METRIC)


def jittered(count: int, *, seed: int = 1, noise: float = 0.01, kind: DepthKind = DepthKind.RELATIVE_INVERSE) -> list:
    """A still scene whose scale, shift and pixels jitter."""
    random = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        inverse = slope() * np.exp(0.04 * random.normal()) + 0.02 * random.normal()
        inverse = inverse + noise * random.normal(size=inverse.shape)
        depth = inverse if kind is DepthKind.RELATIVE_INVERSE else 1 / inverse
        frames.append(depth_frame(depth, picture(), number, kind=kind))
    return frames


def flicker(depths: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(depths[5:])]))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_constant_depth_comes_out_identical(preset: str, kind: DepthKind) -> None:
    frames = [depth_frame(slope(), picture(), number, kind=kind) for number in range(8)]
    for depth in run(CausalFilter(TemporalConfig.preset(preset)), frames)[0]:
        np.testing.assert_array_equal(depth, slope())


def test_each_stronger_preset_leaves_less_flicker() -> None:
    frames = jittered(40, noise=0.03)
    left = [flicker(run(CausalFilter(TemporalConfig.preset(name)), frames)[0]) for name in PRESETS]
    assert left == sorted(left, reverse=True)
    assert left[3] < 0.25 * left[0]


def test_off_passes_every_frame_through() -> None:
    frames = jittered(4)
    depths, state = run(CausalFilter(TemporalConfig.preset("off")), frames)
    assert state is None
    assert all(depth is frame.depth for depth, frame in zip(depths, frames, strict=True))


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="unknown preset 'smooth'; known: off, minimal, light, default, strong"):
        TemporalConfig.preset("smooth")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken", [{"memory": 1.0}, {"leak": 0.0}, {"bend_leak": 1.5}, {"consistency": 0.0}, {"photometric": -1.0}]
)
def test_a_config_rejects_what_cannot_be(broken: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        TemporalConfig(**broken)


def test_a_cut_frame_equals_the_raw_one_bit_for_bit() -> None:
    frames = jittered(12)
    frames[8] = replace(frames[8], scene_cut=True)
    depths, _ = run(CausalFilter(), frames)
    np.testing.assert_array_equal(depths[8], frames[8].depth)
    assert not np.array_equal(depths[7], frames[7].depth)


def test_after_a_cut_nothing_of_the_shot_before_is_left() -> None:
    frames = jittered(16)
    frames[8] = replace(frames[8], scene_cut=True)
    whole, _ = run(CausalFilter(), frames)
    alone, _ = run(CausalFilter(), frames[8:])
    np.testing.assert_array_equal(whole[8:], alone)


@pytest.mark.parametrize("step", [-3, 26])
def test_time_that_jumps_begins_anew(step: int) -> None:
    frames = jittered(6)
    late = depth_frame(frames[5].depth, picture(), 5, pts=4 + step)
    depths, _ = run(CausalFilter(), [*frames[:5], late])
    np.testing.assert_array_equal(depths[5], late.depth)


def test_a_change_of_size_begins_anew() -> None:
    frames = jittered(5)
    larger = depth_frame(slope(64, 96), picture(0, 64, 96), 5)
    depths, state = run(CausalFilter(), [*frames, larger])
    np.testing.assert_array_equal(depths[5], larger.depth)
    assert state is not None
    assert state.age == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["pixel", "block", "all"])
def test_what_is_no_number_never_enters_the_state(bad: float, kind: DepthKind, where: str) -> None:
    frames = jittered(10, kind=kind)
    places = {"pixel": (3, 4), "block": (slice(8, 30), slice(10, 50)), "all": (slice(None), slice(None))}
    for number in (0, 4, 5):
        frames[number].depth[places[where]] = bad
    smoother, state = CausalFilter(), None
    for frame in frames:
        depth, state = smoother.step(frame, state)
        assert state is not None
        for plane in (state.depth, state.count, *state.gauge):
            assert np.isfinite(plane).all()
        np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(frame.depth))


def test_pixels_unknown_for_a_while_do_not_spoil_their_neighbours() -> None:
    clean, holed = jittered(12), jittered(12)
    for number in (5, 6):
        holed[number].depth[20:24, 50:54] = np.nan
    left, right = run(CausalFilter(), clean)[0], run(CausalFilter(), holed)[0]
    far = np.ones_like(slope(), bool)
    far[10:34, 40:64] = False
    assert np.abs(left[11] - right[11])[far].max() < 0.01


def test_negative_metres_are_no_depth() -> None:
    frames = jittered(6, kind=DepthKind.METRIC)
    frames[3].depth[:4] = -1
    depths, state = run(CausalFilter(), frames)
    assert (depths[3][:4] == -1).all()
    assert state is not None
    assert np.isfinite(state.depth).all()


@pytest.mark.parametrize("seed", range(4))
def test_one_outlier_moves_the_output_by_less_than_a_quarter(seed: int) -> None:
    random = np.random.default_rng(seed)
    frames = jittered(20, seed=seed, noise=0.004)
    bumps = np.kron(random.normal(size=(6, 10)), np.ones((8, 8)))
    outlier = (0.82 * slope() + 0.08 + 0.1 * bumps).astype(np.float32)
    with_outlier = [*frames[:15], depth_frame(outlier, picture(), 15), *frames[16:]]
    without, spoiled = run(CausalFilter(), frames)[0], run(CausalFilter(), with_outlier)[0]
    deviation = np.abs(outlier - without[15]).mean()
    for number in range(15, 20):
        assert np.abs(spoiled[number] - without[number]).mean() < 0.25 * deviation


def test_a_change_that_lasts_is_accepted() -> None:
    frames = jittered(12, noise=0.002)
    moved = slope()
    moved[26:40, 50:70] = 1.3
    frames += [depth_frame(moved, picture(), number) for number in range(12, 24)]
    depth = run(CausalFilter(), frames)[0][-1]
    assert np.abs(depth - moved)[28:38, 52:68].mean() < 0.05


@pytest.mark.parametrize("preset", ["minimal", "light", "default", "strong"])
def test_a_true_zoom_is_not_stabilised_away(preset: str) -> None:
    frames = [depth_frame(slope() * 1.01**number, picture(), number) for number in range(61)]
    depths, _ = run(CausalFilter(TemporalConfig.preset(preset)), frames)
    errors = [np.abs(depth / frame.depth - 1).mean() for depth, frame in zip(depths, frames, strict=True)]
    assert max(errors) < 0.05


def test_metres_keep_their_scale_unless_asked() -> None:
    still = [depth_frame(1 / slope(), picture(), number, kind=DepthKind.METRIC) for number in range(6)]
    larger = depth_frame(1.05 / slope(), picture(), 6, kind=DepthKind.METRIC)
    free = run(CausalFilter(TemporalConfig(average=False, gate=False)), [*still, larger])[0][-1]
    np.testing.assert_allclose(free, larger.depth, rtol=1e-5)
    held = run(CausalFilter(TemporalConfig(average=False, gate=False, align_metric=True)), [*still, larger])[0][-1]
    assert np.abs(held * slope() - 1).mean() < 0.02


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_dropped_frames_leave_the_same_smoothing_per_second(kept: int) -> None:
    """A step in depth is forgotten in the same time, whatever the rate."""
    before, after = slope(), slope() + 0.02 * (np.indices((48, 80)).sum(0) % 7 < 3)
    config = TemporalConfig(align=False, bend=False, gate=False, confidence=False, clamp=False)
    numbers = list(range(0, 75, kept))
    frames = [depth_frame(before if n < 60 else after, picture(), i, pts=n) for i, n in enumerate(numbers)]
    depth = run(CausalFilter(config), frames)[0][-1]
    left = np.abs(depth - after).sum() / np.abs(before - after).sum()
    # 60 is a multiple of every spacing, so the newest frame is 15 steps after the change began, less what was dropped.
    assert left == pytest.approx(0.9 ** (numbers[-1] - 60 + kept), abs=0.02)


def test_time_base_does_not_matter() -> None:
    coarse = jittered(10)
    fine = [
        depth_frame(frame.depth, picture(), number, pts=number * 3600, time_base=Fraction(1, 90000))
        for number, frame in enumerate(coarse)
    ]
    np.testing.assert_allclose(run(CausalFilter(), coarse)[0], run(CausalFilter(), fine)[0], rtol=1e-6)


def test_two_feeds_share_one_filter() -> None:
    smoother = CausalFilter()
    first, second = jittered(8, seed=1), jittered(8, seed=2)
    alone = [run(CausalFilter(), frames)[0] for frames in (first, second)]
    states: list[FilterState | None] = [None, None]
    for number in range(8):
        for feed, frames in enumerate((first, second)):
            depth, states[feed] = smoother.step(frames[number], states[feed])
            np.testing.assert_array_equal(depth, alone[feed][number])


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_state_goes_on_bit_for_bit(kind: DepthKind) -> None:
    frames = jittered(14, kind=kind)
    whole, _ = run(CausalFilter(), frames)
    _, state = run(CausalFilter(), frames[:7])
    assert state is not None
    resumed, _ = run(CausalFilter(), frames[7:], FilterState.restore(state.snapshot()))
    np.testing.assert_array_equal(whole[7:], resumed)


def test_a_step_leaves_the_state_before_it_untouched() -> None:
    frames = jittered(6)
    _, state = run(CausalFilter(), frames[:5])
    assert state is not None
    before = state.snapshot()
    CausalFilter().step(frames[5], state)
    assert state.snapshot() == before


@pytest.mark.parametrize("blob", [b"", b"PK\x03\x04 nothing", b"\x80\x04K\x01."])
def test_a_state_rejects_other_bytes(blob: bytes) -> None:
    with pytest.raises(ValueError, match="no state of the temporal filter"):
        FilterState.restore(blob)


def test_a_flash_does_not_throw_the_history_away() -> None:
    frames = jittered(20, noise=0.01)
    bright = np.clip(picture().astype(int) + 60, 0, 255).astype(np.uint8)
    flashed = [*frames[:15], depth_frame(frames[15].depth, bright, 15), *frames[16:]]
    calm, lit = run(CausalFilter(), frames)[0], run(CausalFilter(), flashed)[0]
    assert np.abs(lit[15] - calm[15]).mean() < 0.25 * np.abs(frames[15].depth - calm[15]).mean()


@pytest.mark.parametrize(
    ("preset", "kind"),
    [("minimal", KINDS[0]), ("light", KINDS[0]), ("default", KINDS[0]), ("default", KINDS[1]), ("strong", KINDS[2])],
)
def test_the_device_filter_agrees_with_the_cpu(preset: str, kind: DepthKind) -> None:
    """Within 1e-3 of the range everywhere, after 20 frames with motion, holes and a cut."""
    config = TemporalConfig.preset(preset)
    frames = moving(20, kind)
    frames[6].depth[5:9, 30:40] = np.nan
    frames[12] = replace(frames[12], scene_cut=True)
    expected, _ = run(CausalFilter(config), frames)
    smoother, finder, state = DeviceFilter(config), MotionFinder(config), None
    for frame, wanted in zip(frames, expected, strict=True):
        motion = finder.step(frame.video.image)
        depth, state = smoother.step(
            torch.from_numpy(frame.depth),
            kind,
            frame.video.pts_seconds,
            state,
            flow=torch.from_numpy(motion.flow),
            confidence=torch.from_numpy(motion.confidence),
            fresh=frame.scene_cut,
        )
        np.testing.assert_allclose(depth.numpy(), wanted, atol=1e-3 * np.ptp(frames[0].depth))


def test_a_device_state_can_be_kept_in_a_file() -> None:
    smoother, still = DeviceFilter(), torch.zeros(2, 48, 80)
    state = None
    depths = [torch.from_numpy(frame.depth) for frame in jittered(8)]
    for number, depth in enumerate(depths[:6]):
        _, state = smoother.step(depth, KINDS[0], number / 25, state, flow=still, confidence=torch.ones(48, 80))
    assert state is not None
    copy = FilterState.restore(state.snapshot(), torch.device("cpu"))
    results = [
        smoother.step(depths[6], KINDS[0], 6 / 25, past, flow=still, confidence=torch.ones(48, 80))[0]
        for past in (state, copy)
    ]
    assert torch.equal(*results)


def test_the_device_is_never_waited_for() -> None:
    """Tensors without data cannot be read: any look at a value would raise."""
    smoother, state = DeviceFilter(), None
    for number in range(6):
        depth, flow = torch.empty(48, 80, device="meta"), torch.empty(2, 36, 64, device="meta")
        confidence = torch.empty(36, 64, device="meta")
        result, state = smoother.step(
            depth, DepthKind.METRIC, number / 25, state, flow=flow, confidence=confidence, fresh=number == 3
        )
        assert result.shape == depth.shape


def moving(count: int, kind: DepthKind) -> list:
    """A scene that slides by three pixels a frame, with jitter."""
    random = np.random.default_rng(5)
    wide_picture, wide_depth = picture(3, 48, 160), slope(48, 160)
    frames = []
    for number in range(count):
        view = slice(3 * number, 3 * number + 80)
        inverse = wide_depth[:, view] * np.exp(0.03 * random.normal()) + 0.004 * random.normal(size=(48, 80))
        depth = inverse if kind is DepthKind.RELATIVE_INVERSE else 1 / inverse
        frames.append(depth_frame(depth, np.ascontiguousarray(wide_picture[:, view]), number, kind=kind))
    return frames


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_told_in_tensors_is_the_same_step(kind: DepthKind) -> None:
    """What a recorded step is given anew for each frame suffices: time, age and cuts included."""
    config = TemporalConfig()
    frames = moving(12, kind)
    frames[5] = replace(frames[5], scene_cut=True)
    smoother, finder, state, age = DeviceFilter(config), MotionFinder(config), None, 1
    planes = first_state(TorchOps(), torch.full((48, 80), torch.nan), 0.0, None)
    for number, frame in enumerate(frames):
        motion = finder.step(frame.video.image)
        moved = [torch.from_numpy(plane) for plane in (motion.flow, motion.confidence)]
        depth, fresh = torch.from_numpy(frame.depth), frame.scene_cut or number == 0
        wanted, state = smoother.step(
            depth, kind, frame.video.pts_seconds, state, flow=moved[0], confidence=moved[1], fresh=fresh
        )
        seconds = 0.0 if number == 0 else frame.video.pts_seconds - frames[number - 1].video.pts_seconds
        numbers = torch.from_numpy(smoother.step_numbers(seconds, age, fresh=fresh))
        given, planes = smoother.advance(depth, kind, torch.cat((moved[0], moved[1][None])), planes, numbers)
        age = 1 if fresh else age + 1
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4 * float(np.ptp(frames[0].depth)))
    for told, known in ((planes.depth, state.depth), (planes.count, state.count)):
        torch.testing.assert_close(told, known, rtol=1e-3, atol=1e-3)
