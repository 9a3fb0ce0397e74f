"""Opens a container through FFmpeg and decodes its one video stream. Knows no colours and no selection."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import torch
from av.codec.context import Flags, ThreadType
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.device import enumerate_input_devices
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from ..errors import SourceAwayError, SourceError
from .base import SourceStats
from .locations import (
    LIVE_SCHEMES,
    LocationKind,
    camera_of,
    check_address,
    comes_live,
    kind_of,
    path_of_file_url,
    scheme_of,
    without_secrets,
)
from .native import on_card
from .options import SourceOptions
from .trouble import explain, reason_of

CORRUPT_LIMIT = 500
"""Packets in a row that may fail before a source counts as unreadable."""

NO_CARD = "pictures are decoded on the processor"
"""How the lines begin that tell why a card did not decode what it was asked for."""

_FRAMES_HELD = 4  # on their way from the decoder to the engine's own memory, at most
_TEXT_FORMATS = frozenset({"tty"})  # FFmpeg renders text files (.txt, .nfo) as pictures of a terminal
_EMPTY_POLL_S = 0.005
# Up to PyAV 18 a tag that is not UTF-8 keeps a file from being opened, unless told otherwise; PyAV 19 is lenient.
_LENIENT: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}


class StreamReader:
    """Decodes the best video stream of a file, address or camera.

    Frames are decoded by the thread that iterates; ``close`` may come from another one. PyAV does not guard a
    container against that, so whoever touches it holds ``_using``: a close that comes while a packet is being
    read is carried out by the reading thread right after.
    """

    def __init__(self, location: str, options: SourceOptions, stats: SourceStats) -> None:
        self._location = location
        self._timeout_s = options.read_timeout_s
        self._stats = stats
        self._failures = 0
        self._closed = threading.Event()
        self._using = threading.Lock()
        self.container = _open_container(location, options, stats)
        try:
            self.stream = _choose_stream(self.container, location)
            self.live = _is_live(location, self.container) if options.live is None else options.live
            self._on_card = options.card is not None and self.stream.codec_context.is_hwaccel
            if options.card is not None and not self._on_card and not any(NO_CARD in line for line in stats.warnings):
                stats.warn(f"{NO_CARD}: the card knows no {self.stream.codec_context.name} video")
            _set_up_decoder(self.stream, live=self.live, on_card=self._on_card)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Yield decoded frames, each with the time its packet came (0 unless live), until the end or ``close``."""
        packets: Iterator[Packet[VideoStream]] | None = None
        while True:
            try:
                with self._using:
                    if self._closed.is_set():
                        return
                    packets = packets or self.container.demux(self.stream)
                    packet = next(packets, None)
                    captured_ns = time.monotonic_ns() if self.live else 0
                    frames = self._decode(packet) if packet is not None else []
            except av.error.BlockingIOError:
                # Some cameras (avfoundation) answer "nothing yet" instead of waiting.
                self._closed.wait(_EMPTY_POLL_S)
                packets = None
                continue
            except av.error.FFmpegError as error:
                if self._closed.is_set():
                    return
                packet, captured_ns, frames = None, 0, self._end_early(error)
            finally:
                if self._closed.is_set():
                    self.close()
            for frame in frames:
                yield frame, captured_ns
            if packet is None:
                return

    def seek(self, ticks: int) -> bool:
        """Go to the key frame at or before ``ticks`` of the stream's time base; False where that cannot be done."""
        with self._using:
            try:
                self.container.seek(ticks, stream=self.stream)
            except av.error.FFmpegError:
                return False
        return True

    def close(self) -> None:
        """Close the container, or have the reading thread close it after the packet it is at."""
        self._closed.set()
        if self._using.acquire(blocking=False):
            try:
                self.container.close()
            finally:
                self._using.release()

    def _decode(self, packet: "Packet[VideoStream]") -> list[av.VideoFrame]:
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._stats.corrupt += 1
            self._stats.damaged = True
            self._failures += 1
            if self._failures > CORRUPT_LIMIT:
                raise SourceError(
                    f"{without_secrets(self._location)}: {self._failures} packets in a row cannot be decoded; "
                    f"the file is damaged or its codec ({self.stream.codec_context.name}) is not supported"
                ) from error
            self._stats.damaged = True
            self._stats.warn("some packets are corrupt and were passed over")
            return []
        if frames:
            self._failures = 0
            self._count(frames)
        if any(frame.is_corrupt for frame in frames):
            self._stats.damaged = True
            self._stats.damaged = True
            self._stats.warn("some pictures are damaged and were mended by the decoder")
        return frames

    def _end_early(self, error: av.error.FFmpegError) -> list[av.VideoFrame]:
        if self.live or not self._stats.decoded:
            # Without its cause: FFmpeg's own error repeats the address with the password in it.
            raise explain(error, self._location, timeout_s=self._timeout_s) from None
        self._stats.damaged = True
        self._stats.warn(f"reading stopped early: {explain(error, self._location, timeout_s=self._timeout_s)}")
        try:
            held = self.stream.codec_context.decode(None)
        except av.error.FFmpegError:
            held = []
        self._count(held)
        return held

    def _count(self, frames: list[av.VideoFrame]) -> None:
        self._stats.decoded += len(frames)
        if not self._on_card:
            return
        decoded_on_card = sum(on_card(frame) for frame in frames)
        self._stats.decoded_on_card += decoded_on_card
        if decoded_on_card < len(frames):
            # FFmpeg changes to its own decoder without a word, for a profile or size that the card does not take.
            self._stats.warn(f"{NO_CARD}: it does not take this kind of {self.stream.codec_context.name} video")


