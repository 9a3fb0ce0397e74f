"""``dptstream view``: depth as points and surfaces, in a window, in a browser, as pictures and as files."""

import itertools
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..viewer.keys import key_table
from .flags import CameraFlags, ModelFlags, SourceFlags
from .listening import ending_by_signal
from .view_feeds import (
    ServeChild,
    as_arguments,
    can_loop,
    is_endpoint,
    is_folder,
    length_of,
    once_through,
    open_folder,
    open_played,
)
from .view_flags import LookFlags, PageFlags, SaveFlags, SenderFlags, parse_size

if TYPE_CHECKING:
    from ..viewer.feeds import Feed
    from ..viewer.settings import ViewSettings
    from ..viewer.window import Tools
    from ..wire import FrameMessage

EXIT_INCOMPLETE = 3
_CAPACITY = 64
"""Frames that may wait where each one is wanted."""


@dataclass(frozen=True)
class View:
    """(Replaced below: it lists the keys.)"""

    what: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WHAT")] = "tcp://127.0.0.1:5577"
    """A feed (tcp://HOST:PORT), converted folder or recording; or a video, camera, picture or address to compute depth of."""
    frames: int | None = None
    """End after so many frames."""
    window: Annotated[str, tyro.conf.arg(metavar="WxH")] = "1280x800"
    """Size of the window, pictures and films, pixels."""
    look: LookFlags = field(default_factory=LookFlags)
    save: SaveFlags = field(default_factory=SaveFlags)
    page: PageFlags = field(default_factory=PageFlags)
    sender: SenderFlags = field(default_factory=SenderFlags)
    network: ModelFlags = field(default_factory=ModelFlags)
    selection: SourceFlags = field(default_factory=SourceFlags)
    camera: CameraFlags = field(default_factory=CameraFlags)
    temporal: Literal["off", "minimal", "light", "default", "strong"] = "default"
    """How depth that is computed here is steadied over time."""

    def run(self) -> int:
        """Show or save; exit code 3 when frames were missed that were wanted."""
        settings, size_wh = self.look.settings(self.camera.fov_x_deg), parse_size(self.window)
        self._check()
        with ExitStack() as exits:
            pool = exits.enter_context(ThreadPoolExecutor(1))
            graphics = pool.submit(self._check_graphics)
            child = ServeChild(self._serve_arguments())
            feed = exits.enter_context(closing(self._open(child)))
            if self.page.web:
                return self._serve_page(feed, settings, child)
            graphics.result()
            if self.save.any:
                return self._save(feed, settings, size_wh)
            return self._show(feed, settings, size_wh)

    def _check(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"--frames must be at least 1; got {self.frames}")
        if self.page.web and self.save.any:
            raise ValueError("a page saves nothing by itself: leave --web or --snapshot, --orbit and --export away")
        self.save.check()
        focal = self.camera.focal_px is not None or self.camera.focal_mm is not None
        if focal and (is_endpoint(self.what) or is_folder(self.what)):
            raise ValueError(
                "for a feed or folder say --fov-x-deg: a focal length belongs to the video it was filmed with"
            )

    def _check_graphics(self) -> None:
        exports_alone = self.save.any and not (self.save.snapshot or self.save.orbit)
        if not (self.page.web or exports_alone):
            from ..viewer.graphics import check_graphics

            check_graphics()

    def _open(self, child: ServeChild) -> "Feed":
        if is_endpoint(self.what):
            from ..viewer.live import LiveFeed, control_of

            control = None if self.sender.control == "off" else self.sender.control or control_of(self.what)
            capacity = _CAPACITY if self._wants_each else 1
            return LiveFeed(
                self.what, feed=self.sender.feed, keys=self.sender.keys(), control=control, capacity=capacity
            )
        if is_folder(self.what):
            return open_folder(self.what)
        _say(f"starting the network for {self.what}")
        own = [*_looped(self.what), *as_arguments(self.selection), *as_arguments(self.camera)]
        return open_played(self.what, child, own, capacity=_CAPACITY if self._wants_each else 1)

    @property
    def _fit_points(self) -> bool:
        return self.look.point_size is None

    @property
    def _wants_each(self) -> bool:
        return bool(self.save.export_ply or self.save.export_glb)

    def _serve_arguments(self) -> list[str]:
        pace = "--pace" if self.save.any else "--live"
        return ["--temporal", self.temporal, pace, *as_arguments(self.network)]

    def _show(self, feed: "Feed", settings: "ViewSettings", size_wh: tuple[int, int]) -> int:
        from ..viewer.window import Window

        print("\n".join(key_table()))
        view_deg = (self.look.yaw, self.look.pitch)
        window = Window(
            feed, settings, self._tools(feed), size_wh=size_wh, view_deg=view_deg, fit_points=self._fit_points
        )
        with ending_by_signal(window.close):
            window.run(self.frames)
        return 0

    def _tools(self, feed: "Feed") -> "Tools":
        from ..viewer.live import LiveFeed
        from ..viewer.window import Tools
        from .view_films import can_film, open_film, recorder

        record = recorder(feed.endpoint, self.sender.curve) if isinstance(feed, LiveFeed) else None
        return Tools(Path(), open_film if can_film() else None, record)

    def _serve_page(self, feed: "Feed", settings: "ViewSettings", child: ServeChild) -> int:
        from ..viewer.live import LiveFeed
        from ..viewer.web import WebOptions, WebServer, new_token, serve_page
        from ..viewer.web.access import is_loopback

        token = self.page.token or (None if is_loopback(self.page.host) else new_token())

        def play(path: Path) -> str:
            if isinstance(feed, LiveFeed):
                feed.expect_length(length_of(str(path)))
            child.play(str(path), _looped(str(path)))
            return f"playing {path.name.partition('-')[2]}"

        options = WebOptions(
            self.page.host,
            self.page.port,
            token,
            upload=play if child.running else None,
            smooth=feed.smooth if isinstance(feed, LiveFeed) and feed.steerable else None,
        )
        with ExitStack() as exits:

            def ready(server: WebServer) -> None:
                _say(f"the page is at {server.url}   (Ctrl-C ends it)")
                exits.enter_context(ending_by_signal(server.close))

            serve_page([feed], settings, options, on_ready=ready)
        return 0

    def _save(self, feed: "Feed", settings: "ViewSettings", size_wh: tuple[int, int]) -> int:
        from ..viewer.live import LiveFeed

        messages = self._messages(feed)
        if self._wants_each and isinstance(feed, LiveFeed) and not is_endpoint(self.what) and can_loop(self.what):
            messages = once_through(messages)
        last, missed = self._export(messages, settings)
        if self.save.snapshot is not None:
            skipped = 0 if last is not None else (self.frames or 1) - 1
            message = last or _nth(messages, skipped)
            self._save_snapshot(message, settings, size_wh)
        if self.save.orbit is not None:
            self._save_orbit(feed, settings, size_wh)
        if missed:
            _say(f"dptstream: {missed} frames came faster than they could be saved; convert the clip, and export that")
        return EXIT_INCOMPLETE if missed else 0

    def _messages(self, feed: "Feed") -> "Iterator[FrameMessage]":
        """Yield the frames of a folder, or those that come; raises WireError when none comes for too long."""
        from ..errors import WireError
        from ..viewer.sequence import SequenceFeed
        from ..viewer.shots import wait_for_frame

        if isinstance(feed, SequenceFeed):
            yield from feed.sequence
            return
        while True:
            message = wait_for_frame(feed, self.sender.timeout or None)
            if message is not None:
                yield message
                continue
            if feed.status().state == "ended":
                return
            raise WireError(
                f"no frame came for {self.sender.timeout:g} s: {feed.status().note or 'the feed is silent'}"
            )

    def _export(
        self, messages: "Iterator[FrameMessage]", settings: "ViewSettings"
    ) -> "tuple[FrameMessage | None, int]":
        """Write the files that were asked for; return the last frame written, and how many were missed before it."""
        from ..viewer.shots import export_cloud

        folders = [
            (folder, form)
            for folder, form in ((self.save.export_ply, "ply"), (self.save.export_glb, "glb"))
            if folder is not None
        ]
        if not folders:
            return None, 0
        from ..viewer.scene import Scene

        scene, last, count, missed = Scene(), None, 0, 0
        for message in messages:
            if last is not None and last.session == message.session:
                missed += max(0, message.sequence - last.sequence - 1)
            last, count = message, count + 1
            cloud = scene.cloud(last, settings)
            for folder, form in folders:
                export_cloud(folder / f"{last.feed}.{count:04d}.{form}", cloud, last, settings.mode)
            if count == self.frames:
                break
        for folder, form in folders:
            print(f"{folder}: {count} {form.upper()} files")
        return last, missed

    def _save_snapshot(self, message: "FrameMessage", settings: "ViewSettings", size_wh: tuple[int, int]) -> None:
        from ..viewer.exports import png_bytes, save_bytes
        from ..viewer.shots import snapshot

        assert self.save.snapshot is not None
        image = snapshot(
            message, settings, size_wh, yaw_deg=self.look.yaw, pitch_deg=self.look.pitch, fit_points=self._fit_points
        )
        save_bytes(self.save.snapshot, png_bytes(image))
        print(f"{self.save.snapshot}: {size_wh[0]}x{size_wh[1]}, {_origin(message)}")

    def _save_orbit(self, feed: "Feed", settings: "ViewSettings", size_wh: tuple[int, int]) -> None:
        from ..viewer.shots import film_orbit, frames_over_time
        from .view_films import open_film

        assert self.save.orbit is not None
        message_at = frames_over_time(feed, self.sender.timeout or None)
        with closing(open_film(self.save.orbit, 25)) as film:
            count = film_orbit(
                message_at, settings, size_wh, film, self.save.orbit_seconds, fit_points=self._fit_points
            )
        print(f"{self.save.orbit}: {count} pictures of {size_wh[0]}x{size_wh[1]}, {_origin(message_at(0.0))}")


_KEYS = "\n".join(key_table())

View.__doc__ = f"""See depth as coloured points or a surface, and fly around it.

Shows a running feed (no torch needed), a converted folder, a recording, or anything whose depth is computed at once.
Without a window: --web, --snapshot, --orbit, --export-ply, --export-glb; they need no display.

Keys in the window:
{_KEYS}
"""


def _looped(what: str) -> list[str]:
    return ["--loop"] if can_loop(what) else []


def _nth(messages: "Iterator[FrameMessage]", skipped: int) -> "FrameMessage":
    """Return the frame after so many, or the last where there are fewer; raises WireError where there is none."""
    from ..errors import WireError

    found = deque(itertools.islice(messages, skipped + 1), maxlen=1)
    if not found:
        raise WireError("the feed ended before a frame came")
    return found[0]


def _origin(message: "FrameMessage") -> str:
    return f"{message.model} ({message.model_license or 'licence unknown'}), {message.pts_seconds:.2f} s of {message.source.name}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
