"""Films that are computed, with their exact depth and motion: for tests, examples and benchmarks."""

import itertools
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..frames import VideoFrame
from ..geometry import Intrinsics
from .base import SourceInfo, SourceStats
from .framing import crop_image, crop_intrinsics, require_fit
from .options import Crop, SourceOptions
from .selection import FrameSelector, Verdict, expected_count
from .synthetic_truth import SyntheticTruth

__all__ = ["SyntheticSettings", "SyntheticSource", "SyntheticTruth"]

SceneName = Literal["room", "wall"]


@dataclass(frozen=True, slots=True)
class SyntheticSettings:
    """What to film. On the command line: ``synthetic:width=448,height=252,seed=1,cuts=60``."""

    scene: SceneName = "room"
    """``room``: a furnished room, some things moving, ray-cast. ``wall``: a flat wall gliding by, almost free."""
    width: int = 448
    """Width of the pictures, pixels."""
    height: int = 252
    """Height of the pictures, pixels."""
    frames: int = 120
    """How many frames there are; 0 for no end."""
    fps: Fraction = Fraction(25)
    """Frames per second."""
    seed: int = 0
    """Equal settings and seed give equal pictures."""
    cuts: int = 0
    """A new scene begins every so many frames; 0 for a single shot."""
    fov_x_deg: float = 60.0
    """Horizontal field of view, degrees."""

    def __post_init__(self) -> None:
        if self.scene not in ("room", "wall"):
            raise ValueError(f"synthetic: scene must be room or wall; got {self.scene!r}")
        if self.width < 1 or self.height < 1 or self.frames < 0 or self.cuts < 0 or self.seed < 0 or self.fps <= 0:
            raise ValueError(f"synthetic: sizes and fps must be positive, frames, cuts and seed >= 0; got {self}")
        if not 0 < self.fov_x_deg < 180:
            raise ValueError(f"synthetic: fov_x_deg must lie between 0 and 180; got {self.fov_x_deg:g}")

    @classmethod
    def parse(cls, text: str) -> "SyntheticSettings":
        """Read ``name=value`` pairs parted by commas; what is not named keeps its default."""
        readers = {"scene": str, "fps": Fraction, "fov_x_deg": float}
        names = [field.name for field in fields(cls)]
        values: dict[str, object] = {}
        for pair in filter(None, text.split(",")):
            name, _, value = (part.strip() for part in pair.partition("="))
            if name not in names:
                raise ValueError(f"synthetic: unknown setting {name!r}; there are: {', '.join(names)}")
            try:
                values[name] = readers.get(name, int)(value)
            except (ValueError, ZeroDivisionError):
                raise ValueError(f"synthetic: cannot read {name}={value!r}") from None
        return replace(cls(), **values)  # type: ignore[arg-type]  # checked by name and reader above


