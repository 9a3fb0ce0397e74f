"""The source's sound, cut to the video's time: copied where MP4 can hold it, else encoded as AAC."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

Treatment = Literal["copied", "aac"]

_MP4_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})
_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})
_USUAL_RATE = 48000


class Sound:
    """The first audio track of a file between two moments."""

    def __init__(self, location: str, start: Fraction, end: Fraction, treatment: Treatment) -> None:
        """Open ``location``; ``start`` and ``end`` are seconds of its clock.

        Raises:
            av.FFmpegError: It cannot be opened.
            ValueError: It holds no sound, or none that can be copied into MP4.
        """
        self._container: InputContainer = av.open(location)
        if not self._container.streams.audio:
            self._container.close()
            raise ValueError("it holds no sound")
        self._source = self._container.streams.audio[0]
        self._start, self._end = start, end
        self._target: AudioStream | None = None
        self._copies = treatment == "copied"
        codec = self._source.codec_context.name.removesuffix("float")
        if self._copies and codec not in _MP4_CODECS:
            self._container.close()
            raise ValueError(f"MP4 holds no {codec}")

    def add_to(self, out: OutputContainer) -> None:
        """Add the track to ``out``, before anything is muxed there."""
        if self._copies:
            self._target = out.add_stream_from_template(self._source)
            return
        source = self._source.codec_context
        rate = source.sample_rate if source.sample_rate in _AAC_RATES else _USUAL_RATE
        target = out.add_stream("aac", rate=rate)
        target.codec_context.layout = "mono" if source.channels == 1 else "stereo"
        target.codec_context.time_base = Fraction(1, rate)
        self._target = target

    def packets(self) -> "Iterator[av.Packet[AudioStream]]":
        """Yield the packets to mux, in order; their times begin at 0 with ``start``."""
        if self._start > 1:
            self._container.seek(int((self._start - 1) * av.time_base))
        yield from self._copied() if self._copies else self._encoded()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._container.close()

    def _copied(self) -> "Iterator[av.Packet[AudioStream]]":
        for packet in self._container.demux(self._source):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            if packet.pts * packet.time_base >= self._end:
                return
            if packet.pts * packet.time_base < self._start:
                continue
            shift = round(self._start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            assert self._target is not None
            packet.stream = self._target
            yield packet

    def _encoded(self) -> "Iterator[av.Packet[AudioStream]]":
        target = self._target
        assert target is not None
        context = target.codec_context
        resampler = av.AudioResampler("fltp", context.layout, context.sample_rate, frame_size=1024)
        time_base = Fraction(1, context.sample_rate)
        position: int | None = None
        for frame in self._frames_then_none():
            for piece in resampler.resample(frame):
                # Counting samples on from the first piece closes the rounding gaps that would click.
                if position is None:
                    position = round(((piece.pts or 0) * (piece.time_base or time_base) - self._start) / time_base)
                piece.pts, piece.time_base = position, time_base
                position += piece.samples
                yield from target.encode(piece)
        yield from target.encode(None)

    def _frames_then_none(self) -> Iterator[av.AudioFrame | None]:
        for frame in self._container.decode(self._source):
            if frame.pts is None or frame.time_base is None:
                continue
            seconds = frame.pts * frame.time_base
            if seconds >= self._end:
                break
            if seconds >= self._start:
                yield frame
        yield None
