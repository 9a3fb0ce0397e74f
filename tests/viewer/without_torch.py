"""Views a feed where neither torch nor PyAV is installed: ``python -m tests.viewer.without_torch``.

Continuous integration runs it in an environment made of the dependency group ``light`` alone.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from dptstream.errors import MissingExtraError
from dptstream.viewer import graphics
from tests.wire.feeding import publisher_process

VIEW = (sys.executable, "-m", "dptstream", "view")
HEAVY = ("torch", "av")
PNG = b"\x89PNG\r\n\x1a\n"


def main() -> None:
    for name in HEAVY:
        assert importlib.util.find_spec(name) is None, f"{name} is here: this proves nothing"
    with publisher_process("tcp://127.0.0.1:*", 10, 48, 64) as (_, endpoint), tempfile.TemporaryDirectory() as folder:
        try:
            graphics.check_graphics()
        except MissingExtraError as error:
            print("nothing is drawn here:", error)
        else:
            save(endpoint, Path(folder))
        show_page(endpoint)
    refuse_clips()
    print("viewed a feed without", " and ".join(HEAVY))


def save(endpoint: str, folder: Path) -> None:
    """Save points, a picture and a film; where there is no encoder, be told so."""
    picture, turn = folder / "picture.png", folder / "turn.mp4"
    words = [endpoint, "--frames", "2", "--window", "320x200", "--export-ply", str(folder), "--export-glb", str(folder)]
    subprocess.run([*VIEW, *words, "--snapshot", str(picture)], check=True, timeout=400)
    assert picture.read_bytes().startswith(PNG)
    assert len(list(folder.glob("cam1.*.ply"))) == len(list(folder.glob("cam1.*.glb"))) == 2
    film = subprocess.run(
        [*VIEW, endpoint, "--window", "320x200", "--orbit", str(turn), "--orbit-seconds", "0.2"],
        capture_output=True,
        text=True,
        timeout=400,
    )
    if importlib.util.find_spec("cv2") is None:
        assert film.returncode == 1
        assert "pip install av" in film.stderr
    else:
        assert turn.stat().st_size > 500, film.stderr


def show_page(endpoint: str) -> None:
    with subprocess.Popen([*VIEW, endpoint, "--web", "--port", "0"], stderr=subprocess.PIPE, text=True) as viewer:
        try:
            assert viewer.stderr is not None
            address = next(found[0] for line in viewer.stderr if (found := re.search(r"http://\S+", line)))
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert b"<script" in answer.read()
        finally:
            viewer.terminate()
            viewer.wait(60)


def refuse_clips() -> None:
    told = subprocess.run([*VIEW, "clip.mp4", "--export-ply", "x"], capture_output=True, text=True, timeout=400)
    assert told.returncode == 1
    assert "needs torch" in told.stderr.splitlines()[-1], told.stderr
    assert "Traceback" not in told.stderr


if __name__ == "__main__":
    main()
