"""Networks that look back in time: in order, one state a feed, whole windows offline."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dptstream.engine import Engine, EngineConfig
from dptstream.models import load_model
from dptstream.models.network import NetworkModel
from dptstream.sinks import MemorySink
from tests import golden

from .toys import ToySource


@pytest.fixture(scope="module")
def video_model(tmp_path_factory: pytest.TempPathFactory) -> NetworkModel:
    path = tmp_path_factory.mktemp("vda") / "video_depth_anything_vits.safetensors"
    save_file(golden.seeded_state_dict("vda_vits"), path)
    return load_model(path, variant="video")


def depths(model: NetworkModel, count: int, **options: object) -> list[np.ndarray]:
    sink = MemorySink()
    Engine(ToySource(count, sizes=((28, 42),)), model, [sink], config=EngineConfig(size=28, **options)).run()
    assert [frame.video.sequence for frame in sink.frames] == list(range(count))
    return [frame.depth for frame in sink.frames]


def test_streaming_sees_the_frames_in_order_whatever_the_pipeline(video_model: NetworkModel) -> None:
    overlapped = depths(video_model, 6)
    reference = depths(video_model, 6, pipelined=False)
    for one, other in zip(overlapped, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    alone = depths(video_model, 1)
    np.testing.assert_allclose(alone[0], overlapped[0], rtol=1e-4, atol=1e-4)


def test_windows_give_what_the_family_gives_for_the_same_clip(video_model: NetworkModel) -> None:
    windows = video_model.new_windows()
    assert windows is not None
    expected: list[torch.Tensor] = []
    for frame in ToySource(36, sizes=((28, 42),)):
        rgb = torch.from_numpy(frame.image)[None]
        expected += windows.feed(video_model.preprocess(rgb, video_model.input_size_hw((28, 42), size=28))[0])
    expected += windows.finish()
    for pipelined in (True, False):
        for one, other in zip(depths(video_model, 36, windows=True, pipelined=pipelined), expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-3)


def test_a_scene_cut_starts_the_network_anew(video_model: NetworkModel) -> None:
    class CutAtThree:
        seen = -1

        def step(self, rgb_hwc: object) -> bool:
            self.seen += 1
            return self.seen == 3

    class Later(ToySource):
        """The frames from the fourth on, as a clip of their own."""

        def __iter__(self):
            for frame in super().__iter__():
                if frame.sequence >= 3:
                    yield type(frame)(frame.image, frame.sequence - 3, frame.pts, frame.time_base)

    for windows in (False, True):
        config = EngineConfig(size=28, windows=windows)
        whole, later = MemorySink(), MemorySink()
        source = ToySource(6, sizes=((28, 42),))
        Engine(source, video_model, [whole], config=config, cut_detector=CutAtThree()).run()
        Engine(Later(6, sizes=((28, 42),)), video_model, [later], config=config).run()
        for one, other in zip(whole.frames[3:], later.frames, strict=True):
            np.testing.assert_allclose(one.depth, other.depth, rtol=1e-4, atol=1e-4)
