"""What a filter remembers of a feed: a value that can be kept, copied to a file and taken up again."""

import io
import zipfile
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from .gauge import GaugeState
from .motion import Grey
from .planes import Plane

_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class FilterState:
    """The past of one feed. A step returns a new one and leaves the old untouched; every number in it is finite."""

    depth: Plane
    """(h, w) float32: the smoothed map, inverse depth for metric networks."""
    count: Plane
    """(h, w) float32: how many frames have been averaged at each surface point."""
    gauge: GaugeState
    """The feed's scale and shift."""
    thumbnail: Grey | None
    """The last picture, small and grey; None where motion is found elsewhere."""
    pts_seconds: float
    """Time of the last frame."""
    age: int
    """Frames since the shot began, the first one included."""

    def snapshot(self) -> bytes:
        """Return the state as bytes: an uncompressed npz, the same on every machine. Waits for the device."""
        buffer = io.BytesIO()
        arrays = {"depth": _host(self.depth), "count": _host(self.count)}
        arrays |= {f"gauge_{name}": _host(value) for name, value in self.gauge._asdict().items()}
        if self.thumbnail is not None:
            arrays["thumbnail"] = self.thumbnail
        header = np.array([_VERSION, self.pts_seconds, self.age], np.float64)
        np.savez(buffer, header=header, **arrays)
        return buffer.getvalue()

    @classmethod
    def restore(cls, blob: bytes, device: torch.device | None = None) -> Self:
        """Return the state that ``snapshot`` wrote, on ``device`` as tensors, or as arrays where None.

        Raises:
            ValueError: The bytes are no such state, or that of another version.
        """
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            version, pts_seconds, age = arrays.pop("header").tolist()
            grey = arrays.pop("thumbnail", None)
            planes = {
                name: array if device is None else torch.from_numpy(array).to(device) for name, array in arrays.items()
            }
            gauge = GaugeState(*(planes[f"gauge_{name}"] for name in GaugeState._fields))
            state = cls(planes["depth"], planes["count"], gauge, grey, pts_seconds, int(age))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"these {len(blob)} bytes are no state of the temporal filter: {error}") from error
        if version != _VERSION:
            raise ValueError(f"the temporal filter's state has version {version:g}; this program reads {_VERSION}")
        return state


def _host(plane: Plane) -> Plane:
    return plane.cpu().numpy() if isinstance(plane, torch.Tensor) else np.asarray(plane)
