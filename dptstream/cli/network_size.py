"""The size of a network's input as users write it: HxW, or one number that the model's own rule takes. Loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models.network import NetworkModel

USUAL_PICTURE_HW = (1080, 1920)
"""The picture that a size belongs to where none is given."""


def network_size_hw(
    text: str | None, model: NetworkModel, picture_hw: tuple[int, int] = USUAL_PICTURE_HW
) -> tuple[int, int]:
    """Return the (height, width) that ``--size`` means for a model and a picture; the authors' choice for None.

    Raises:
        ValueError: It is neither HxW nor a number, or a side is no multiple of what the network needs.
    """
    if text is None:
        return model.input_size_hw(picture_hw)
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise ValueError(f"cannot read the size {text!r}; write HxW, such as 518x924 (height first), or one number")
    if len(sides) == 1:
        return model.input_size_hw(picture_hw, size=int(text))
    height, width = (int(side) for side in sides)
    multiple = model.info.size_multiple
    if height % multiple or width % multiple:
        near = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in (height, width))
        raise ValueError(
            f"size {text} does not suit {model.info.name}: both sides must be multiples of {multiple}, such as {near}"
        )
    return height, width
