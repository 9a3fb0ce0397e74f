"""Video-Depth-Anything: the authors' numbers for clips, offline windows and streaming, and bounded memory."""

import numpy as np
import pytest
import torch
from torch import Tensor

from dptstream.models.depth_anything import (
    Config,
    Model,
    OfflineVideo,
    StreamState,
    config_from_shapes,
    convert,
    matches,
)
from dptstream.models.depth_anything.temporal_head import TemporalAttention
from tests.golden import Golden, load, normalised_batch, seeded_clip_frame, seeded_state_dict

GOLDEN_SIZE = {"height": 98, "width": 126}
TINY = Config("video", 64, 4, (32, 32, 64, 64), 64, position_grid=5)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load("vda_vits")


@pytest.fixture(scope="module")
def golden_model(golden: Golden) -> Model:
    model = Model(config_from_shapes(golden.shapes)).eval()
    model.load_state_dict(convert(seeded_state_dict("vda_vits")))
    return model.requires_grad_(False)


def golden_clip(golden: Golden, count: int) -> Tensor:
    pictures = (seeded_clip_frame(index, count=count, **GOLDEN_SIZE) for index in range(count))
    return torch.cat([normalised_batch(golden, picture) for picture in pictures])


@pytest.fixture(scope="module")
def tiny_model() -> Model:
    torch.manual_seed(0)
    model = Model(TINY).eval().requires_grad_(False)
    torch.nn.init.ones_(model.head.depth.conv_3.bias)  # above zero, where the last ReLU lets everything through
    return model


def stream(model: Model, clip: Tensor) -> tuple[Tensor, StreamState]:
    state, depths = model.initial_state(), []
    for image in clip:
        depth, state = model.step(image[None], state)
        depths.append(depth[0])
    return torch.stack(depths), state


def offline(video: OfflineVideo, clip: Tensor) -> list[Tensor]:
    return [*(depth for image in clip for depth in video.feed(image)), *video.finish()]


def assert_equals_golden(outputs: Tensor, expected: np.ndarray) -> None:
    assert outputs.shape == expected.shape
    assert np.abs(outputs.numpy() - expected).max() < 1e-4 * expected.std()


def test_a_clip_gives_the_authors_depth(golden: Golden, golden_model: Model) -> None:
    assert_equals_golden(golden_model(golden_clip(golden, 8)[None])[0], golden.arrays["forward_8x98x126"])


def test_offline_windows_give_the_authors_depth(golden: Golden, golden_model: Model) -> None:
    depths = offline(OfflineVideo(golden_model), golden_clip(golden, 36))
    assert len(depths) == 36
    assert_equals_golden(torch.stack(depths[::5]), golden.arrays["offline_36x98x126_input98"])


def test_streaming_gives_the_authors_depth_in_the_stated_memory(golden: Golden, golden_model: Model) -> None:
    depths, state = stream(golden_model, golden_clip(golden, 36))
    assert_equals_golden(depths[::5], golden.arrays["stream_36x98x126_input98"])
    assert state.byte_count == 36 * golden_model.config.stream_bytes_per_frame(98, 126)


def test_the_checkpoint_is_recognised_and_all_its_entries_used(golden: Golden) -> None:
    assert matches(golden.shapes)
    assert config_from_shapes(golden.shapes) == Config.vits("video")
    assert config_from_shapes(golden.shapes, variant="video-metric").depth_kind == "metric"
    with torch.device("meta"):
        expected = Model(Config.vits("video")).state_dict()
    published = {key: torch.empty(shape, device="meta") for key, shape in golden.shapes.items()}
    assert {key: tensor.shape for key, tensor in convert(published).items()} == {
        key: tensor.shape for key, tensor in expected.items()
    }


@pytest.mark.parametrize("variant", ["v2", "v3-mono", "v9"])
def test_a_variant_that_takes_no_clips_is_refused(golden: Golden, variant: str) -> None:
    with pytest.raises(ValueError, match=f"{variant!r}; this checkpoint can be: video, video-metric"):
        config_from_shapes(golden.shapes, variant=variant)


