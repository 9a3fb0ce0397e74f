"""A folder that `dptstream convert` wrote, frame by frame at will. Reads what ``manifest.json`` describes, nothing else."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, SourceError, WireError
from ..geometry import DepthKind, Intrinsics
from ..geometry.camera import IntrinsicsOrigin
from ..wire import DepthPlane, FrameMessage, RawColor, SourceNote
from ..wire.fields import Fields, parse_json
from ..wire.messages import feed_name, printable

SCHEMA = "dptstream/manifest/1"
MANIFEST = "manifest.json"

Format = Literal["png16", "npz", "npy", "exr"]
_FORMATS: tuple[Format, ...] = ("png16", "npz", "npy", "exr")
"""What can be shown, quickest to read first."""
_MAX_MANIFEST_BYTES = 2**30
_MAX_SIDE = 16_384
_MAX_COUNT = 2**53 - 1
_KINDS = {kind.value: kind for kind in DepthKind}
_ORIGINS: dict[str, IntrinsicsOrigin] = {"user": "user", "file": "file", "model": "model", "default": "default"}


class Pictures(Protocol):
    """The pictures that depth was made of."""

    def at(self, pts: int) -> NDArray[np.uint8] | None:
        """Return the (H, W, 3) RGB picture with this presentation time; None where there is none."""

    def close(self) -> None:
        """Let go of the file; may be called twice."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    """How the codes and colours of some frames are to be read."""

    end: int
    """Sequence after its last frame."""
    scale: float
    offset: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the manifest says of a frame."""

    sequence: int
    path: Path
    pts: int
    scene_cut: bool


