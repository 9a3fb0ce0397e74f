"""Every output names the licence of the weights."""

from pathlib import Path

import av
import numpy as np

from dptstream.sinks import FolderOptions, read_manifest

from .clips import run, toy_feed, toy_frames


def test_every_format_that_can_hold_a_word_names_model_and_licence(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    run(FolderOptions(folder, ("npz", "png16", "ply", "ffv1", "preview")), toy_feed(), toy_frames())
    model = read_manifest(folder)["model"]
    line = f"depth by {model['name']}, licence of the weights: {model['license']}"
    for path in folder.iterdir():
        if path.suffix in {".png", ".ply"}:
            assert line.encode() in path.read_bytes(), path.name
        elif path.suffix in {".mkv", ".mp4"}:
            with av.open(str(path)) as container:
                tags = {key.lower(): value for key, value in container.metadata.items()}
            assert tags["comment"] == line
        elif path.suffix == ".npz":
            assert str(np.load(path)["model_license"]) == model["license"]
