"""Depth of one picture.

The shortest way from a picture to numbers: load a model once, then ask it. Uses ``dptstream.models.load_model`` and
``predict``; the picture is a frame of the bundled clip.

    python examples/01_depth_of_a_picture.py
"""

from pathlib import Path

from dptstream.models import load_model
from dptstream.sources import open_source

CLIP = Path(__file__).parent / "media" / "big_buck_bunny.mp4"


def main() -> None:
    model = load_model("tiny")
    with open_source(str(CLIP)) as source:
        picture = next(iter(source)).image

    depth = model.predict(picture)

    unit = model.info.kind.unit or "no unit"
    print(f"{model.info.name}: {model.info.kind.value}, {unit}, weights under {model.info.license}")
    print(f"depth {depth.shape} {depth.dtype}, from {depth.min():.3f} to {depth.max():.3f}")


if __name__ == "__main__":
    main()
