"""Scenes are rendered without compiling, on one thread: a test's few pixels are worth neither compilation nor waiting."""

import os

import pytest
import torch

os.environ.setdefault("TRAIN_TINY_EAGER", "1")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