def _open_container(location: str, options: SourceOptions, stats: SourceStats) -> InputContainer:
    """Open a location, with the card's decoder where one is asked for and there."""
    if options.card is None or kind_of(location) is LocationKind.CAMERA:
        return _open_plainly(location, options)
    try:
        with _context_of_torch(options.card) as choice:
            card = HWAccel("cuda", device=str(options.card), options=choice, is_hw_owned=True)
            return _open_plainly(location, options, card)
    except SourceError as error:
        if isinstance(error.__context__, av.error.ExitError | TimeoutError | FileNotFoundError):
            raise
        container = _open_plainly(location, options)  # if the fault is the location's, this says so
        stats.warn(f"{NO_CARD}: {reason_of(error.__context__ or error)} (CUDA device {options.card})")
        return container


@contextmanager
def _context_of_torch(card: int) -> Iterator[dict[str, object]]:
    """Make PyTorch's context of a card this thread's, and yield what tells FFmpeg to take that one.

    PyAV would have FFmpeg find it by itself, which FFmpeg refuses once PyTorch has used the card: it wants other flags.
    """
    if not (torch.cuda.is_available() and card < torch.cuda.device_count()):
        yield {}
        return
    with torch.cuda.device(card):
        torch.cuda.mem_get_info()  # choosing a device need not touch it; asking for its memory does
        yield {"primary_ctx": "0", "current_ctx": "1"}


def _open_plainly(location: str, options: SourceOptions, hwaccel: HWAccel | None = None) -> InputContainer:
    kind, scheme = kind_of(location), scheme_of(location)
    settings = dict(options.format_options)
    patience: tuple[float, float] | None = None
    if location.lower().endswith((".heic", ".heif")):
        raise SourceError(
            f"{without_secrets(location)}: HEIC photos are stored as tiles, of which only one would come; "
            "save it as JPEG or PNG first"
        )
    check_address(location)
    if kind is LocationKind.ADDRESS and scheme != "file":
        patience = (options.open_timeout_s, options.read_timeout_s)
        if scheme in ("rtsp", "rtsps"):
            settings.setdefault("rtsp_flags", "prefer_tcp")
        if scheme in LIVE_SCHEMES:
            settings.setdefault("fflags", "nobuffer")
    try:
        if kind is LocationKind.CAMERA:
            return _open_camera(location, settings)
        # FFmpeg knows its protocols by lower-case names alone.
        path = path_of_file_url(scheme + location[len(scheme) :])
        container: InputContainer = av.open(path, options=settings, timeout=patience, hwaccel=hwaccel, **_LENIENT)
    except (av.error.FFmpegError, OSError) as error:
        # Without its cause: FFmpeg's own error repeats the address with the password in it.
        raise explain(error, location, timeout_s=options.open_timeout_s) from None
    return container


def _open_camera(location: str, settings: dict[str, str]) -> InputContainer:
    format_name, device = camera_of(location)
    if format_name == "avfoundation":
        settings.setdefault("framerate", "30")  # its own default, 29.97, is refused by Apple's cameras
    try:
        if format_name == "dshow":
            device = _directshow_name(location, device)
        return av.open(device, format=format_name, options=settings)
    except ValueError as error:
        raise SourceError(f"{location}: this build of PyAV reads no cameras (it lacks {format_name})") from error


def _directshow_name(location: str, device: str) -> str:
    number = device.removeprefix("video=")
    if not number.isdigit():
        return device
    cameras = [found.description for found in enumerate_input_devices("dshow") if "video" in found.media_types]
    if int(number) >= len(cameras):
        raise SourceAwayError(f"{location}: no such camera; there are: {', '.join(cameras) or 'none'}")
    return f"video={cameras[int(number)]}"


def _choose_stream(container: InputContainer, location: str) -> VideoStream:
    shown = without_secrets(location)
    if container.format.name in _TEXT_FORMATS:
        raise SourceError(f"{shown}: a text file, not a video")
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not films:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        cover = " and a cover picture" if container.streams.video else ""
        raise SourceError(f"{shown}: holds no video, only {'audio' if cover else found}{cover}")
    best = container.streams.best("video")
    chosen = best if isinstance(best, VideoStream) and best in films else films[0]
    if chosen.codec_context is None:
        raise SourceError(f"{shown}: its video codec is not known to this build of FFmpeg")
    return chosen


def _is_live(location: str, container: InputContainer) -> bool:
    if comes_live(location):
        return True
    # mpjpeg: JPEGs in a multipart answer, as network cameras give them.
    endless = container.format.name in ("hls", "mpjpeg") and container.duration is None
    return kind_of(location) is LocationKind.ADDRESS and endless


def _set_up_decoder(stream: VideoStream, *, live: bool, on_card: bool) -> None:
    context = stream.codec_context
    if on_card:
        # Threads would each hold several of the card's few buffers.
        context.thread_count = 1
        context.options = {"extra_hw_frames": str(_FRAMES_HELD)}
        context.flags |= Flags.low_delay if live else Flags(0)
    elif live:
        # Frame threads would hold back a frame each; slices only share the work of one.
        context.thread_type = ThreadType.SLICE
        context.flags |= Flags.low_delay
    else:
        context.thread_type = ThreadType.AUTO
