"""The checkpoint in the wheel: what it says of itself, and that it has learned more than a ramp."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import dptstream.models
from examples.train_tiny.evaluate import load_predictor, measure_all
from examples.train_tiny.pictures import labelled_pictures
from examples.train_tiny.places import TRAINING
from examples.train_tiny.pool import render_batch
from examples.train_tiny.render import Renderer

BUNDLED = Path(dptstream.models.__file__).parent / "bundled"
CHECKPOINT = BUNDLED / "tiny.safetensors"


@pytest.fixture(scope="module")
def predict():
    return load_predictor(CHECKPOINT)


def test_it_fits_into_twelve_megabytes():
    assert CHECKPOINT.stat().st_size <= 12_000_000


def test_its_weights_are_half_precision_and_finite():
    with safe_open(CHECKPOINT, "pt") as file:
        for key in file.keys():  # noqa: SIM118
            value = file.get_tensor(key)
            assert value.dtype in (torch.float16, torch.int64), key
            assert torch.isfinite(value).all(), key


def test_it_says_where_it_comes_from():
    with safe_open(CHECKPOINT, "np") as file:
        metadata = file.metadata()
    assert metadata["family"] == "dpt_tiny"
    assert metadata["depth_kind"] == "relative_inverse"
    assert metadata["license"] == "Apache-2.0"
    assert "procedural scenes" in metadata["data"]
    assert metadata["recipe"]
    assert len(metadata["commit"]) == 40
    measured = json.loads(metadata["metrics"])
    near = {row["who"]: row["abs_rel_near"] for row in measured["synthetic, training"]}
    assert near["model"] < near["ramp"]


def test_the_card_and_its_sheet_stand_beside_it():
    card = (BUNDLED / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Apache-2.0" in card
    assert "sheet.jpg" in card
    assert (BUNDLED / "sheet.jpg").stat().st_size < 400_000


def test_it_beats_the_ramp_on_scenes_it_has_not_seen(predict):
    renderer = Renderer(96, 160)
    examples = []
    for seed in range(950_000_000, 950_000_006):
        batch = render_batch(renderer, seed, 2, TRAINING, torch.device("cpu"))
        for view in (0, 2):
            inverse = batch.inverse[view].astype(np.float64)
            examples.append((batch.rgb[view], np.where(inverse > 0, 1.0 / np.maximum(inverse, 1e-6), np.inf)))
    rows = {row.who: row for row in measure_all(predict, examples)}
    assert rows["model"].abs_rel_near < 0.95 * rows["ramp"].abs_rel_near
    assert rows["model"].ordered > rows["ramp"].ordered


def test_it_orders_pairs_on_photographs_better_than_the_ramp_does(predict):
    pytest.importorskip("skimage")
    pictures = [picture for picture in labelled_pictures()[0] if picture.name.startswith("skimage")]
    right = {"model": 0, "ramp": 0}
    for picture in pictures:
        guess = predict(picture.rgb)
        height, width = guess.shape
        x, y = picture.pairs[:, [0, 2]] * (width - 1), picture.pairs[:, [1, 3]] * (height - 1)
        values = guess[y.astype(int), x.astype(int)]
        right["model"] += int((values[:, 0] > values[:, 1]).sum())
        right["ramp"] += int((y[:, 0] > y[:, 1]).sum())
    assert right["model"] > right["ramp"]
