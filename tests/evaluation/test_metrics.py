"""Each measure sees the fault it is named for, and not the others."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dptstream.evaluation import TruthFrame, film_truth, score_shot
from dptstream.evaluation import metrics as m
from dptstream.sources.synthetic import SyntheticSettings


@cache
def shot(frames: int = 14) -> tuple[TruthFrame, ...]:
    return tuple(film_truth(SyntheticSettings(width=160, height=96, frames=frames, seed=77)))


def exact() -> list[np.ndarray]:
    return [frame.inverse_depth for frame in shot()]


def scores(maps: list[np.ndarray], **options: object):  # type: ignore[no-untyped-def]
    return score_shot(maps, shot(), raw=maps, max_depth=70, **options)  # type: ignore[arg-type]


def test_the_truth_has_no_fault() -> None:
    found = scores(exact())
    assert found.abs_rel == pytest.approx(0, abs=1e-5)
    assert found.delta1 == 1
    for name in ("abs_rel_per_frame", "excess_flicker", "jumping", "scale_jitter", "scale_drift", "ghosting"):
        assert getattr(found, name) == pytest.approx(0, abs=5e-4), name
    assert abs(found.lag) < 0.1
    assert found.tae < 2
    assert found.cut_recovery == 0


def test_one_scale_and_shift_for_the_shot_are_no_fault() -> None:
    found = scores([0.3 * map_ + 0.2 for map_ in exact()])
    assert found.abs_rel < 1e-4
    assert found.excess_flicker < 5e-4


def test_metric_depth_is_judged_as_it_is() -> None:
    tenth = scores([map_ / 1.1 for map_ in exact()], align=False)
    assert tenth.abs_rel == pytest.approx(0.1, rel=1e-3)
    assert tenth.delta1 == 1
    assert scores([map_ / 1.3 for map_ in exact()], align=False).delta1 == 0


def test_a_scale_that_jitters_is_seen_by_all_but_the_per_frame_measures() -> None:
    steady, jittering = scores(exact()), scores([map_ * (1.05 if i % 2 else 0.95) for i, map_ in enumerate(exact())])
    assert jittering.abs_rel > 0.03
    assert jittering.abs_rel_per_frame < 1e-4
    assert jittering.scale_jitter == pytest.approx(0.1, rel=0.05)
    assert jittering.tae > steady.tae + 3
    assert jittering.excess_flicker > 0.02
    assert jittering.opw == pytest.approx(steady.opw, rel=1e-3)  # blind to it, as published
    assert jittering.opw_global > 1.5 * steady.opw_global


def test_excess_flicker_is_the_step_over_the_range() -> None:
    span = m.value_range(shot())
    stepped = [map_ + (0.05 * span if i % 2 else 0) for i, map_ in enumerate(exact())]
    mean, jumping = m.excess_flicker(stepped, shot(), scale=span)
    assert mean == pytest.approx(0.05, rel=0.01)
    assert jumping == 1


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_lag_is_told_in_frames(delay: int) -> None:
    late = [exact()[max(i - delay, 0)] for i in range(len(shot()))]
    assert m.lag(late, shot()) == pytest.approx(delay, abs=0.25)


def test_more_lag_than_was_tried_is_told_as_the_most() -> None:
    frozen = [exact()[0]] * len(shot())
    assert 3 < m.lag(frozen, shot()) <= 5


def test_ghosts_are_counted_only_where_something_came_into_sight() -> None:
    span = m.value_range(shot())
    ghosts = [
        map_ if frame.motion is None else np.where(frame.motion.visible_before, map_, map_ + 0.2 * span)
        for map_, frame in zip(exact(), shot(), strict=True)
    ]
    assert m.ghosting(ghosts, shot(), scale=span) == pytest.approx(0.2, rel=1e-3)


def test_drift_is_the_way_of_the_slow_mean() -> None:
    drifting = [map_ * np.exp(0.01 * i) for i, map_ in enumerate(exact())]
    _, drift = m.scale_jitter(drifting, shot())
    assert drift == pytest.approx(0, abs=1e-6)  # fourteen frames are one mean
    longer = list(shot(30))
    _, drift = m.scale_jitter([f.inverse_depth * np.exp(0.01 * i) for i, f in enumerate(longer)], longer)
    assert drift == pytest.approx(0.15, rel=0.01)


def test_recovery_from_a_cut_counts_the_bad_frames() -> None:
    late = [map_ * (1.5 if i < 3 else 1) for i, map_ in enumerate(exact())]
    raw = [map_ * 1.01 for map_ in exact()]
    assert m.cut_recovery(late, raw, shot()) == 3


def test_still_flicker_needs_no_truth() -> None:
    images = [shot()[0].image] * 6
    maps = [exact()[0] + 0.1 * (i % 2) for i in range(6)]
    assert m.static_flicker(maps, images, scale=2.0) == pytest.approx(0.05)
    moving = [frame.image for frame in shot()[:6]]
    shifted = [np.roll(image, 9 * i, axis=1) for i, image in enumerate(moving)]
    assert m.static_flicker(maps, shifted, scale=2.0) is None


def test_what_needs_motion_or_poses_is_left_out_without() -> None:
    bare = [replace(frame, motion=None, moving=None, world_from_camera=None) for frame in shot()]
    found = score_shot(exact(), bare, raw=exact(), max_depth=70)
    assert (found.tae, found.excess_flicker, found.lag, found.ghosting, found.opw) == (None,) * 5
    assert found.abs_rel is not None


def test_estimated_motion_agrees_with_the_true_one() -> None:
    truth = shot()[6]
    assert truth.motion is not None
    flow = m.estimate_flow(shot()[5].image, truth.image)
    clear = flow.visible_before & truth.motion.visible_before
    assert np.median(np.linalg.norm(flow.flow - truth.motion.flow, axis=-1)[clear]) < 0.3
    assert clear.mean() > 0.7
