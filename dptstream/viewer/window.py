"""The desktop window: a feed as points or a surface that one flies around. Opens files where keys ask for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DptStreamError, describe
from ..geometry import Intrinsics
from .canvas import Canvas
from .exports import png_bytes, save_bytes, save_cloud
from .feeds import Feed
from .keys import KEYS, key_lines, words
from .poses import Frame, Lens, frame_of, orbited, own_view
from .scene import Scene
from .settings import ViewSettings
from .updating import Drawing, Updater

SIZE_WH = (1280, 800)
_FRAME_SECONDS = 1 / 60
_SAID_SECONDS = 4.0
"""How long an answer to a key stays on the screen."""
_KEYS_SECONDS = 10.0
"""How long all keys stand on the screen at first; they come back with H."""
_STATUS_SECONDS = 0.5
_VIDEO_FPS = 25
_SAME_LENS = 1.1
"""Pictures that differ by less than this factor in shape or focal length are seen from where the eye stands."""
_ESCAPE, _SPACE, _F11 = 256, 32, 300
_RIGHT, _LEFT, _HOME, _END = 262, 263, 268, 269


class VideoWriter(Protocol):
    """Writes pictures of one size as a film."""

    def write(self, image_hwc: NDArray[np.uint8]) -> None:
        """Add a picture, (H, W, 3) RGB."""

    def close(self) -> None:
        """Finish the file; may be called twice."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What keys can do beyond showing, for it needs what a viewer has not."""

    folder: Path = Path()
    """Where pictures, points and films are saved."""
    open_video: Callable[[Path, int], VideoWriter] | None = None
    """Opens a film with so many pictures a second; None where there is no encoder."""
    record: Callable[[Path], Callable[[], None]] | None = None
    """Begins to record the feed into a file, and returns what ends it; None where that cannot be."""