class Scene(Protocol):
    """One shot: pictures and truths by their number within the shot."""

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Return the frame, (H, W, 3) RGB."""

    def truth(self, number: int, previous: int | None) -> SyntheticTruth:
        """Return what is true of frame ``number``, with motion since frame ``previous``."""


class SyntheticSource:
    """Gives the pictures of a computed film. With ``live`` they come at their own pace, as from a camera."""

    def __init__(self, settings: SyntheticSettings | None = None, options: SourceOptions | None = None) -> None:
        self._settings = settings = settings or SyntheticSettings()
        self._options = options = options or SourceOptions()
        self._stats = SourceStats()
        self._closed = threading.Event()
        self._shot: tuple[int, Scene] | None = None
        self._given: list[int] = []
        self._still_to_give = self._select()
        crop = options.crop
        if crop is not None:
            require_fit(crop, settings.width, settings.height, "synthetic:")
        camera = _camera_of(settings)
        self._info = SourceInfo(
            name="synthetic",
            location=_location_of(settings),
            width=crop.width if crop else settings.width,
            height=crop.height if crop else settings.height,
            time_base=1 / settings.fps,
            average_rate=settings.fps,
            frame_count=expected_count(settings.frames or None, settings.fps, options),
            live=bool(options.live),
            intrinsics=crop_intrinsics(camera, crop),
        )

    @classmethod
    def from_location(cls, location: str, options: SourceOptions) -> "SyntheticSource":
        """Open ``synthetic:`` with its settings, e.g. ``synthetic:scene=wall,frames=5000``."""
        return cls(SyntheticSettings.parse(location.partition(":")[2]), options)

    @property
    def info(self) -> SourceInfo:
        """What is known about the film; its camera is exact."""
        return self._info

    @property
    def stats(self) -> SourceStats:
        """Counts so far."""
        return self._stats

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the frames wanted."""
        began_ns = time.monotonic_ns()
        sequence = -1
        for sequence, number in enumerate(self._select()):
            captured_ns = self._await_turn(began_ns, number) if self._info.live else 0
            if self._closed.is_set():
                return
            image = crop_image(
                self._scene_at(number).picture(self._within_shot(number)), self._options.crop, "synthetic:"
            )
            self._stats.decoded += 1
            yield VideoFrame(image, sequence, number, self._info.time_base, captured_ns)
        if sequence < 0:
            raise SourceError("synthetic: no frame lies within start and end")

    def truth(self, sequence: int) -> SyntheticTruth:
        """Return what is true of the frame of that ``sequence``, whether it was given yet or not.

        Raises:
            IndexError: The film has no such frame.
        """
        while len(self._given) <= sequence:
            number = next(self._still_to_give, None)
            if number is None or sequence < 0:
                raise IndexError(f"no frame {sequence}; the film gives {len(self._given)} frames")
            self._given.append(number)
        number = self._given[sequence]
        previous = self._given[sequence - 1] if sequence else None
        if previous is not None and self._shot_of(previous) != self._shot_of(number):
            previous = None
        truth = self._scene_at(number).truth(
            self._within_shot(number), None if previous is None else self._within_shot(previous)
        )
        return _crop_truth(truth, self._options.crop)

    def close(self) -> None:
        """End the film; may be called twice, from any thread."""
        self._closed.set()

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""
        self.close()

    def _select(self) -> Iterator[int]:
        selector = FrameSelector(self._options)
        for number in range(self._settings.frames) if self._settings.frames else itertools.count():
            verdict = selector.judge(number, number / self._settings.fps)
            if verdict is Verdict.STOP:
                return
            if verdict is Verdict.KEEP:
                yield number

    def _await_turn(self, began_ns: int, number: int) -> int:
        due_ns = began_ns + int(number / self._settings.fps * 1_000_000_000)
        self._closed.wait(max(0, due_ns - time.monotonic_ns()) / 1e9)
        return time.monotonic_ns()

    def _shot_of(self, number: int) -> int:
        return number // self._settings.cuts if self._settings.cuts else 0

    def _within_shot(self, number: int) -> int:
        return number % self._settings.cuts if self._settings.cuts else number

    def _scene_at(self, number: int) -> Scene:
        # Read once: a truth may be asked for by another thread than the one that iterates.
        shot, wanted = self._shot, self._shot_of(number)
        if shot is None or shot[0] != wanted:
            self._shot = shot = (wanted, _make_scene(self._settings, wanted))
        return shot[1]


def _make_scene(settings: SyntheticSettings, shot: int) -> Scene:
    random = np.random.default_rng((settings.seed, shot))
    if settings.scene == "wall":
        from .synthetic_wall import WallScene

        return WallScene(_camera_of(settings), random)
    from .synthetic_room import RoomScene

    return RoomScene(_camera_of(settings), float(settings.fps), random)


def _camera_of(settings: SyntheticSettings) -> Intrinsics:
    return Intrinsics.from_fov_x(math.radians(settings.fov_x_deg), settings.width, settings.height, origin="file")


def _location_of(settings: SyntheticSettings) -> str:
    return "synthetic:" + ",".join(f"{field.name}={getattr(settings, field.name)}" for field in fields(settings))


def _crop_truth(truth: SyntheticTruth, crop: Crop | None) -> SyntheticTruth:
    if crop is None:
        return truth
    rows, columns = slice(crop.y, crop.y + crop.height), slice(crop.x, crop.x + crop.width)
    flow = truth.flow[rows, columns]
    x = flow[..., 0] + (np.arange(crop.width, dtype=np.float32) + 0.5)
    y = flow[..., 1] + (np.arange(crop.height, dtype=np.float32) + 0.5)[:, None]
    beyond = (x < 0) | (y < 0) | (x > crop.width) | (y > crop.height)
    return replace(
        truth,
        depth=truth.depth[rows, columns],
        flow=flow,
        occluded=truth.occluded[rows, columns] | beyond,
        previous_depth=truth.previous_depth[rows, columns],
        moving=truth.moving[rows, columns],
    )
