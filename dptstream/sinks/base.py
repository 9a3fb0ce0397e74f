"""What a sink of depth is. Knows no file format."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from ..frames import DepthFrame
from ..geometry import DepthKind, Intrinsics


@dataclass(frozen=True, slots=True)
class FeedInfo:
    """What every frame of a run has in common; sinks get it before the first frame."""

    name: str
    """Short name of the source, used for file names."""
    location: str
    """Path, pattern, URL or device the pictures come from."""
    width: int
    """Width of the first picture, pixels."""
    height: int
    """Height of the first picture, pixels."""
    time_base: Fraction
    """Seconds per tick of the frames' ``pts``."""
    average_rate: Fraction | None
    """Frames per second on average; None where unknown."""
    frame_count: int | None
    """Estimate of how many frames will come; None where unknown."""
    has_audio: bool
    """Whether ``location`` holds sound."""
    intrinsics: Intrinsics
    """The camera, for the first picture's size; its ``origin`` says where the numbers come from."""
    kind: DepthKind
    """What the depth values mean."""
    model: dict[str, object]
    """Model facts for records: name, family, variant, license, sha256, decided_by, ..."""
    settings: dict[str, object]
    """Everything that decides the values written; two runs with equal settings give equal files."""

    @property
    def provenance(self) -> str:
        """One line that names the model and the licence of its weights, for formats that hold a comment."""
        name, license_name = (str(self.model.get(key) or "unknown") for key in ("name", "license"))
        return f"depth by {name}, licence of the weights: {license_name}"


class Sink(Protocol):
    """Takes depth frames in order. The engine calls it from one thread."""

    @property
    def next_sequence(self) -> int | None:
        """First frame this sink still needs once it is open: 0 but for a run that is resumed; None when it needs none."""

    def open(self, feed: FeedInfo) -> None:
        """Prepare for frames of ``feed``; raises SinkError when nothing could be written."""

    def write(self, frame: DepthFrame) -> None:
        """Take one frame. The sink may keep the frame and its arrays: nobody rewrites them."""

    def note(self, name: str, value: object) -> None:
        """Take a fact about the whole run, as plain JSON values; called before ``close``."""

    def warn(self, line: str) -> None:
        """Take one line that the user of the output should know; called before ``close``."""

    def close(self, *, complete: bool) -> None:
        """Finish. ``complete`` is False when the run failed or was cancelled; may be called twice."""
