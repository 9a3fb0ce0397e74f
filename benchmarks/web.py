"""Measure the page: ``python benchmarks/web.py [--seconds 10] [--fps 30] [--output FILE]``.

A feed of 518x924 half floats with its picture is served as ``dptstream view --web`` does. Pages are clients in processes of
their own, which ask as the page does: for the next frame when they took the last. Then the page itself in Chromium, where one is
found; without a GPU it draws by SwiftShader, on the CPU, so its rates say nothing of a browser with a graphics card.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from websockets.sync.client import connect

from dptstream.geometry import DepthKind, Intrinsics
from dptstream.viewer.feeds import FeedStatus
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.web import WebOptions, WebServer
from dptstream.viewer.web.packets import Packet
from dptstream.wire import DepthPlane, FrameMessage, RawColor, SourceNote

HEIGHT, WIDTH, POOL = 518, 924, 8
SLOW_SECONDS = 0.25
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--headless=new", "--no-sandbox"]


class PacedFeed:
    """Gives ready frames at a steady rate."""

    title, transport = "bench", None

    def __init__(self, fps: float) -> None:
        self._fps, self._count, self._begin = fps, 0, time.monotonic()
        self._pool = [make_frame(number) for number in range(POOL)]

    def newest(self, timeout: float) -> FrameMessage | None:
        """Return the next frame when it is due."""
        due = self._begin + self._count / self._fps
        time.sleep(min(timeout, max(0.0, due - time.monotonic())))
        if time.monotonic() < due:
            return None
        self._count = max(self._count + 1, int((time.monotonic() - self._begin) * self._fps))
        number = self._count
        return replace(
            self._pool[number % POOL], sequence=number, frame_number=number, published_unix_ns=time.time_ns()
        )

    def status(self) -> FeedStatus:
        """Say that it plays."""
        return FeedStatus("playing", frames_per_second=self._fps)

    def close(self) -> None:
        """There is nothing to close."""


def make_frame(number: int) -> FrameMessage:
    """Return smooth waves that move, with a little noise: about as compressible as a network's depth."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    depth = 2 + np.sin(columns / 90 + number / 4) + np.cos(rows / 60) * 0.5 + rng.normal(0, 0.004, rows.shape)
    base = np.stack([columns / 4, rows / 2, (rows + columns) / 6], axis=2) + number * 3
    picture = (base + rng.normal(0, 4, base.shape)).clip(0, 255).astype(np.uint8)
    plane = DepthPlane(depth.astype(np.float16), DepthKind.RELATIVE_INVERSE, low=0.4, high=3.6)
    camera, note = Intrinsics.default(WIDTH, HEIGHT), SourceNote("bench", WIDTH, HEIGHT)
    return FrameMessage(
        "bench",
        "0" * 32,
        number,
        number,
        number,
        Fraction(1, 30),
        None,
        1,
        note,
        camera,
        plane,
        RawColor(picture),
        "none",
        "",
    )


def visit(port: int, seconds: float, pause: float, quality: str) -> None:
    """Be one page: print frames a second and the age of frames as JSON."""
    ages, begin = [], time.monotonic()
    with connect(f"ws://127.0.0.1:{port}/feed", max_size=2**26, compression=None) as socket:
        socket.send(json.dumps({"type": "follow", "feed": None, "quality": quality}))
        socket.send('{"type":"ready"}')
        while time.monotonic() - begin < seconds:
            data = socket.recv()
            if isinstance(data, str):
                continue
            stamp = json.loads(data[8 : 8 + int.from_bytes(data[:4], "little")])["published"]
            ages.append((time.time_ns() - stamp["sec"] * 10**9 - stamp["nsec"]) / 1e6)
            size = len(data)
            time.sleep(pause)
            socket.send('{"type":"ready"}')
    elapsed = time.monotonic() - begin
    p50, p95 = np.percentile(ages, (50, 95))
    rate = len(ages) / elapsed
    result = {"fps": round(rate, 1), "age_ms_p50": round(p50, 1), "age_ms_p95": round(p95, 1)}
    print(json.dumps(result | {"bytes_per_frame": size, "megabytes_per_second": round(rate * size / 1e6, 1)}))