class Window:
    """Shows a feed until the window is closed. For the main thread.

    Args:
        feed: What to show; closed by whoever opened it.
        settings: How to show it at first.
        tools: What keys may use.
        size_wh: Width and height, pixels.
        visible: Whether anybody sees it.
        view_deg: How far the eye has gone right and up in the view that it begins with, and is reset to.
        fit_points: Whether points are made as large as frames need, until a key changes it, instead of what ``settings`` say.
    """

    def __init__(
        self,
        feed: Feed,
        settings: ViewSettings,
        tools: Tools | None = None,
        *,
        size_wh: tuple[int, int] = SIZE_WH,
        visible: bool = True,
        view_deg: tuple[float, float] = (0.0, 0.0),
        fit_points: bool = False,
    ) -> None:
        self._fit_points = fit_points
        self._fitted_points: float | None = None
        self._view_deg = view_deg
        self._feed = feed
        self._tools = tools or Tools()
        self._updater = Updater(feed, settings)
        self._canvas = Canvas(f"dptstream: {feed.title}", size_wh, visible=visible)
        self._drawing: Drawing | None = None
        self._frame = Frame()
        self._keys_until = float("inf")
        self._answer: tuple[str, float] = ("", 0.0)
        self._status = ("", 0.0)
        self._film: VideoWriter | None = None
        self._film_due = 0.0
        self._stop_recording: Callable[[], None] | None = None
        self._shown: list[float] = []
        self._closing = False

    def run(self, frames: int | None = None) -> int:
        """Show until the window is closed, or so many frames were; return how many were. Raises what ended the feed."""
        count = 0
        with self._canvas, self._updater:
            self._bind()
            try:
                while not self._closing and (frames is None or count < frames):
                    began = time.monotonic()
                    count += self._turn()
                    time.sleep(max(0.0, _FRAME_SECONDS - (time.monotonic() - began)))
            finally:
                self._end_film()
                self._end_recording()
        return count

    def close(self) -> None:
        """End ``run``; from any thread or signal handler."""
        self._closing = True

    def _turn(self) -> bool:
        """Go once around; return whether a new frame was shown."""
        drawing = self._updater.take()
        if drawing is not None:
            self._show(drawing)
        self._canvas.say(key_lines() if time.monotonic() < self._keys_until else [], self._status_lines())
        if not self._canvas.draw():
            self._closing = True
        if self._film is not None and time.monotonic() >= self._film_due:
            self._film_due = max(self._film_due + 1 / _VIDEO_FPS, time.monotonic() - 1)
            self._film.write(self._canvas.picture())
        return drawing is not None and drawing.message is not None

    def _show(self, drawing: Drawing) -> None:
        before, self._drawing = self._drawing, drawing
        if before is None or before.cloud.camera != drawing.cloud.camera:
            self._fit(drawing)
        self._canvas.put(drawing, self._updater.settings)
        if before is None or _sees_otherwise(drawing.message.intrinsics, before.message.intrinsics):
            self._reset_view()
        if before is None:
            self._keys_until = min(self._keys_until, time.monotonic() + _KEYS_SECONDS)
        if before is None or drawing.message is not before.message:
            self._shown = [*self._shown[-30:], time.monotonic()]

    def _fit(self, drawing: Drawing) -> None:
        """Make points as large as this frame's grid needs, unless the user chose a size."""
        settings = self._updater.settings
        if not self._fit_points or self._fitted_points not in (None, settings.point_size):
            return
        size_wh = self._canvas.size_wh
        self._fitted_points = Lens.fitting(drawing.cloud, size_wh).point_pixels(drawing.cloud, size_wh[1])
        if self._fitted_points != settings.point_size:
            self._updater.show(replace(settings, point_size=self._fitted_points))

    def _reset_view(self, *, own: bool = False) -> None:
        if self._drawing is None:
            return
        self._frame = frame_of(self._drawing.cloud)
        lens = Lens.fitting(self._drawing.cloud, self._canvas.size_wh)
        yaw_deg, pitch_deg = self._view_deg
        pose = own_view() if own else orbited(self._frame, lens.tangents, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
        self._canvas.look(pose, self._frame, lens)

    # What stands on the screen.

    def _status_lines(self) -> list[str]:
        now = time.monotonic()
        if now - self._status[1] >= _STATUS_SECONDS:
            self._status = (self._status_line(), now)
        answer, until = self._answer
        lines = [answer] if answer and now < until else []
        return [*lines, self._status[0], f"{words(self._updater.settings)}   (H: keys)"]

    def _status_line(self) -> str:
        status, drawing, transport = self._feed.status(), self._drawing, self._feed.transport
        parts = [self._feed.title, "frozen" if self._updater.frozen else status.state]
        if transport is not None:
            playback = transport.status()
            length = f" / {playback.length:.2f}" if playback.length is not None else ""
            loop = ", loop" if playback.loop else ""
            speed = f", x{playback.speed:g}" if playback.speed != 1 else ""
            parts.append(f"{playback.position:.2f}{length} s{loop}{speed}")
        if drawing is not None:
            depth = drawing.message.depth
            parts.append(f"{depth.width}x{depth.height} {depth.kind.value.replace('_', ' ')}")
            parts.append(f"{drawing.count:,} points")
            if len(self._shown) > 1:
                parts.append(f"{(len(self._shown) - 1) / (time.monotonic() - self._shown[0]):.1f} frames/s")
        parts += [note for note in (self._updater.note, status.note) if note]
        return " | ".join(parts)

    def _say(self, answer: str) -> None:
        self._answer = (answer, time.monotonic() + _SAID_SECONDS)

    # What the keys do.

    def _bind(self) -> None:
        for key in KEYS:
            self._canvas.on_key(ord(key.name), partial(self._change, key.change))
        acts: dict[int, Callable[[bool], None]] = {
            ord("V"): self._field_of_view,
            _SPACE: lambda _: self._pause(),
            ord("Z"): lambda _: self._freeze(),
            _LEFT: lambda shift: self._step(-1, shift=shift),
            _RIGHT: lambda shift: self._step(1, shift=shift),
            _HOME: lambda _: self._seek(0.0),
            _END: lambda _: self._seek(float("inf")),
            ord("L"): lambda _: self._loop(),
            ord("["): lambda _: self._speed(0.5),
            ord("]"): lambda _: self._speed(2.0),
            ord("R"): lambda _: self._reset_view(),
            ord("0"): lambda _: self._reset_view(own=True),
            ord("S"): lambda _: self._save_picture(),
            ord("Y"): lambda shift: self._save_cloud(".glb" if shift else ".ply"),
            ord("X"): lambda shift: self._toggle_film() if shift else self._toggle_recording(),
            ord("H"): lambda _: self._toggle_keys(),
            _F11: lambda _: self._canvas.toggle_full_screen(),
            _ESCAPE: lambda _: self.close(),
        }
        for code, act in acts.items():
            self._canvas.on_key(code, act)

    def _change(self, change: Callable[[ViewSettings, int], ViewSettings], shift: bool) -> None:
        self._updater.show(change(self._updater.settings, -1 if shift else 1))
        self._status = ("", 0.0)

    def _field_of_view(self, shift: bool) -> None:
        settings = self._updater.settings
        now = settings.fov_x_deg
        if now is None:
            now = 60.0 if self._drawing is None else float(np.degrees(self._drawing.message.intrinsics.fov_x_rad))
        self._updater.show(replace(settings, fov_x_deg=min(max(now + (-5 if shift else 5), 10.0), 150.0)))

    def _pause(self) -> None:
        transport = self._feed.transport
        if transport is None:
            self._freeze()
        else:
            self._updater.freeze(frozen=False)
            transport.pause(paused=not transport.status().paused)

    def _freeze(self) -> None:
        self._updater.freeze(frozen=not self._updater.frozen)

    def _step(self, way: int, *, shift: bool) -> None:
        transport = self._feed.transport
        if transport is None:
            self._say("this feed comes live: it has no frames to step to")
        elif shift:
            transport.seek(max(0.0, transport.status().position + way))
        else:
            transport.step(way)

    def _seek(self, seconds: float) -> None:
        transport = self._feed.transport
        length = None if transport is None else transport.status().length
        if transport is None or (length is None and seconds > 0):
            self._say("this feed has no such moment")
        else:
            transport.seek(min(seconds, length if length is not None else 0.0))

    def _loop(self) -> None:
        transport = self._feed.transport
        if transport is None:
            self._say("this feed comes live: it has no end to begin again at")
        else:
            transport.set_loop(enabled=not transport.status().loop)

    def _speed(self, factor: float) -> None:
        transport = self._feed.transport
        if transport is None or not transport.can_change_speed:
            self._say("this feed gives its own pace")
            return
        try:
            transport.set_speed(transport.status().speed * factor)
        except ValueError as refusal:
            self._say(str(refusal))

    def _toggle_keys(self) -> None:
        self._keys_until = 0.0 if time.monotonic() < self._keys_until else float("inf")

    # What is saved.

    def _path(self, suffix: str) -> Path:
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        return self._tools.folder / f"dptstream-{stamp}{suffix}"

    def _save_picture(self) -> None:
        self._save(self._path(".png"), lambda path: save_bytes(path, png_bytes(self._canvas.picture())))

    def _save_cloud(self, suffix: str) -> None:
        drawing = self._drawing
        if drawing is None:
            return
        settings = drawing.settings
        message = drawing.message
        comments = [f"source {message.source.name}", f"model {message.model} {message.model_license}"]
        cloud = Scene().cloud(message, settings) if settings.axes != "opencv" else drawing.cloud
        self._save(self._path(suffix), lambda path: save_cloud(path, cloud, settings.mode, comments))

    def _save(self, path: Path, save: Callable[[Path], None]) -> None:
        try:
            save(path)
        except DptStreamError as error:
            self._say(describe(error))
        else:
            self._say(f"saved {path}")

    def _toggle_film(self) -> None:
        if self._film is not None:
            self._end_film()
        elif self._tools.open_video is None:
            self._say("a film needs an encoder: pip install av")
        else:
            path = self._path(".mp4")
            try:
                self._film = self._tools.open_video(path, _VIDEO_FPS)
            except DptStreamError as error:
                self._say(describe(error))
                return
            self._film_due = time.monotonic()
            self._say(f"filming the window into {path}; Shift+X ends it")

    def _end_film(self) -> None:
        if self._film is not None:
            self._film.close()
            self._film = None
            self._say("the film is saved")

    def _toggle_recording(self) -> None:
        if self._stop_recording is not None:
            self._end_recording()
        elif self._tools.record is None:
            self._say("this cannot be recorded: only a feed that runs can, and PyAV is needed")
        else:
            path = self._path(".mkv")
            self._stop_recording = self._tools.record(path)
            self._say(f"recording the feed into {path}; X ends it")

    def _end_recording(self) -> None:
        if self._stop_recording is not None:
            self._stop_recording()
            self._stop_recording = None
            self._say("the recording is saved")


def _sees_otherwise(camera: Intrinsics, before: Intrinsics) -> bool:
    """Return whether a frame comes from another camera or has another shape; a lens that breathes is the same one."""
    shares = ((one.width / one.height, one.fx / one.width) for one in (camera, before))
    return any(not 1 / _SAME_LENS < new / old < _SAME_LENS for new, old in zip(*shares, strict=True))
