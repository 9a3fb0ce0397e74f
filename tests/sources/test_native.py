"""Pictures as the decoder stores them, beside the RGB of the same frame; decoders on cards, and the ways back from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from dptstream.engine.yuv import rgb_from_yuv
from dptstream.errors import SourceError
from dptstream.frames import VideoFrame, YuvForm
from dptstream.sources import Crop, SourceOptions, SourceStats, open_source
from dptstream.sources import native as native_module
from dptstream.sources import reader as reader_module
from tests.media import Coding, write_video

NATIVE = SourceOptions(native=True)
X264 = Coding()


def noise(width: int, height: int, count: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(width)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def clip(folder: Path, width: int = 96, height: int = 64, coding: Coding = X264) -> Path:
    return write_video(folder / "clip.mkv", noise(width, height), coding)


def frames_of(path: Path, options: SourceOptions) -> tuple[list[VideoFrame], SourceStats]:
    with open_source(str(path), options) as source:
        return list(source), source.stats


def rgb_of(frame: VideoFrame) -> np.ndarray:
    stored = torch.empty(frame.native.form.byte_count, dtype=torch.uint8)
    frame.native.copy_to(stored)
    return rgb_from_yuv(stored[None], frame.native.form)[0].numpy()


@pytest.mark.parametrize(
    ("size_wh", "pixel_format", "form"),
    [
        ((96, 64), "yuv420p", ("bt601", False)),
        ((1280, 720), "yuv420p", ("bt709", False)),
        ((96, 64), "yuvj420p", ("bt601", True)),
    ],
)
def test_the_planes_say_the_same_as_the_rgb(tmp_path: Path, size_wh, pixel_format: str, form) -> None:
    coding = replace(X264, pixel_format=pixel_format, codec="mjpeg" if "j" in pixel_format else "libx264", options={})
    frames, _ = frames_of(clip(tmp_path, *size_wh, coding), NATIVE)
    assert len(frames) == 3
    for frame in frames:
        assert frame.native.form == YuvForm(size_wh[1], size_wh[0], *form)
        assert (
            np.abs(rgb_of(frame).astype(int) - frame.image).max() <= 3
        )  # to the bit on x86, see tests/engine/test_yuv.py


def test_planes_come_only_where_they_are_asked_for(tmp_path: Path) -> None:
    frames, _ = frames_of(clip(tmp_path), SourceOptions())
    assert [frame.native for frame in frames] == [None, None, None]


@pytest.mark.parametrize(
    ("coding", "options"),
    [
        (replace(X264, rotation_deg=90), NATIVE),
        (replace(X264, pixel_format="yuv444p"), NATIVE),
        (replace(X264, codec="ffv1", pixel_format="bgr0", options={}), NATIVE),
        (X264, replace(NATIVE, crop=Crop(2, 2, 40, 40))),
    ],
)
def test_what_needs_more_than_other_colours_comes_as_rgb_alone(tmp_path: Path, coding, options) -> None:
    path = write_video(tmp_path / "clip.mp4" if coding.rotation_deg else tmp_path / "clip.mkv", noise(96, 64), coding)
    frames, _ = frames_of(path, options)
    assert len(frames) == 3
    assert all(frame.native is None for frame in frames)


def test_odd_sides_come_as_rgb_alone() -> None:
    from dptstream.sources.native import native_picture

    assert native_picture(av.VideoFrame(97, 65, "yuv420p")) is None
    interleaved = native_picture(av.VideoFrame(96, 64, "nv12"))
    assert [plane.shape for plane in interleaved.chroma] == [(32, 48), (32, 48)]


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="a card is here and may decode; see tests/engine/test_gpu_networks.py"
)
def test_without_a_card_the_processor_decodes_and_says_so(tmp_path: Path) -> None:
    path = clip(tmp_path)
    frames, stats = frames_of(path, SourceOptions(card=0))
    expected, _ = frames_of(path, SourceOptions())
    for frame, reference in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.image, reference.image)
        assert frame.native is not None
    assert (stats.decoded, stats.decoded_on_card) == (3, 0)
    (line,) = stats.warnings
    assert line.startswith("pictures are decoded on the processor: ")
    assert line.endswith("(CUDA device 0)")


def test_a_missing_file_is_a_missing_file_with_a_card_too(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_source(str(tmp_path / "none.mp4"), SourceOptions(card=0))


def test_a_codec_that_the_card_does_not_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV then passes over the card without a word."""
    plainly = reader_module._open_plainly
    monkeypatch.setattr(
        reader_module, "_open_plainly", lambda location, options, _card=None: plainly(location, options)
    )
    frames, stats = frames_of(clip(tmp_path), SourceOptions(card=0))
    assert len(frames) == 3
    assert stats.warnings == ["pictures are decoded on the processor: the card knows no h264 video"]


def test_the_cards_decoder_works_in_the_context_that_torch_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg's own way to it fails where PyTorch was there first, and a network on the card always was."""
    told: list[object] = []

    @contextmanager
    def device(card: int) -> Iterator[None]:
        told.append(f"on {card}")
        yield
        told.append("off")

    plainly = reader_module._open_plainly

    def opened(location: str, options: SourceOptions, card: HWAccel | None = None) -> InputContainer:
        told.append(card and card.options.get("current_ctx"))
        return plainly(location, options)

    for name, stand_in in (
        ("is_available", lambda: True),
        ("device_count", lambda: 2),
        ("device", device),
        ("mem_get_info", lambda: told.append("touched")),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(reader_module, "_open_plainly", opened)
    frames_of(clip(tmp_path), SourceOptions(card=1))
    assert told == ["on 1", "touched", "1", "off"]
    told.clear()
    frames_of(clip(tmp_path), SourceOptions(card=2))  # there is none: FFmpeg says so
    assert told == [None]


def test_ten_bit_planes_are_not_taken_for_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyAV 17 shares the card's ten-bit pictures, too, without a word about their format."""
    monkeypatch.setattr(native_module, "_tensor_of", lambda _plane: torch.zeros(2, 2, dtype=torch.uint16))
    assert native_module.native_picture(av.VideoFrame(96, 64, "nv12")) is None


def test_frames_that_ffmpeg_decoded_itself_after_all_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that the card refuses shows in the first frame only: its decoder was there when the file was opened."""
    plainly, stats = reader_module._open_plainly, SourceStats()
    monkeypatch.setattr(
        reader_module, "_open_plainly", lambda location, options, _card=None: plainly(location, options)
    )
    reader = reader_module.StreamReader(str(clip(tmp_path)), SourceOptions(), stats)
    reader._on_card = True
    assert len(list(reader.frames())) == 3
    reader.close()
    assert (stats.decoded, stats.decoded_on_card) == (3, 0)
    assert stats.warnings == ["pictures are decoded on the processor: it does not take this kind of h264 video"]
