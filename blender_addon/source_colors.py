"""Where the colours of a depth sequence lie: its source's pictures, or copies of them. Knows no ``bpy``; opens no picture."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from .manifest_reader import DepthSequence, SequenceError

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".exr", ".dpx", ".jp2", ".tga"}
)
MOVIE_SUFFIXES = frozenset(
    {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".ogv", ".wmv", ".flv"}
)
_PATTERN = re.compile(r"%0?\d*d")
_NUMBER = re.compile(r"(\d+)(\D*)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Colors:
    """Pictures that belong to a depth sequence."""

    kind: Literal["movie", "pictures", "picture"]
    """A film; numbered pictures; one picture for all frames."""
    path: Path
    """The film, or the first picture."""
    numbers: tuple[int, ...] = ()
    """``pictures``: for each frame of the depth sequence, the number in the file's name."""
    seconds: tuple[float, ...] = ()
    """``movie``: for each frame of the depth sequence, its time in the film."""
    window: tuple[int, int, int, int] | None = None
    """Part that the depth was made from: x, y, width, height in pixels; None: all of it."""
    left_half: bool = False
    """Whether the picture is the left half of what is seen."""
    told: str = ""
    """Where they come from, in words."""


def find_colors(sequence: DepthSequence, chosen: Path | None = None) -> Colors | None:
    """Return the pictures that belong to ``sequence``, or None where there are none on this disk.

    Looked for in this order: what the user chose, pictures in the folder itself (takes), the source where the manifest
    says it lies or beside the folder, and the preview video if it holds the picture beside the depth.

    Raises:
        SequenceError: What the user chose cannot be used.
    """
    if chosen is not None:
        return _chosen(sequence, chosen)
    return _own_pictures(sequence) or _source(sequence) or _preview(sequence)


def _chosen(sequence: DepthSequence, chosen: Path) -> Colors:
    found = _at(sequence, chosen, window=_crop(sequence))
    if found is None:
        raise SequenceError(
            f"{chosen} is neither a film nor pictures for {len(sequence.frames)} frames: choose another file"
        )
    return found


def _own_pictures(sequence: DepthSequence) -> Colors | None:
    pictures = [frame.color for frame in sequence.frames]
    first = pictures[0]
    if first is None or not first.is_file():
        return None
    numbers = tuple(number_of(picture) or 0 for picture in pictures if picture is not None)
    if len(numbers) < len(pictures):
        return None
    return Colors("pictures", first, numbers=numbers, told=f"pictures of the take ({first.name} and on)")


def _source(sequence: DepthSequence) -> Colors | None:
    location = str(sequence.source.get("location") or "")
    if not location or "://" in location or location.startswith(("synthetic", "camera:", "/dev/")):
        return None
    name = location.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    folder = sequence.folder
    for place in (Path(location), folder / location, folder.parent / location, folder / name, folder.parent / name):
        found = _at(sequence, place, window=_crop(sequence))
        if found is not None:
            return found
    return None


def _preview(sequence: DepthSequence) -> Colors | None:
    if sequence.preview is None:
        return None
    path = sequence.folder / str(sequence.preview["file"])
    if not path.is_file():
        return None
    start = float(sequence.preview.get("start_seconds") or 0.0)
    seconds = tuple(frame.seconds - start for frame in sequence.frames)
    return Colors("movie", path, seconds=seconds, left_half=True, told=f"left half of {path.name}")


def _at(sequence: DepthSequence, place: Path, window: tuple[int, int, int, int] | None) -> Colors | None:
    """Return the pictures at ``place``: a film, a folder, a pattern like ``%04d.png``, one of numbered pictures, or one."""
    count = len(sequence.frames)
    suffix = place.suffix.lower()
    if place.is_file() and suffix in MOVIE_SUFFIXES:
        seconds = tuple(frame.seconds - _start_of_source(sequence) for frame in sequence.frames)
        return Colors("movie", place.resolve(), seconds=seconds, window=window, told=f"{place.name}")
    pictures = _pictures(place)
    if not pictures:
        return None
    if len(pictures) == 1 or count == 1:
        return Colors("picture", pictures[0][1].resolve(), window=window, told=f"{pictures[0][1].name}")
    numbers = _numbers(sequence, pictures)
    if numbers is None:
        return None
    first = pictures[0][1].resolve()
    return Colors("pictures", first, numbers=numbers, window=window, told=f"{first.name} and on")


def _pictures(place: Path) -> list[tuple[int, Path]]:
    """Return pictures and their numbers, in order; one only where they cannot be one sequence."""
    if place.is_dir():
        inside = sorted(file for file in place.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
        return _siblings(inside[0]) if inside else []
    if place.is_file():
        return _siblings(place) if place.suffix.lower() in PICTURE_SUFFIXES else []
    directive = _PATTERN.search(place.name)
    if directive is None or not place.parent.is_dir():
        return []
    return _matching(place.parent, place.name[: directive.start()], place.name[directive.end() :])


def _siblings(path: Path) -> list[tuple[int, Path]]:
    match = _NUMBER.search(path.stem)
    if match is None:
        return [(0, path)]
    return _matching(path.parent, path.stem[: match.start()], match[2] + path.suffix)


def _matching(folder: Path, before: str, after: str) -> list[tuple[int, Path]]:
    name = re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}", re.ASCII)
    found = ((name.fullmatch(entry.name), entry) for entry in folder.iterdir())
    return sorted((int(match[1]), entry) for match, entry in found if match)


def _numbers(sequence: DepthSequence, pictures: list[tuple[int, Path]]) -> tuple[int, ...] | None:
    """Return each frame's picture by its time, which counts pictures from the first; by order where times do not fit."""
    rate = sequence.source.get("average_rate")
    present = {number for number, _ in pictures}
    if rate:
        places = [round(frame.seconds * float(Fraction(*rate))) for frame in sequence.frames]
        by_number = tuple(pictures[0][0] + place for place in places)
        if present.issuperset(by_number):
            return by_number
        if min(places) >= 0 and max(places) < len(pictures):
            return tuple(pictures[place][0] for place in places)
    if len(pictures) == len(sequence.frames):
        return tuple(number for number, _ in pictures)
    return None


def number_of(path: Path) -> int | None:
    """Return the last number in a file's name, its ending aside."""
    match = _NUMBER.search(path.stem)
    return int(match[1]) if match else None


def _start_of_source(sequence: DepthSequence) -> float:
    # Containers may count from any moment. Where the run began with the source, its first time tells which.
    if sequence.settings.get("start") in (None, "", "0"):
        return sequence.frames[0].seconds
    return 0.0


def _crop(sequence: DepthSequence) -> tuple[int, int, int, int] | None:
    crop = sequence.settings.get("crop")
    if not crop:
        return None
    numbers = [int(part) for part in (crop.split(",") if isinstance(crop, str) else crop)]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None
