"""Everything that is done for one frame as soon as it comes. Called from several threads at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame
from ..geometry import Intrinsics
from .arrays import npy_bytes, npz_bytes
from .base import FeedInfo
from .exr import HALF_MAX, channel_names, clip_header, exr_bytes, frame_header, time_code
from .files import write_file
from .journal import FrameRecord
from .layout import Layout
from .mapping import LAST_CODE
from .options import FolderOptions, Format
from .quantity import Quantity
from .waiting import WaitingFrame, pack_waiting

_CODE_FORMATS = frozenset({"png16", "ffv1"})


@dataclass(frozen=True, slots=True)
class FrameWriter:
    """Writes the immediate formats of a frame, and what its deferred formats will need."""

    feed: FeedInfo
    """What the frames have in common."""
    options: FolderOptions
    """What to write."""
    layout: Layout
    """Where to write it."""
    quantity: Quantity
    """What the values mean."""

    def write(self, frame: DepthFrame) -> FrameRecord:
        """Write what can be written of ``frame`` now; raises SinkError."""
        values = self.quantity.encode(frame.at_picture_size())
        finite = values[np.isfinite(values)]
        value_range = (float(finite.min()), float(finite.max())) if finite.size else None
        sizes: dict[str, int] = {
            name: write_file(
                self.layout.frame(frame.video.sequence, name),
                self._content(name, frame, values, value_range),
                scratch=self.layout.scratch,
            )
            for name in self.layout.frame_formats
            if name not in self.options.deferred
        }
        if self.options.deferred:
            sizes["scratch"] = self._keep(frame)
        counts_codes = self.quantity.in_millimetres and _CODE_FORMATS & set(self.options.formats)
        return FrameRecord(
            sequence=frame.video.sequence,
            pts=frame.video.pts,
            width=frame.video.width,
            height=frame.video.height,
            minimum=value_range and value_range[0],
            maximum=value_range and value_range[1],
            invalid=values.size - finite.size,
            beyond_codes=int(np.count_nonzero(finite > LAST_CODE / 1000)) if counts_codes else 0,
            beyond_half=int(np.count_nonzero(np.abs(finite) > HALF_MAX)) if self.options.half else 0,
            scene_cut=frame.scene_cut,
            sizes=sizes,
        )

    def _content(
        self,
        name: Format,
        frame: DepthFrame,
        values: NDArray[np.float32],
        value_range: tuple[float, float] | None,
    ) -> bytes | memoryview:
        if name == "npy":
            return npy_bytes(values)
        video = frame.video
        camera = self.feed.intrinsics.scaled_to(video.width, video.height)
        if name == "npz":
            return npz_bytes(self._fields(frame, values, camera))
        number = self.layout.first_number + video.sequence
        header = {
            **clip_header(self.quantity, frame.kind.value, self.feed.model, camera, self.feed.average_rate),
            **frame_header(number, video.pts, video.time_base, value_range, camera),
            **time_code(video.pts * video.time_base, self.feed.average_rate),
        }
        channels = channel_names(self.quantity, self.options.exr_channel)
        return exr_bytes(values, header, channels, half=self.options.half, compression=self.options.compression)

    def _fields(
        self, frame: DepthFrame, values: NDArray[np.float32], camera: Intrinsics
    ) -> dict[str, NDArray[np.generic]]:
        video = frame.video
        return {
            self.quantity.name: values,
            "kind": np.array(frame.kind.value),
            "unit": np.array(self.quantity.unit or ""),
            "larger_is_nearer": np.array(self.quantity.larger_is_nearer),
            "intrinsics": np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            "model": np.array(str(self.feed.model.get("name") or "")),
            "model_license": np.array(str(self.feed.model.get("license") or "")),
            "sequence": np.array(video.sequence),
            "pts": np.array(video.pts),
            "time_base": np.array([video.time_base.numerator, video.time_base.denominator]),
        }

    def _keep(self, frame: DepthFrame) -> int:
        lossless = "ply" in self.options.formats
        shows_picture = self.options.side_by_side and "preview" in self.options.formats
        waiting = WaitingFrame(
            frame.depth,
            (frame.video.height, frame.video.width),
            frame.output_resize,
            frame.video.image if lossless or shows_picture else None,
        )
        path = self.layout.scratch_frame(frame.video.sequence)
        return write_file(path, pack_waiting(waiting, lossless=lossless), scratch=self.layout.scratch)
