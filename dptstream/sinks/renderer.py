"""Turns the waiting depth of one frame into its deferred files and pictures. Called from several threads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SinkError
from ..frames import resize_depth
from ..geometry import DepthKind
from .base import FeedInfo
from .files import write_file
from .layout import Layout
from .mapping import Codes, Mapping, display_range, nearness, sample
from .options import FolderOptions, Format
from .ply import ply_bytes
from .png import png16_bytes
from .points import FAR_UNITS, NEAR_UNITS, colored_points, distances, grid_camera
from .preview import even_sized, fit, paint
from .quantity import Quantity
from .waiting import WaitingFrame, unpack_waiting


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """What was made of one frame."""

    mapping: Mapping
    """How it was mapped."""
    pictures: dict[Format, NDArray[np.uint8] | NDArray[np.uint16]]
    """The frame for each video format, all of a clip of one size."""
    sizes: dict[Format, int]
    """Bytes of each file written."""


@dataclass(frozen=True, slots=True)
class FrameRenderer:
    """Writes a frame's deferred files and paints its pictures for the videos."""

    feed: FeedInfo
    """What the frames have in common."""
    options: FolderOptions
    """What to write."""
    layout: Layout
    """Where to write it."""
    quantity: Quantity
    """What the values mean."""

    def load(self, sequence: int) -> WaitingFrame:
        """Read the waiting frame ``sequence``; raises SinkError."""
        path = self.layout.scratch_frame(sequence)
        try:
            return unpack_waiting(path.read_bytes())
        except OSError as error:
            raise SinkError(f"cannot read {path}: {error.strerror}; run again with --overwrite") from error
        except (ValueError, KeyError) as error:
            raise SinkError(f"{path} is damaged; run again with --overwrite") from error

    def values(self, waiting: WaitingFrame, size_hw: tuple[int, int]) -> NDArray[np.float32]:
        """Return the values to write at ``size_hw``."""
        return self.quantity.encode(resize_depth(waiting.depth, size_hw, waiting.output_resize))

    def own_mapping(self, sequence: int, waiting: WaitingFrame) -> Mapping:
        """Return the mapping of a frame that shares its range with no other."""
        values = self.values(waiting, waiting.size_hw)
        finite = values[np.isfinite(values)]
        extremes = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        shown = display_range([sample(self.quantity.encode(waiting.depth), self.quantity)])
        return Mapping(sequence, sequence + 1, self.codes(*extremes), *shown)

    def codes(self, low: float, high: float) -> Codes:
        """Return the codes for values from ``low`` to ``high``; millimetres where the values are metres."""
        if self.quantity.in_millimetres:
            return Codes.millimetres()
        return Codes.spanning(low, high, invert=self.options.invert)

    def render(self, sequence: int, shared: Mapping | None) -> Rendered:
        """Write the files of frame ``sequence`` and return its pictures; without ``shared`` it is mapped by itself."""
        waiting = self.load(sequence)
        mapping = shared or self.own_mapping(sequence, waiting)
        formats = self.options.formats
        pictures: dict[Format, NDArray[np.uint8] | NDArray[np.uint16]] = {}
        sizes: dict[Format, int] = {}
        if "png16" in formats:
            codes = mapping.codes.encode(self.values(waiting, waiting.size_hw))
            sizes["png16"] = self._write(sequence, "png16", png16_bytes(codes, self._png_text(mapping)))
        if "ply" in formats:
            sizes["ply"] = self._write(sequence, "ply", self._ply(sequence, waiting, mapping))
        if "ffv1" in formats:
            pictures["ffv1"] = mapping.codes.encode(self.values(waiting, self._video_hw))
        if "preview" in formats:
            pictures["preview"] = self._preview(waiting, mapping)
        return Rendered(mapping, pictures, sizes)

    @property
    def _video_hw(self) -> tuple[int, int]:
        return self.feed.height, self.feed.width

    def _write(self, sequence: int, name: Format, content: bytes) -> int:
        return write_file(self.layout.frame(sequence, name), content, scratch=self.layout.scratch)

    def _png_text(self, mapping: Mapping) -> dict[str, str]:
        return {
            "Software": "dptstream",
            "Comment": self.feed.provenance,
            "dptstream:values": self.quantity.name,
            "dptstream:unit": self.quantity.unit or "none",
            "dptstream:scale": repr(mapping.codes.scale),
            "dptstream:offset": repr(mapping.codes.offset),
            "dptstream:invalid": "0",
        }

    def _ply(self, sequence: int, waiting: WaitingFrame, mapping: Mapping) -> bytes:
        assert waiting.picture is not None
        kind = self.feed.kind
        height, width = waiting.depth.shape
        camera = grid_camera(self.feed.intrinsics, (height, width), waiting.size_hw, waiting.output_resize)
        distance = distances(waiting.depth, kind, (mapping.low, mapping.high))
        points, colors = colored_points(distance, camera, waiting.picture)
        comments = [
            f"dptstream: frame {sequence} of {self.feed.name}",
            self.feed.provenance,
            f"{kind.value}, unit {kind.unit or 'none'}; x right, y down, z forward",
            f"camera fx {camera.fx:.9g} fy {camera.fy:.9g} cx {camera.cx:.9g} cy {camera.cy:.9g} "
            f"size {width} {height} origin {camera.origin}",
        ]
        if kind is DepthKind.RELATIVE_INVERSE:
            comments.append(
                f"inverse depth {mapping.low:.9g} to {mapping.high:.9g} set to {FAR_UNITS:g} to {NEAR_UNITS:g} units"
            )
        return ply_bytes(points, colors, comments)

    def _preview(self, waiting: WaitingFrame, mapping: Mapping) -> NDArray[np.uint8]:
        values = self.quantity.encode(waiting.depth)
        shade = nearness(values, mapping.low, mapping.high, larger_is_nearer=self.quantity.larger_is_nearer)
        full = np.clip(resize_depth(shade, self._video_hw, waiting.output_resize), 0.0, 1.0)
        painted = paint(1 - full if self.options.invert else full, self.options.color_map)
        if self.options.side_by_side:
            assert waiting.picture is not None
            painted = np.hstack([fit(waiting.picture, self._video_hw), painted])
        return even_sized(painted)
