"""The names of everything in an output folder. Touches no file."""

import re
from dataclasses import dataclass
from pathlib import Path

from .options import FRAME_SUFFIX, VIDEO_NAME, FolderOptions, Format

MANIFEST_NAME = "manifest.json"
SCRATCH_NAME = ".dptstream"
JOURNAL_NAME = "journal.jsonl"

_UNFIT = re.compile(r'[\x00-\x1f<>:"/\\|?*%#]+')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)


def file_stem(name: str) -> str:
    """Return ``name`` fit for a file name on every system; never empty."""
    stem = _UNFIT.sub("_", name).strip(" .")[:120] or "clip"
    return f"_{stem}" if _WINDOWS_DEVICES.match(stem.split(".")[0]) else stem


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a run's files lie."""

    directory: Path
    """The clip's folder."""
    stem: str
    """What the names of per-frame files begin with."""
    first_number: int
    """Number of frame 0."""
    formats: tuple[Format, ...]
    """The formats that are written."""

    @classmethod
    def of(cls, options: FolderOptions, name: str) -> "Layout":
        """Return the layout of a run of the source called ``name``."""
        return cls(options.directory, file_stem(name), options.first_number, options.formats)

    @property
    def manifest(self) -> Path:
        """The record of the run."""
        return self.directory / MANIFEST_NAME

    @property
    def scratch(self) -> Path:
        """The folder that exists while a run is unfinished."""
        return self.directory / SCRATCH_NAME

    @property
    def journal(self) -> Path:
        """What has been done so far."""
        return self.scratch / JOURNAL_NAME

    @property
    def frame_formats(self) -> tuple[Format, ...]:
        """The formats with a file for each frame."""
        return tuple(name for name in self.formats if name in FRAME_SUFFIX)

    @property
    def video_formats(self) -> tuple[Format, ...]:
        """The formats with one file for the clip."""
        return tuple(name for name in self.formats if name in VIDEO_NAME)

    def frame_name(self, sequence: int, name: Format) -> str:
        """Return the file name of frame ``sequence`` in the per-frame format ``name``."""
        return f"{self.stem}.{self.first_number + sequence:04d}.{FRAME_SUFFIX[name]}"

    def frame(self, sequence: int, name: Format) -> Path:
        """Return the path of frame ``sequence`` in the per-frame format ``name``."""
        return self.directory / self.frame_name(sequence, name)

    def video(self, name: Format) -> Path:
        """Return the path of the clip in the video format ``name``."""
        return self.directory / VIDEO_NAME[name]

    def scratch_frame(self, sequence: int) -> Path:
        """Return where the depth of frame ``sequence`` waits for its shot's range."""
        return self.scratch / f"frame.{sequence:07d}.depth"

    def segment(self, first: int, name: Format) -> Path:
        """Return where the part of a video that begins with frame ``first`` waits to be joined."""
        return self.scratch / f"segment.{first:07d}.{name}.nut"

    def state(self, sequence: int) -> Path:
        """Return where the engine's state before frame ``sequence`` is kept."""
        return self.scratch / f"state.{sequence:07d}.bin"

    def matches_frame(self, file_name: str) -> bool:
        """Return whether ``file_name`` is one that this layout could give to some frame."""
        suffixes = "|".join(FRAME_SUFFIX[name] for name in self.frame_formats)
        return bool(suffixes and re.fullmatch(rf"{re.escape(self.stem)}\.\d{{4,}}\.({suffixes})", file_name))
