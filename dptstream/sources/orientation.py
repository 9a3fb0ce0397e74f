"""How a stored picture must be turned to stand upright."""

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_TURNS = {
    (False, True, True): cv2.ROTATE_180,
    (True, True, False): cv2.ROTATE_90_CLOCKWISE,
    (True, False, True): cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """A transposition followed by flips: one of the eight ways a picture can be stored."""

    transposed: bool = False
    """Whether rows and columns change places, first."""
    flipped_x: bool = False
    """Whether left and right change places, then."""
    flipped_y: bool = False
    """Whether top and bottom change places, then."""

    @classmethod
    def from_exif(cls, tag: int) -> "Orientation":
        """Read EXIF's orientation tag, 1 to 8; anything else is upright."""
        table = {2: (False, True, False), 3: (False, True, True), 4: (False, False, True), 5: (True, False, False)}
        table |= {6: (True, True, False), 7: (True, True, True), 8: (True, False, True)}
        return cls(*table.get(tag, (False, False, False)))

    @classmethod
    def from_display_matrix(cls, matrix: bytes) -> "Orientation":
        """Read FFmpeg's display matrix: 9 native int32, row vectors times matrix; odd angles go to the nearest."""
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        if abs(b) > abs(a):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    @classmethod
    def from_rotation(cls, degrees: int) -> "Orientation":
        """Turn by ``degrees`` counterclockwise, to the nearest quarter."""
        return (cls(), cls(True, False, True), cls(False, True, True), cls(True, True, False))[round(degrees / 90) % 4]

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the upright picture: the same array where nothing is to do, else a new contiguous one."""
        turn = _TURNS.get((self.transposed, self.flipped_x, self.flipped_y))
        if turn is not None:
            return np.asarray(cv2.rotate(image, turn), np.uint8)
        if self.transposed:
            image = np.asarray(cv2.transpose(image), np.uint8)
        if self.flipped_x and self.flipped_y:
            return np.asarray(cv2.flip(image, -1), np.uint8)
        if self.flipped_x or self.flipped_y:
            return np.asarray(cv2.flip(image, 1 if self.flipped_x else 0), np.uint8)
        return image