def test_pictures_are_clips_of_one_frame(tiny_model: Model) -> None:
    images = torch.randn(3, 3, 42, 56)
    together = tiny_model(images)
    torch.testing.assert_close(together, tiny_model(images[:, None])[:, 0])
    torch.testing.assert_close(together[1], tiny_model(images[1:2])[0], rtol=1e-4, atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other(tiny_model: Model) -> None:
    clips = torch.randn(2, 5, 3, 42, 28)
    together = tiny_model(clips)
    assert together.shape == (2, 5, 42, 28)
    torch.testing.assert_close(together[1], tiny_model(clips[1:])[0], rtol=1e-4, atol=1e-5)


def test_frames_of_a_clip_see_each_other(tiny_model: Model) -> None:
    clip = torch.randn(1, 3, 3, 28, 28)
    changed = clip.clone()
    changed[:, 2] += 1
    assert not torch.allclose(tiny_model(clip)[:, 0], tiny_model(changed)[:, 0], rtol=1e-3)


@pytest.mark.parametrize("count", [0, 33])
def test_a_clip_of_another_length_is_refused(tiny_model: Model, count: int) -> None:
    with pytest.raises(ValueError, match=f"a clip has {count} frames; allowed are 1 to 32"):
        tiny_model(torch.zeros(1, count, 3, 14, 14))


def test_a_network_for_pictures_takes_no_clips() -> None:
    model = Model(Config("v2", 64, 4, (8, 8, 8, 8), 8, position_grid=2))
    with pytest.raises(ValueError, match="'v2' takes single pictures"):
        model(torch.zeros(1, 2, 3, 14, 14))
    with pytest.raises(ValueError, match="'v2' takes single pictures"):
        model.initial_state()


def test_recalling_one_frame_equals_attention_over_the_window() -> None:
    torch.manual_seed(0)
    attention = TemporalAttention(64)
    window_ptc = torch.randn(6, 32, 64)
    with torch.no_grad():
        recalled = attention.recall(window_ptc[:, -1], window_ptc[:, :-1].unbind(1))
        torch.testing.assert_close(recalled, attention(window_ptc)[:, -1], rtol=1e-5, atol=1e-5)


def authors_windows(count: int) -> list[list[int]]:
    """Frame numbers that the authors' list of memories gives each frame after the first."""
    kept, windows = [0] * 32, []
    for frame in range(1, count):
        windows.append(kept[:2] + kept[-29:])
        kept.append(frame)
        if frame + 32 > 42:
            del kept[1]
    return windows


def test_every_frame_sees_those_the_authors_show_it() -> None:
    state, windows = StreamState(), []
    for frame in range(150):
        window = state.window()
        windows.append([int(memory[0]) for memory in window])
        state = state.after((torch.tensor(frame),), (1, 3, 14, 14))
        assert len(state.recent) <= 41
    assert windows[0] == []
    assert windows[1:] == authors_windows(150)


def test_a_step_leaves_the_old_state_as_it_was(tiny_model: Model) -> None:
    first, second, third = torch.randn(3, 1, 3, 28, 28)
    _, state = tiny_model.step(first, tiny_model.initial_state())
    expected, _ = tiny_model.step(second, state)
    tiny_model.step(third, state)
    again, _ = tiny_model.step(second, state)
    assert torch.equal(again, expected)


def test_feeds_in_step_share_a_batch(tiny_model: Model) -> None:
    clips = torch.randn(4, 2, 3, 28, 42)
    state = tiny_model.initial_state()
    for images in clips:
        together, state = tiny_model.step(images, state)
    alone, _ = stream(tiny_model, clips[:, 1])
    torch.testing.assert_close(together[1], alone[-1], rtol=1e-4, atol=1e-5)


def test_a_feed_cannot_change_its_size(tiny_model: Model) -> None:
    _, state = tiny_model.step(torch.zeros(1, 3, 28, 28), tiny_model.initial_state())
    with pytest.raises(ValueError, match=r"those before \(1, 3, 28, 28\): start anew"):
        tiny_model.step(torch.zeros(1, 3, 28, 42), state)


def test_the_memory_of_a_feed_stops_growing(tiny_model: Model) -> None:
    with torch.inference_mode():
        _, state = stream(tiny_model, torch.randn(60, 3, 14, 14))
    assert state.byte_count == 42 * TINY.stream_bytes_per_frame(14, 14)


class Recorder(torch.nn.Module):
    """Stands in for a network: a frame's depth is its own value, seen through a scale and shift that change every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[int]] = []

    def forward(self, clips_btchw: Tensor) -> Tensor:
        self.calls.append([int(frame[0, 0, 0]) for frame in clips_btchw[0]])
        call = len(self.calls)
        return clips_btchw[:, :, 0] * call + 10 * (call - 1)


def numbered_clip(count: int) -> Tensor:
    """Frames whose every value is near their number."""
    pattern = torch.linspace(0, 0.5, 6).view(1, 1, 2, 3).expand(1, 3, 2, 3)
    return pattern + torch.arange(count).view(-1, 1, 1, 1)


@pytest.mark.parametrize("count", [0, 1, 21, 22, 23, 31, 32, 33, 44, 54, 55, 77])
def test_offline_windows_overlap_and_align_at_any_length(count: int) -> None:
    network = Recorder()
    clip = numbered_clip(count)
    depths = offline(OfflineVideo(network), clip)
    assert len(network.calls) == -(-count // 22)
    assert len(depths) == count
    for depth, image in zip(depths, clip, strict=True):  # the first window's scale and shift hold for all
        torch.testing.assert_close(depth, image[0], rtol=1e-4, atol=1e-4)


def test_a_window_opens_with_the_key_frames_of_the_one_before() -> None:
    network = Recorder()
    offline(OfflineVideo(network), numbered_clip(60))
    first, second, third = network.calls
    assert first == list(range(32))
    assert second == [0, 12, *range(24, 54)]
    assert third == [0, 34, *range(46, 60), *[59] * 16]


def test_metric_depths_are_blended_but_not_aligned() -> None:
    depths = offline(OfflineVideo(Recorder(), metric=True), numbered_clip(40))
    assert depths[20][0, 0] == 20
    assert depths[39][0, 0] == 39 * 2 + 10
    assert 30 < depths[30][0, 0] < 30 * 2 + 10


def test_depths_come_back_in_order_and_soon() -> None:
    video = OfflineVideo(Recorder())
    counts = [len(video.feed(image)) for image in numbered_clip(76)]
    assert [index for index, count in enumerate(counts) if count] == [31, 53, 75]
    assert [count for count in counts if count] == [24, 22, 22]
    assert len(video.finish()) == 8


def test_a_finished_video_can_begin_again() -> None:
    video = OfflineVideo(Recorder())
    assert len(offline(video, numbered_clip(3))) == 3
    assert video.finish() == []
    assert len(offline(video, numbered_clip(5))) == 5


def test_depths_are_aligned_at_the_size_they_are_wanted_at() -> None:
    video = OfflineVideo(Recorder(), resize=lambda depths_thw: depths_thw.repeat(1, 2, 2))
    depths = offline(video, numbered_clip(40))
    assert {tuple(depth.shape) for depth in depths} == {(4, 6)}
    assert depths[39][3, 5] == pytest.approx(39.5, abs=1e-3)


def test_a_flat_reference_changes_nothing() -> None:
    depths = offline(OfflineVideo(torch.nn.Flatten(3, 4)), torch.ones(40, 1, 2, 3))
    assert all(torch.equal(depth.flatten(), torch.ones(6)) for depth in depths)


def test_a_picture_of_another_size_is_refused() -> None:
    video = OfflineVideo(Recorder())
    video.feed(torch.zeros(3, 2, 3))
    with pytest.raises(ValueError, match=r"shape \(3, 2, 4\), those before \(3, 2, 3\)"):
        video.feed(torch.zeros(3, 2, 4))