class DepthSequence:
    """The frames of a folder, as messages of a feed.

    Args:
        folder: The folder, or its manifest.
        pictures: Gives the frames their colours; None leaves them without.

    Attributes:
        name: The clip's name.
        location: The clip that depth was made of.
        settings: With what it was made, as the manifest says.
        format: The files that are read.

    Raises:
        SourceError: There is no manifest, it is damaged, or it lists no frames that can be shown.
    """

    def __init__(self, folder: Path, pictures: Pictures | None = None) -> None:
        self._manifest = folder if folder.name == MANIFEST else folder / MANIFEST
        self._folder = self._manifest.parent
        self.pictures = pictures
        try:
            self._read()
        except (WireError, ValueError) as error:  # Fields speaks of messages; here it is a file that is wrong
            raise SourceError(f"{self._manifest} cannot be used: {error}") from None
        self._session = uuid.uuid4().hex

    def __len__(self) -> int:
        """Return the number of frames, at least 1."""
        return len(self._frames)

    def __iter__(self) -> Iterator[FrameMessage]:
        """Yield all frames in order; raises SourceError."""
        return (self.frame(index) for index in range(len(self)))

    def seconds(self, index: int) -> float:
        """Return the time of a frame since the first."""
        return float((self._frames[index].pts - self._frames[0].pts) * self._time_base)

    @property
    def length(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.seconds(len(self) - 1) + self.interval

    @property
    def interval(self) -> float:
        """Seconds from a frame to the next, on average."""
        last = len(self) - 1
        return self.seconds(last) / last if last and self.seconds(last) > 0 else 1 / 25

    def frame(self, index: int) -> FrameMessage:
        """Return one frame; raises SourceError where its file cannot be read, MissingExtraError where a reader lacks."""
        frame = self._frames[index]
        mapping = next(mapping for mapping in self._mappings if frame.sequence < mapping.end or mapping.end < 0)
        picture = None if self.pictures is None else self.pictures.at(frame.pts)
        depth = self._depth(frame.path, mapping)
        return FrameMessage(
            feed=feed_name(self.name),
            session=self._session,
            sequence=index,
            frame_number=frame.sequence,
            pts=frame.pts,
            time_base=self._time_base,
            captured_unix_ns=None,
            published_unix_ns=0,
            source=self._source,
            intrinsics=self._intrinsics.scaled_to(depth.width, depth.height),
            depth=depth,
            color=None if picture is None else RawColor(picture),
            model=self._model,
            model_license=self._license,
            smoothing=self._smoothing(),
            scene_cut=frame.scene_cut,
        )

    def _smoothing(self) -> str | None:
        """Return the preset that smoothed the depth; "cuts only" and "off" did not."""
        preset = self.settings.get("temporal")
        return printable(preset) if isinstance(preset, str) and preset not in {"off", "cuts only"} else None

    def close(self) -> None:
        """Let go of the pictures; may be called twice."""
        if self.pictures is not None:
            self.pictures.close()

    def _depth(self, path: Path, mapping: _Mapping) -> DepthPlane:
        values = _read(path, self.format, self._channel)
        low, high = sorted((mapping.low, mapping.high))
        scale, offset = (mapping.scale, mapping.offset) if values.dtype == np.uint16 else (1.0, 0.0)
        if self._inverted:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.float32(1) / DepthPlane(values, self._kind, 0.0, 1.0, scale, offset).values()
            scale, offset = 1.0, 0.0
            low, high = (1 / high, 1 / low) if low > 0 else (1 / high if high > 0 else 0.0, float(np.nanmax(values)))
        if not low < high:
            high = low + max(1.0, abs(low))
        return DepthPlane(values, self._kind, low, high, scale, offset)

    def _read(self) -> None:
        try:
            data = self._manifest.read_bytes()
        except OSError as error:
            raise SourceError(
                f"cannot read {self._manifest}: {error.strerror}; a folder to view is one that `dptstream convert` wrote"
            ) from None
        manifest = parse_json(data, "it", limit=_MAX_MANIFEST_BYTES)
        if manifest.text("schema") != SCHEMA:
            raise WireError(f"its schema is {manifest.text('schema')[:60]!r}, not {SCHEMA!r}")
        source, model, values = (manifest.child(name) for name in ("source", "model", "values"))
        self.name = printable(source.text("name"))
        self.location = source.text("location")
        self.settings = manifest.child("settings").as_dict()
        self._source = SourceNote(
            self.name, source.integer("width", 1, _MAX_SIDE), source.integer("height", 1, _MAX_SIDE)
        )
        self._time_base = Fraction(*source.integers("time_base", 2, 1, 2**31 - 1))
        self._model = printable(model.text("name"))
        self._license = printable(str(model.as_dict().get("license") or ""))
        self._kind = values.choice("kind", _KINDS)
        self._inverted = values.text("name") == "inverse_depth" and self._kind is not DepthKind.RELATIVE_INVERSE
        channels = values.as_dict().get("exr_channels")
        self._channel = str(channels[0]) if isinstance(channels, list) and channels else "Z"
        self._intrinsics = _intrinsics(manifest.child("intrinsics"))
        self._mappings = [_mapping(row) for row in _rows(manifest, "mappings")]
        self._read_frames(_rows(manifest, "frames"))

    def _read_frames(self, rows: "list[Fields]") -> None:
        if not rows:
            raise WireError("it lists no frames")
        listed = rows[0].child("files").names
        found = next((name for name in _FORMATS if name in listed), None)
        if found is None:
            have = f"has {', '.join(sorted(listed))}" if listed else "has no files for each frame"
            raise WireError(
                f"it {have}; to be viewed it needs one of {', '.join(_FORMATS)} (dptstream convert --format png16)"
            )
        self.format: Format = found
        self._frames: list[_Frame] = []
        for row in rows:
            name = row.child("files").text(found)
            if Path(name).name != name:
                raise WireError(f"it names a file outside its folder: {name[:80]!r}")
            self._frames.append(
                _Frame(
                    row.integer("sequence", 0, _MAX_COUNT),
                    self._folder / name,
                    row.integer("pts", -_MAX_COUNT, _MAX_COUNT),
                    row.flag("scene_cut"),
                )
            )
        if not self._mappings:  # no range was waited for: a fixed one has its numbers in the settings alone
            scale = 0.001 if found == "png16" else 1.0
            values = _read(self._frames[0].path, found, self._channel) * np.float64(scale)
            values = values[np.isfinite(values) & (values != 0)]
            low, high = (float(np.percentile(values, share)) for share in (1, 99)) if values.size else (0.0, 1.0)
            self._mappings = [_Mapping(-1, scale, 0.0, low, high)]


def _rows(manifest: Fields, name: str) -> list[Fields]:
    rows = manifest.as_dict().get(name)
    if not isinstance(rows, list):
        raise WireError(f"it lacks {name!r}")
    return [Fields(row, f"{name}[{index}]") for index, row in enumerate(rows)]


def _mapping(row: Fields) -> _Mapping:
    codes, display = row.child("codes"), row.child("display")
    return _Mapping(
        row.integer("end", 0, _MAX_COUNT),
        codes.number("scale"),
        codes.number("offset"),
        display.number("low"),
        display.number("high"),
    )


def _intrinsics(fields: Fields) -> Intrinsics:
    return Intrinsics(
        fx=fields.number("fx"),
        fy=fields.number("fy"),
        cx=fields.number("cx"),
        cy=fields.number("cy"),
        width=fields.integer("width", 1, _MAX_SIDE),
        height=fields.integer("height", 1, _MAX_SIDE),
        origin=fields.choice("origin", _ORIGINS),
    )


def _read(path: Path, form: Format, channel: str) -> NDArray[np.uint16] | NDArray[np.float32]:
    """Return what a frame's file holds; raises SourceError, MissingExtraError."""
    readers: dict[Format, Callable[[], NDArray[np.uint16] | NDArray[np.float32]]] = {
        "png16": lambda: _read_png16(path),
        "npz": lambda: _read_npz(path),
        "npy": lambda: np.asarray(np.load(path, allow_pickle=False), np.float32),
        "exr": lambda: _read_exr(path, channel),
    }
    try:
        values = readers[form]()
    except ImportError as error:
        package = {"PIL": "pillow", "OpenEXR": "OpenEXR"}[error.name or "PIL"]
        raise MissingExtraError(f"reading {path.name} needs a package: pip install {package}") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SourceError(f"cannot read {path}: {' '.join(str(error).split()) or type(error).__name__}") from None
    if values.ndim != 2 or not values.size:
        raise SourceError(f"cannot read {path}: it holds an array of shape {values.shape}, not (height, width)")
    return values


def _read_png16(path: Path) -> NDArray[np.uint16]:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        return np.asarray(image).astype(np.uint16)


def _read_npz(path: Path) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as arrays:
        name = next(name for name in ("depth", "relative_depth", "inverse_depth") if name in arrays)
        return np.asarray(arrays[name], np.float32)


def _read_exr(path: Path, channel: str) -> NDArray[np.float32]:
    import OpenEXR

    with OpenEXR.File(str(path)) as file:
        return np.array(file.channels()[channel].pixels, np.float32)
