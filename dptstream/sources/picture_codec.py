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
_WEBP_ANIMATION = 0x02  # among the flags of the extended header
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
    """Decode one picture.

    Raises:
        ValueError: The bytes are no picture of a kind we read.
        av.error.FFmpegError: They are damaged or cut off.
    """
    codec = codec_of(data)
    if codec is None:
        raise ValueError("not a picture of a known format (PNG, JPEG, TIFF, WebP, BMP, EXR, DPX, JPEG 2000, PNM)")
    if codec == "webp" and data[12:16] == b"VP8X" and data[20:21] and data[20] & _WEBP_ANIMATION:
        raise ValueError("an animated WebP, which FFmpeg does not read; save it as a GIF or a video")
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    frames = context.decode(av.Packet(data)) or context.decode(None)
    if not frames:
        raise ValueError("a picture that holds nothing, or is cut off")
    return frames[0]