def pages(port: int, seconds: float, *kinds: tuple[float, str]) -> list[dict[str, float]]:
    """Run one page of each (pause, quality) at the same time."""
    command = [sys.executable, __file__, "--visit", str(port), "--seconds", str(seconds)]
    running = [
        subprocess.Popen([*command, "--pause", str(pause), "--quality", quality], stdout=subprocess.PIPE, text=True)
        for pause, quality in kinds
    ]
    return [json.loads(process.communicate(timeout=seconds + 60)[0]) for process in running]


def in_chromium(url: str, seconds: float) -> dict[str, object]:
    """Return what the page shows a second, in each mode."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        return {"skipped": "no Chromium"}
    from playwright.sync_api import sync_playwright

    result: dict[str, object] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.goto(url)
        tab.wait_for_timeout(3000)
        name = "(gl => gl.getParameter(gl.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL))"
        result["renderer"] = tab.evaluate(f"{name}(dptstream.stage.renderer.getContext())")
        # What the page's own code takes, apart from drawing: the rest is the GPU's.
        tab.evaluate("globalThis.spent = []; const take = dptstream.tick.bind(dptstream); dptstream.stage.onTick = () => {"
                     "const begin = performance.now(), shown = take(); if (shown) spent.push(performance.now() - begin);"
                     "return shown; }")  # fmt: skip
        for mode in ("points", "surface"):
            for stride in (1, 2):
                tab.evaluate(f"dptstream.store.set('mode', '{mode}'); dptstream.store.set('stride', {stride})")
                tab.wait_for_timeout(1000)
                before, begin = tab.evaluate("dptstream.drawn"), time.monotonic()
                tab.wait_for_timeout(seconds * 1000)
                shown = tab.evaluate("dptstream.drawn") - before
                result[f"{mode}, one pixel in {stride}x{stride}: fps"] = round(shown / (time.monotonic() - begin), 2)
        spent = tab.evaluate("spent")
        if spent:
            result["the page's JavaScript, ms a frame (p50)"] = round(float(np.median(spent)), 2)
        browser.close()
    return result


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--visit", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pause", type=float, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--quality", default="full", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.visit:
        visit(flags.visit, flags.seconds, flags.pause, flags.quality)
        return
    costs = {}
    for quality in ("full", "light"):
        packets = [Packet(make_frame(number)) for number in range(4)]
        begin = time.perf_counter()
        sizes = [len(packet.data(quality)) for packet in packets]
        costs[quality] = {"bytes_per_frame": sizes[0], "ms_to_make": round((time.perf_counter() - begin) / 4 * 1e3, 2)}
    report: dict[str, object] = {"size": f"{HEIGHT}x{WIDTH} float16 + rgb8", "cores": os.cpu_count(), "packets": costs}
    options = WebOptions(port=0)
    with WebServer([PacedFeed(1000)], ViewSettings(), options) as server:
        report["one page, frames as fast as it takes them"] = pages(server.port, flags.seconds, (0, "full"))[0]
    with WebServer([PacedFeed(flags.fps)], ViewSettings(), options) as server:
        paced = f"feed at {flags.fps:g} frames/s: "
        alone = pages(server.port, flags.seconds, (0, "full"))
        beside = pages(server.port, flags.seconds, (0, "full"), (SLOW_SECONDS, "full"))
        light = pages(server.port, flags.seconds, (0, "light"))
        report[paced + "a page alone"], report[paced + "the same beside a slow one"] = alone[0], beside[0]
        report[paced + f"the slow one, {SLOW_SECONDS:g} s a frame"] = beside[1]
        report[paced + "a page on a thin link"] = light[0]
        report[paced + "Chromium, 1280x720"] = in_chromium(server.url, flags.seconds)
    report["load_average"] = [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None
    text = json.dumps(report, indent=2)
    print(text)
    if flags.output:
        flags.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
