"""From the messages of a feed, one after the other, to what is shown of them. Keeps what a shot needs; opens nothing."""

import io

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, WireError
from ..wire import FrameMessage, JpegColor
from .cloud import Cloud, camera_of, cloud_of, distances
from .filters import FilterChain
from .settings import ViewSettings

_FOLLOW = 0.1
"""Share of a frame's own range that is taken up, where a feed gives one for each frame: it must not pump."""


class Scene:
    """Makes clouds of the frames of one feed. For one thread."""

    def __init__(self) -> None:
        self._filters = FilterChain()
        self._session = ""
        self._shown: tuple[float, float] | None = None
        self._last: FrameMessage | None = None
        self._picture: NDArray[np.uint8] | None = None

    def cloud(self, message: FrameMessage, settings: ViewSettings) -> Cloud:
        """Return what to show of ``message``; given the same one again, with other settings, time stands still.

        Raises:
            WireError: Its picture is damaged.
            MissingExtraError: Its picture is a JPEG and Pillow is not installed.
        """
        again = message is self._last
        if not again:
            self._advance(message)
        shown = self._shown
        distance_hw = distances(message.depth, settings, shown)
        camera = camera_of(message, settings).scaled_to(distance_hw.shape[1], distance_hw.shape[0])
        distance_hw, camera = self._filters.apply(distance_hw, camera, settings.filters, again=again)
        if settings.color == "picture" and self._picture is None and isinstance(message.color, JpegColor):
            self._picture = message.color.decoded(decode_jpeg).pixels
        return cloud_of(distance_hw, camera, message, settings, shown=shown, picture=self._picture)

    def _advance(self, message: FrameMessage) -> None:
        own = (message.depth.low, message.depth.high)
        if message.scene_cut or message.discontinuity or message.session != self._session:
            self._filters.reset()
            self._shown = None
        if message.depth.scope != "frame" or self._shown is None:
            self._shown = own
        else:
            low, high = (old + _FOLLOW * (new - old) for old, new in zip(self._shown, own, strict=True))
            self._shown = low, high
        self._session, self._last, self._picture = message.session, message, None


def decode_jpeg(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Return the (H, W, 3) RGB picture in a JPEG file.

    Raises:
        WireError: It is damaged.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("this feed's pictures are JPEGs, which need Pillow: pip install pillow") from None
    try:
        return np.asarray(Image.open(io.BytesIO(data), formats=["JPEG"]).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise WireError(f"a picture of the feed is damaged: {error}") from None
