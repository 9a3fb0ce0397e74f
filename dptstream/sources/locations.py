"""What a location means: a file, an address, a camera, pictures. Opens none of them."""

import glob
import re
import sys
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import SourceError

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".exr", ".dpx", ".jp2"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
"""Endings of files that hold one picture each."""

LIVE_SCHEMES = frozenset(
    {
        "rtsp",
        "rtsps",
        "rtmp",
        "rtmps",
        "rtmpe",
        "rtmpt",
        "rtp",
        "srtp",
        "udp",
        "tcp",
        "srt",
        "rist",
        "mms",
        "mmsh",
        "whep",
    }
)
"""Schemes of addresses whose frames come at their own pace."""

_SCHEMES_WITH_HOST = frozenset(
    {"http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtmpe", "rtmpt", "mms", "mmsh", "whep"}
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_PATTERN = re.compile(r"%0?\d*d")
# A colon before digits and a slash is a port; everything else up to the last @ may be part of a password.
_USER_INFO = re.compile(r"(?<=://)([^/@:\s]*):(?!\d+/)\S*@")
_SECRET_WORDS = re.compile(
    r"(?i)((?:^|[?&;/_.-])(?:password|passwd|passphrase|pass|pwd|token|access_token|secret|apikey|api_key|key|auth"
    r"|sig|signature|streamid)=)[^&;/\s]*"
)


class LocationKind(Enum):
    """The kinds of things a source can be opened from."""

    SYNTHETIC = "synthetic"
    ADDRESS = "address"
    CAMERA = "camera"
    PATTERN = "pattern"
    GLOB = "glob"
    FOLDER = "folder"
    PICTURE = "picture"
    CONTAINER = "container"


def kind_of(location: str) -> LocationKind:
    """Tell what ``location`` names. A file that exists under the very name wins over patterns and globs."""
    if location.startswith("synthetic:") or location == "synthetic":
        return LocationKind.SYNTHETIC
    if _SCHEME.match(location):
        return LocationKind.ADDRESS
    if location.startswith(("/dev/video", "/dev/v4l/", "camera:")):
        return LocationKind.CAMERA
    path = Path(location)
    if path.is_dir():
        return LocationKind.FOLDER
    if not path.exists():
        if _PATTERN.search(path.name):
            return LocationKind.PATTERN
        if glob.has_magic(location):
            return LocationKind.GLOB
    return LocationKind.PICTURE if path.suffix.lower() in PICTURE_SUFFIXES else LocationKind.CONTAINER


def check_address(location: str) -> None:
    """Refuse an address that no server can have; raises SourceError."""
    if kind_of(location) is not LocationKind.ADDRESS or scheme_of(location) not in _SCHEMES_WITH_HOST:
        return
    shown = without_secrets(location)
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SourceError(
            f"{shown}: this address cannot be read: a port is a number below 65536, [ ] enclose IPv6 addresses, and "
            "/ ? # @ : within a password are written %2F %3F %23 %40 %3A"
        ) from None
    if not host or port == 0:
        raise SourceError(
            f"{shown}: the address lacks a {'port other than 0' if host else 'host'}; write scheme://HOST/..."
        )


def comes_live(location: str) -> bool:
    """Tell whether what ``location`` names is live by its kind alone: a camera, or an address of a live scheme."""
    return kind_of(location) is LocationKind.CAMERA or scheme_of(location) in LIVE_SCHEMES


def may_come_later(location: str) -> bool:
    """Tell whether ``location`` may have nothing now and something later: a camera, or an address of a network."""
    kind = kind_of(location)
    return kind is LocationKind.CAMERA or (kind is LocationKind.ADDRESS and scheme_of(location) != "file")


def expand_location(location: str) -> list[str]:
    """Return the videos that a glob fits, in natural order, for shells that leave globs alone (Windows).

    A glob of pictures is one source, and so is everything else: these are returned as they are.
    """
    if kind_of(location) is not LocationKind.GLOB:
        return [location]
    found = sorted((Path(name) for name in glob.glob(location)), key=natural_order)
    videos = [str(path) for path in found if path.is_file() and path.suffix.lower() not in PICTURE_SUFFIXES]
    return videos or [location]


def path_of_file_url(location: str) -> str:
    """Return the path that a ``file://`` address names; any other location unchanged."""
    if not location.lower().startswith("file://"):
        return location
    path = unquote(urlsplit(location).path)
    # file:///C:/clip.mp4 carries a slash that no Windows path begins with.
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path


def scheme_of(location: str) -> str:
    """Return the scheme of an address in lower case, or an empty string."""
    match = _SCHEME.match(location)
    return match[1].lower() if match else ""


def without_secrets(location: str) -> str:
    """Return ``location`` with passwords and tokens blotted out where it is an address, fit for logs and outputs."""
    if "://" not in location:
        return location
    return _SECRET_WORDS.sub(r"\1***", _USER_INFO.sub(r"\1:***@", location))


def short_name(location: str) -> str:
    """Return a name for outputs: a file's stem, a folder's name, an address's host and last part."""
    kind = kind_of(location)
    if kind is LocationKind.SYNTHETIC:
        return "synthetic"
    if kind is LocationKind.CAMERA:
        return _as_name(location.removeprefix("/dev/").replace(":", "_"))
    if kind is LocationKind.ADDRESS:
        parts = urlsplit(without_secrets(location))
        return _as_name("_".join(part for part in (parts.hostname, Path(parts.path).stem) if part))
    if kind in (LocationKind.PATTERN, LocationKind.GLOB):
        path = Path(location)
        return _as_name(_PATTERN.sub("", path.stem).strip("._-* ")) or _as_name(path.absolute().parent.name)
    path = Path(location).absolute()
    return _as_name(path.name if kind is LocationKind.FOLDER else path.stem)


def camera_of(location: str) -> tuple[str, str]:
    """Return FFmpeg's input format and device name for a camera, as this system calls them.

    ``/dev/video0`` is Linux's own name; ``camera:0`` or ``camera:NAME`` works on each system.
    """
    name = location.removeprefix("camera:")
    if sys.platform == "darwin":
        return "avfoundation", name
    if sys.platform == "win32":
        return "dshow", name if name.startswith("video=") else f"video={name}"
    return "v4l2", f"/dev/video{name}" if name.isdigit() else name


def numbered_files(pattern: str) -> dict[int, Path]:
    """Return the files that a pattern such as ``shot/%05d.png`` matches, by their numbers, in order."""
    path = Path(pattern)
    directive = _PATTERN.search(path.name)
    assert directive is not None
    width = int(directive[0][1:-1] or 0) if directive[0] != "%d" else 0
    before, after = path.name[: directive.start()], path.name[directive.end() :]
    name = re.compile(f"{re.escape(before)}(\\d{{{max(1, width)},}}){re.escape(after)}", re.ASCII)
    if not path.parent.is_dir():
        return {}
    found = ((name.fullmatch(entry.name), entry) for entry in path.parent.iterdir())
    return dict(sorted((int(match[1]), entry) for match, entry in found if match))


def natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort key under which ``frame2`` comes before ``frame10``."""
    parts = re.split(r"(\d+)", str(path), flags=re.ASCII)
    return tuple((0, int(part)) if index % 2 else (1, part.casefold()) for index, part in enumerate(parts))


def _as_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", text).strip("_.")
