"""The thread between a feed and a window: takes the newest frame and has it ready to be drawn. Draws nothing."""

import threading
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DptStreamError, describe
from ..wire import FrameMessage
from .cloud import Cloud
from .feeds import Feed
from .scene import Scene
from .settings import ViewSettings

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A frame, and what of it is drawn."""

    message: FrameMessage
    """What it was made of."""
    settings: ViewSettings
    """And how."""
    cloud: Cloud
    """What it shows, in OpenCV's axes."""
    left_out: NDArray[np.intp]
    """Places in the grid of points, or of squares of a surface, that are not drawn."""
    count: int
    """Points that are seen; of a surface, its vertices."""
    milliseconds: float
    """How long this took."""


def draw(scene: Scene, message: FrameMessage, settings: ViewSettings) -> Drawing:
    """Return ``message`` ready to be drawn; always in OpenCV's axes."""
    began = time.perf_counter()
    cloud = scene.cloud(message, replace(settings, axes="opencv"))
    left_out = np.flatnonzero(~(cloud.solid if settings.mode == "surface" else cloud.keep))
    count = int(np.count_nonzero(cloud.keep))
    return Drawing(message, settings, cloud, left_out, count, (time.perf_counter() - began) * 1000)


class Updater:
    """Keeps the newest frame of a feed ready. Started by ``with``; everything may be called from any thread.

    Args:
        feed: Where frames come from; closed by whoever opened it.
        settings: How to show them at first.
    """

    def __init__(self, feed: Feed, settings: ViewSettings) -> None:
        self._feed = feed
        self._settings = settings
        self._frozen = False
        self._ready: Drawing | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._note = ""
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="dptstream-updater", daemon=True)

    def __enter__(self) -> "Updater":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(5)

    @property
    def settings(self) -> ViewSettings:
        """How frames are shown."""
        return self._settings

    def show(self, settings: ViewSettings) -> None:
        """Show frames otherwise, beginning with the one that is shown."""
        with self._changed:
            self._settings = settings
            self._changed.notify_all()

    @property
    def frozen(self) -> bool:
        """Whether no new frame is taken."""
        return self._frozen

    def freeze(self, *, frozen: bool) -> None:
        """Take no new frame, or take them again."""
        with self._changed:
            self._frozen = frozen
            self._changed.notify_all()

    @property
    def note(self) -> str:
        """What is wrong with the frame that should be seen; empty where nothing is."""
        return self._note

    def take(self, timeout: float = 0.0) -> Drawing | None:
        """Return the newest drawing if it was not taken yet; raises what ended the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready is not None or self._failure is not None, timeout)
            if self._failure is not None:
                raise self._failure
            ready, self._ready = self._ready, None
            self._changed.notify_all()
            return ready

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - raised by whoever takes the next drawing
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _run(self) -> None:
        scene = Scene()
        shown: tuple[FrameMessage, ViewSettings] | None = None
        while not self._stopping:
            message = None
            if self._frozen and shown is not None:
                with self._changed:
                    self._changed.wait(_POLL_SECONDS)
            else:
                message = self._feed.newest(_POLL_SECONDS)
            settings = self._settings
            if message is None and (shown is None or settings is shown[1]):
                continue
            if message is None:
                assert shown is not None
                message = shown[0]
            shown = message, settings
            try:
                drawing = draw(scene, message, settings)
                self._note = ""
            except DptStreamError as error:
                self._note = describe(error)
                continue
            self._offer(drawing)

    def _offer(self, drawing: Drawing) -> None:
        """Put it where the window takes it, and wait until it did: what is older than a window is fast is not made."""
        with self._changed:
            self._ready = drawing
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._ready is None or self._stopping or self._settings is not drawing.settings
            )
