"""The card's conversion of colours against FFmpeg's own."""

import platform

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from dptstream.engine.yuv import rgb_from_yuv
from dptstream.frames import YuvForm, YuvPicture

MATRICES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
TOLERANCE = 0 if platform.machine().lower() in {"x86_64", "amd64"} else 3


def random_frame(width: int, height: int) -> tuple[av.VideoFrame, list[np.ndarray]]:
    random = np.random.default_rng(width)
    frame = av.VideoFrame(width, height, "yuv420p")
    planes = []
    for plane in frame.planes:
        codes = random.integers(0, 256, (plane.height, plane.width)).astype(np.uint8)
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width] = codes
        planes.append(codes)
    return frame, planes


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("size_wh", [(320, 180), (66, 34), (2, 2)])
def test_every_code_becomes_the_rgb_that_ffmpeg_gives(matrix, full_range: bool, size_wh: tuple[int, int]) -> None:
    frame, planes = random_frame(*size_wh)
    frame.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    wanted = VideoReformatter().reformat(frame, format="rgb24", src_colorspace=MATRICES[matrix]).to_ndarray()
    form = YuvForm(size_wh[1], size_wh[0], matrix, full_range)
    stored = torch.from_numpy(np.concatenate([plane.reshape(-1) for plane in planes]))
    given = rgb_from_yuv(stored[None], form)[0].numpy()
    assert np.abs(given.astype(int) - wanted).max() <= TOLERANCE


def test_pictures_of_a_batch_do_not_mix() -> None:
    form = YuvForm(4, 6, "bt709", full_range=False)
    stored = torch.randint(0, 256, (3, form.byte_count), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    before = stored.clone()
    alone = torch.cat([rgb_from_yuv(one[None], form) for one in stored])
    assert torch.equal(rgb_from_yuv(stored, form), alone)
    assert torch.equal(stored, before)


def test_a_picture_with_interleaved_colours_and_padded_rows_is_laid_out_plane_by_plane() -> None:
    form = YuvForm(4, 6, "bt601", full_range=True)
    luma, colours = torch.arange(32, dtype=torch.uint8).view(4, 8)[:, :6], torch.arange(12).byte().view(2, 3, 2)
    stored = torch.zeros(form.byte_count, dtype=torch.uint8)
    YuvPicture(form, luma, (colours[..., 0], colours[..., 1])).copy_to(stored)
    assert stored.tolist() == [*luma.flatten().tolist(), *range(0, 12, 2), *range(1, 12, 2)]


@pytest.mark.parametrize("size_hw", [(3, 4), (4, 0), (5, 5)])
def test_sides_that_are_not_even_are_refused(size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="sides must be even and positive; got"):
        YuvForm(*size_hw, "bt709", full_range=False)
