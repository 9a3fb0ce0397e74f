from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dptstream.models import dpt_tiny

CLIP = Path(__file__).parents[2] / "examples" / "media" / "big_buck_bunny.mp4"


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with random weights: quick to load, and nothing here asks whether depth makes sense."""
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    torch.manual_seed(0)
    save_file(dict(dpt_tiny.Model(dpt_tiny.Config.tiny()).state_dict()), path)
    return str(path)


@pytest.fixture
def clip() -> str:
    """The bundled clip: 110 frames of 640x360 with sound."""
    return str(CLIP)
