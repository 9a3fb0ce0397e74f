"""Pictures, films and files of a feed, made without anybody watching. Opens an unseen window where it must."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import WireError
from ..wire import FrameMessage
from .canvas import Canvas
from .cloud import Cloud
from .exports import save_cloud
from .feeds import Feed
from .poses import Lens, frame_of, orbited, swing
from .scene import Scene
from .sequence import SequenceFeed
from .settings import Mode, ViewSettings
from .updating import draw
from .window import VideoWriter

ORBIT_FPS = 25
"""Pictures a second of an orbit."""
_POLL_SECONDS = 0.2


def snapshot(
    message: FrameMessage,
    settings: ViewSettings,
    size_wh: tuple[int, int],
    *,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    fit_points: bool = False,
) -> NDArray[np.uint8]:
    """Return a picture of one frame, (H, W, 3) RGB, from the front or so many degrees to the right and up.

    ``fit_points`` makes points as large as they need be, instead of what ``settings`` say.
    """
    drawing = draw(Scene(), message, settings)
    frame, lens = frame_of(drawing.cloud), Lens.fitting(drawing.cloud, size_wh)
    if fit_points:
        settings = replace(settings, point_size=lens.point_pixels(drawing.cloud, size_wh[1]))
    with Canvas("dptstream", size_wh, visible=False) as canvas:
        canvas.put(drawing, settings)
        canvas.look(orbited(frame, lens.tangents, yaw_deg=yaw_deg, pitch_deg=pitch_deg), frame, lens)
        return canvas.picture()


def film_orbit(
    message_at: Callable[[float], FrameMessage],
    settings: ViewSettings,
    size_wh: tuple[int, int],
    writer: VideoWriter,
    seconds: float,
    *,
    fit_points: bool = False,
) -> int:
    """Write a film of the feed while the eye swings once around it; return how many pictures it has.

    Args:
        message_at: Gives the frame to show at so many seconds of the film.
        settings: How to show it.
        size_wh: Width and height, pixels.
        writer: Takes the pictures; closed by whoever opened it.
        seconds: How long the film is.
        fit_points: Make points as large as they need be, instead of what ``settings`` say.
    """
    scene, count = Scene(), max(1, round(seconds * ORBIT_FPS))
    drawing = draw(scene, message_at(0.0), settings)
    frame = frame_of(drawing.cloud)  # held, so that the eye does not shake with the depth
    lens = Lens.fitting(drawing.cloud, size_wh)
    if fit_points:
        settings = replace(settings, point_size=lens.point_pixels(drawing.cloud, size_wh[1]))
    with Canvas("dptstream", size_wh, visible=False) as canvas:
        canvas.put(drawing, settings)
        for number, pose in enumerate(swing(frame, lens.tangents, count)):
            message = message_at(number / ORBIT_FPS)
            if message is not drawing.message:
                drawing = draw(scene, message, settings)
                canvas.put(drawing, settings)
            canvas.look(pose, frame, lens)
            writer.write(canvas.picture())
    return count


def frames_over_time(feed: Feed, timeout: float | None) -> Callable[[float], FrameMessage]:
    """Return what gives the frame to show at a moment: of a folder the true one, else the newest that came.

    What is returned raises WireError where nothing comes within ``timeout`` seconds at first; None waits for ever.
    """
    last: list[FrameMessage] = []
    if isinstance(feed, SequenceFeed):
        sequence = feed.sequence
        times = [sequence.seconds(index) for index in range(len(sequence))]

        def of_folder(seconds: float) -> FrameMessage:
            index = int(np.searchsorted(times, seconds % sequence.length + 1e-6, side="right")) - 1
            if not last or last[0].sequence != index:
                last[:] = [sequence.frame(index)]
            return last[0]

        return of_folder

    def as_it_comes(_: float) -> FrameMessage:
        message = feed.newest(0.0) if last else wait_for_frame(feed, timeout)
        if message is not None:
            last[:] = [message]
        if not last:
            raise WireError(f"no frame came: {feed.status().note or 'the feed is silent'}")
        return last[0]

    return as_it_comes


def export_cloud(path: Path, cloud: Cloud, message: FrameMessage, mode: Mode) -> None:
    """Write a frame's points or surface as the suffix of ``path`` says, with where it comes from; raises SinkError."""
    comments = (
        f"source {message.source.name}, {message.pts_seconds:.6f} s",
        f"model {message.model}, licence of its weights: {message.model_license or 'unknown'}",
    )
    save_cloud(path, cloud, mode, comments)


def wait_for_frame(feed: Feed, timeout: float | None) -> FrameMessage | None:
    """Return the next frame that comes within so many seconds and before the end, else None; None waits for ever."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while deadline is None or time.monotonic() < deadline:
        message = feed.newest(_POLL_SECONDS)
        if message is not None or feed.status().state == "ended":
            return message
    return None
