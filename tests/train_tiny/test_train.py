"""Training goes on where it stopped, and what it exports loads."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dptstream.models import load_model
from examples.train_tiny.augment import Batch, crop, photograph
from examples.train_tiny.export import export
from examples.train_tiny.places import TRAINING
from examples.train_tiny.pool import render_batch, write_batch
from examples.train_tiny.render import Renderer
from examples.train_tiny.train import Options, Trainer, draw, parse, run


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    renderer = Renderer(40, 64)
    for seed in range(2):
        write_batch(folder, f"{seed:08d}", render_batch(renderer, seed, 4, TRAINING, torch.device("cpu")))
    return folder


@pytest.fixture
def options(pool_folder, tmp_path):
    return Options(
        pool=pool_folder, run=tmp_path / "run", height=32, width=48, batch=8, steps=4, warmup=2, save_every=2
    )


def test_a_resumed_run_ends_in_the_same_state_as_an_unbroken_one(options, tmp_path):
    unbroken = Trainer(options)
    for _ in range(4):
        unbroken.train_step()
    broken = Trainer(replace(options, run=tmp_path / "other"))
    for _ in range(2):
        broken.train_step()
    broken.save()
    resumed = Trainer(replace(options, run=tmp_path / "other"))
    assert resumed.step == 2
    for _ in range(2):
        resumed.train_step()
    for key, value in unbroken.average.items():
        torch.testing.assert_close(resumed.average[key], value, msg=key)
    assert resumed.progress == unbroken.progress == 1.0


def test_a_run_learns_logs_and_stops_at_its_steps(options):
    trainer = run(replace(options, steps=20, rate=2e-3, log_every=10))
    lines = [json.loads(line) for line in (options.run / "log.jsonl").read_text().splitlines()]
    assert trainer.step == 20
    assert lines[-1]["step"] == 20
    assert lines[-1]["loss"] < trainer_loss_at_start(options)


def trainer_loss_at_start(options):
    return Trainer(replace(options, run=options.run / "new")).train_step()["loss"]


def test_a_warm_start_takes_the_averaged_weights_and_begins_at_step_zero(options, tmp_path):
    first = run(replace(options, steps=2))
    second = Trainer(replace(options, run=tmp_path / "second", start=first.state_path))
    assert second.step == 0
    for key, value in second.network.state_dict().items():
        assert torch.equal(value, first.average[key]), key


def test_a_warm_start_from_an_exported_checkpoint_takes_its_weights(options, tmp_path):
    first = run(replace(options, steps=2))
    export(first.state_path, tmp_path / "tiny.safetensors", recipe="two steps")
    second = Trainer(replace(options, run=tmp_path / "second", start=tmp_path / "tiny.safetensors"))
    assert second.step == 0
    for key, value in second.network.state_dict().items():
        assert value.dtype == first.average[key].dtype, key
        torch.testing.assert_close(value, first.average[key], rtol=1e-3, atol=1e-3)


def test_a_step_draws_the_same_batch_again(options):
    once, again, next_one = draw(options, 3), draw(options, 3), draw(options, 4)
    assert torch.equal(once.rgb, again.rgb)
    assert torch.equal(once.inverse, again.inverse)
    assert not torch.equal(once.rgb, next_one.rgb)


def test_sizes_vary_by_multiples_of_sixteen_and_alike_for_all_processes(options):
    jittered = replace(options, jitter=1, height=32, width=64)
    sizes = {tuple(draw(jittered, step).rgb.shape[2:]) for step in range(12)}
    assert len(sizes) > 3
    assert all(height in (16, 32, 48) and width in range(32, 97, 16) for height, width in sizes)
    other = replace(jittered, ranks=2, rank=1)
    assert draw(other, 5).rgb.shape == draw(jittered, 5).rgb.shape
    assert not torch.equal(draw(other, 5).rgb, draw(jittered, 5).rgb)


def test_mirrored_and_zoomed_flow_still_points_at_the_same_surface(options):
    paired = replace(options, paired=1.0)
    batch = draw(paired, 0)
    assert batch.flow is not None
    assert batch.flow.shape == (4, 32, 48, 2)
    flat = Batch(torch.rand(2, 3, 40, 64), torch.rand(2, 40, 64), torch.full((1, 40, 64, 2), 4.0))
    rng = torch.Generator().manual_seed(0)
    seen = [crop(flat, (20, 32), (0.5, 0.5), rng).flow[0, 0, 0] for _ in range(12)]
    assert {round(float(flow[0])) for flow in seen} == {4, -4}  # half the width, half the pixels


def test_photographs_change_the_picture_and_nothing_else():
    rng = torch.Generator().manual_seed(1)
    batch = Batch(torch.rand(8, 3, 32, 48), torch.rand(8, 32, 48), None)
    taken = photograph(batch, rng)
    assert torch.equal(taken.inverse, batch.inverse)
    assert not torch.equal(taken.rgb, batch.rgb)
    assert taken.rgb.min() >= 0
    assert taken.rgb.max() <= 1


def test_a_picture_of_the_sky_alone_stays_finite():
    rng = torch.Generator().manual_seed(2)
    batch = Batch(torch.rand(16, 3, 32, 48), torch.zeros(16, 32, 48), None)
    for _ in range(5):
        assert torch.isfinite(photograph(batch, rng).rgb).all()


def test_an_exported_checkpoint_is_recognised_and_says_what_it_is(options, tmp_path):
    trainer = run(replace(options, steps=2))
    target = tmp_path / "tiny.safetensors"
    export(trainer.state_path, target, recipe="two steps")
    model = load_model(target)
    assert model.info.family == "dpt_tiny"
    assert model.info.license == "Apache-2.0"
    with safe_open(target, "np") as file:
        metadata = file.metadata()
    assert metadata["recipe"] == "two steps"
    assert metadata["depth_kind"] == "relative_inverse"


def test_weights_that_are_not_finite_are_not_exported(options, tmp_path):
    trainer = Trainer(options)
    trainer.average["head.predict.bias"][0] = float("nan")
    trainer.save()
    with pytest.raises(ValueError, match=r"head\.predict\.bias"):
        export(trainer.state_path, tmp_path / "x.safetensors", recipe="broken")


def test_flags_are_the_options_fields(tmp_path):
    options = parse(["--pool", "p", "--run", "r", "--rate", "0.002", "--save-every", "7"])
    assert (options.rate, options.save_every, options.batch) == (
        0.002,
        7,
        Options.__dataclass_fields__["batch"].default,
    )


def test_an_empty_pool_is_said_to_be_empty(options, tmp_path):
    with pytest.raises(FileNotFoundError, match="no rendered scenes"):
        draw(replace(options, pool=tmp_path / "nothing"), 0)


def test_a_batch_has_pictures_of_the_size_asked_for(options):
    batch = draw(options, 1)
    assert batch.rgb.shape == (8, 3, 32, 48)
    assert np.isfinite(batch.inverse.numpy()).all()
