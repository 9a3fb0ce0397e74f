"""One picture's bytes to a decoded frame, by what the bytes say rather than the file's name."""

from typing import cast

import av
from av.video.codeccontext import VideoCodecContext

_CODECS = [
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "mjpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"BM", "bmp"),
    (b"v/1\x01", "exr"),
    (b"SDPX", "dpx"),
    (b"XPDS", "dpx"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
]
_PNM = {b"P1": "pbm", b"P2": "pgm", b"P3": "ppm", b"P4": "pbm", b"P5": "pgm", b"P6": "ppm"}


def codec_of(data: bytes) -> str | None:
    """Return FFmpeg's name of the codec that made these bytes; None where it is no picture we know."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for magic, codec in _CODECS:
        if data.startswith(magic):
            return codec
    return _PNM.get(data[:2]) if data[2:3].isspace() else None


def decode_picture(data: bytes) -> av.VideoFrame:
    """Decode one picture (a container such as WebP's animations gives none).

    Raises:
        av.error.FFmpegError: The bytes are damaged, cut off, or no picture.
    """
    codec = codec_of(data)
    if codec is None:
        raise av.error.InvalidDataError(0, "not a picture of a known format")
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    if codec == "exr":
        # EXR holds linear light; networks (and eyes) expect pictures as a screen shows them.
        context.options = {"apply_trc": "iec61966_2_1"}
    frames = context.decode(av.Packet(data)) or context.decode(None)
    if not frames:
        raise av.error.InvalidDataError(0, "the picture is empty or of a kind that FFmpeg does not read")
    return frames[0]
