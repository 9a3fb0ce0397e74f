"""The page in a true browser: Debian's Chromium, driven by Playwright. Drawing is SwiftShader's, on the CPU."""

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--headless=new", "--no-sandbox"]
ARGUMENTS += ["--disable-dev-shm-usage"]  # which containers keep too small for pictures
WAIT_SECONDS = 120.0
"""A frame may take seconds on a CPU that others use."""


def find_chromium() -> str:
    """Return the browser's path, or skip the test saying what is missing."""
    pytest.importorskip("playwright", reason="the page's tests drive a browser: pip install playwright")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        pytest.skip("the page's tests need a browser: apt-get install chromium, or name one in CHROMIUM")
    return path


@contextmanager
def a_browser() -> Iterator[Any]:
    """Start Chromium."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=WAIT_SECONDS * 1000)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """One tab with the page. ``complaints`` collects what its console says is wrong."""

    def __init__(self, browser: Any, size: tuple[int, int] = (900, 560), **context: Any) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **context)
        self.context.set_default_timeout(WAIT_SECONDS * 1000)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", self._listen)
        self.tab.on("request", lambda request: self.requested.append(request.url))

    def open(self, url: str) -> "Window":
        """Open the page, and wait until it shows a frame."""
        self.tab.goto(url)
        self.until(lambda: self.frames > 0)
        return self

    @property
    def frames(self) -> int:
        """How many frames were shown since the page was loaded."""
        return int(self.tab.evaluate("document.body.dataset.frames ?? 0"))

    @property
    def state(self) -> str:
        """What the badge says."""
        return str(self.tab.evaluate("document.body.dataset.state ?? ''"))

    def await_frames(self, count: int) -> None:
        """Wait until so many more frames are shown."""
        wanted = self.frames + count
        self.until(lambda: self.frames >= wanted)

    def until(self, condition: Callable[[], bool], timeout: float = WAIT_SECONDS) -> None:
        """Wait; Playwright's own waiting would evaluate text as code, which the page's policy forbids."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time; state {self.state}, {self.complaints}"
            self.tab.wait_for_timeout(50)

    def picture(self) -> NDArray[np.int16]:
        """Return (H, W, 3) pixels of what the canvas shows."""
        # Drawn anew and read at once: the browser may be frames behind.
        self.tab.evaluate("dptstream.stage.draw()")
        png = self.tab.locator("#canvas").screenshot()
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16)

    def download(self, act: Callable[[], None]) -> tuple[str, bytes]:
        """Return name and content of the file that ``act`` saves."""
        with self.tab.expect_download() as waiting:
            act()
        return waiting.value.suggested_filename, waiting.value.path().read_bytes()

    def close(self) -> None:
        self.context.close()

    def _listen(self, message: Any) -> None:
        # That a server is gone is said by Chromium itself, and is what some tests are about.
        if message.type in ("error", "warning") and "WebSocket connection" not in message.text:
            self.complaints.append(message.text)
