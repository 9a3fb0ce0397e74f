"""Pictures as a film: a numbered pattern, a folder, a glob, or a single file."""

import glob
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..frames import VideoFrame
from ..geometry import Intrinsics
from .base import SourceInfo, SourceStats
from .camera_tags import intrinsics_of_picture, read_picture_tags
from .conversion import RgbConverter
from .framing import crop_image, crop_intrinsics
from .locations import PICTURE_SUFFIXES, LocationKind, kind_of, natural_order, numbered_files, short_name
from .options import SourceOptions
from .picture_codec import decode_picture
from .selection import FrameSelector, Verdict, expected_count
from .trouble import explain

UNREADABLE_LIMIT = 500
"""Pictures in a row that may be damaged before a sequence counts as unreadable."""


class PictureSource:
    """Gives one frame for each picture, ``picture_rate`` frames a second.

    The numbers of a pattern are times: a missing number leaves a gap. A folder or glob gives one picture after
    the other in natural order (``frame2`` before ``frame10``). The first picture is read on opening.
    """

    def __init__(self, location: str, options: SourceOptions) -> None:
        self._location = location
        self._options = options
        self._stats = SourceStats()
        self._converter = RgbConverter(self._stats)
        self._failures = 0
        self._closed = False
        self._sizes_differ = False
        self._files = _find_pictures(location, self._stats)
        self._to_come = self._readable()
        self._first = next(self._to_come, None)
        if self._first is None:
            raise SourceError(f"{location}: none of its {len(self._files)} pictures lies within start and end")
        self._info = self._describe(*self._first)

    @property
    def info(self) -> SourceInfo:
        """What is known about the pictures; size and camera are those of the first one."""
        return self._info

    @property
    def stats(self) -> SourceStats:
        """Counts so far."""
        return self._stats

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the pictures wanted; damaged ones are passed over and counted. Can be done once."""
        first, self._first = self._first, None
        if first is None:
            raise ValueError("a source can be read once; open it anew")
        sequence = 0
        while first is not None and not self._closed:
            pts, _, whole = first
            image = crop_image(whole, self._options.crop, self._location)
            yield VideoFrame(image, sequence, pts, self._info.time_base)
            first = next(self._to_come, None)
            sequence += 1

    def close(self) -> None:
        """Stop giving pictures; may be called twice, from any thread."""
        self._closed = True

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""
        self.close()

    def _readable(self) -> Iterator[tuple[int, Path, NDArray[np.uint8]]]:
        """Yield time, path and whole picture of each one that is wanted and can be read."""
        selector = FrameSelector(self._options)
        usual_shape: tuple[int, ...] | None = None
        for pts, path in self._files:
            verdict = selector.judge(pts, pts / self._options.picture_rate)
            if verdict is Verdict.STOP:
                return
            if verdict is Verdict.SKIP:
                continue
            image = self._read_or_pass_over(path)
            if image is None:
                continue
            if usual_shape not in (None, image.shape) and not self._sizes_differ:
                self._sizes_differ = True
                self._stats.warn(f"the pictures differ in size; {path.name} is the first other one")
            usual_shape = usual_shape or image.shape
            yield pts, path, image

    def _read_or_pass_over(self, path: Path) -> NDArray[np.uint8] | None:
        try:
            frame = decode_picture(path.read_bytes())
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._stats.corrupt += 1
            self._stats.damaged = True
            self._failures += 1
            nothing_else = self._stats.decoded == 0 and self._stats.corrupt == len(self._files)
            if nothing_else or self._failures > UNREADABLE_LIMIT:
                raise _explain_picture(error, path) from error
            self._stats.warn(f"some pictures cannot be read and were passed over, the first is {path.name}")
            return None
        self._failures = 0
        self._stats.decoded += 1
        return self._converter.convert(frame, read_picture_tags(path)[0])

    def _describe(self, pts: int, path: Path, image: NDArray[np.uint8]) -> SourceInfo:
        options = self._options
        height, width = image.shape[:2]
        window = crop_image(image, options.crop, self._location)
        camera: Intrinsics | None = intrinsics_of_picture(read_picture_tags(path)[1], width, height)
        is_single = len(self._files) == 1
        last = self._files[-1][0]
        count = expected_count(last + 1, options.picture_rate, options)
        return SourceInfo(
            name=short_name(self._location),
            location=self._location,
            width=window.shape[1],
            height=window.shape[0],
            time_base=1 / options.picture_rate,
            average_rate=None if is_single else options.picture_rate,
            frame_count=None if count is None else min(count, len(self._files)),
            intrinsics=crop_intrinsics(camera, options.crop),
            codec=path.suffix.lower().lstrip("."),
        )


def _find_pictures(location: str, stats: SourceStats) -> list[tuple[int, Path]]:
    """Return the pictures that a location names, in order, each with its time in frames."""
    kind, path = kind_of(location), Path(location)
    if kind is LocationKind.PICTURE:
        return [(0, path)]
    if kind is LocationKind.PATTERN:
        numbered = numbered_files(location)
        if not numbered:
            raise SourceError(f"{location}: no file fits this pattern")
        _note_gaps(list(numbered), stats)
        first = next(iter(numbered))
        return [(number - first, file) for number, file in numbered.items()]
    try:
        found = list(path.iterdir()) if kind is LocationKind.FOLDER else [Path(name) for name in glob.glob(location)]
    except OSError as error:
        raise explain(error, location) from error
    pictures = [file for file in found if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")]
    if not pictures:
        place = "this folder holds" if kind is LocationKind.FOLDER else "the files it matches are"
        raise SourceError(
            f"{location}: {place} no pictures ({len(found)} files); give videos one by one, by their names"
        )
    return list(enumerate(sorted(pictures, key=natural_order)))


def _note_gaps(numbers: list[int], stats: SourceStats) -> None:
    span = numbers[-1] - numbers[0] + 1
    if span > len(numbers):
        present = set(numbers)
        first = next(number for number in range(numbers[0], numbers[-1]) if number not in present)
        stats.warn(f"{span - len(numbers)} of {span} numbers are missing, the first is {first}; their time stays empty")


def _explain_picture(error: Exception, path: Path) -> SourceError:
    if isinstance(error, av.error.FFmpegError):
        return SourceError(f"{path}: a damaged or cut off picture (FFmpeg cannot make sense of its content)")
    if isinstance(error, ValueError):
        return SourceError(f"{path}: {error}")
    return explain(error, str(path))
