"""Build the extension: a zip for each system and range of Blender versions, and an index by which Blender picks its own.

    python blender_addon/build.py --blender-ext .../bl_pkg/cli/blender_ext.py --output dist/blender

``blender_ext.py`` is the tool that comes with Blender, in ``scripts/addons_core/bl_pkg/cli``; where ``blender`` is on the
PATH it need not be named. It builds and validates each zip and writes the index. Wheels of pyzmq are fetched by pip, or
taken from ``--wheels``. Serve the output folder from any web server, or give ``index.json`` to Blender as file:// address.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ADDON = Path(__file__).resolve().parent
LIGHT = ("__init__.py", "errors.py", "geometry", "wire")
"""What the zip takes from dptstream: no torch, no PyAV, no OpenCV."""
LEFT_OUT = ("build.py", "*.md", "pictures", "__pycache__", "*.pyc", "dptstream", "wheels")
"""What the zip does not take from this folder."""
PYZMQ = "27.3.0"
PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_26_x86_64", "manylinux2014_x86_64"),
    "linux-arm64": ("manylinux_2_28_aarch64", "manylinux_2_26_aarch64", "manylinux2014_aarch64"),
    "macos-x64": ("macosx_10_15_universal2",),
    "macos-arm64": ("macosx_10_15_universal2",),
    "windows-x64": ("win_amd64",),
    "windows-arm64": ("win_arm64",),
}
"""Blender's name of each system, and the tags of wheels for it."""


@dataclass(frozen=True, slots=True)
class Range:
    """Blender versions that one build serves."""

    name: str
    """Part of the zips' names."""
    first: str
    """First version."""
    end: str | None
    """First version no longer served."""
    wheel: tuple[str, ...]
    """pip's options for the Python of these versions."""


# Up to 5.0 Blender runs Python 3.11, for which pyzmq has a wheel of its own; later ones take the wheel for 3.12 and up.
# Listed together, Blender's check of wheels would find them contradictory.
RANGES = (
    Range("blender-4.2-5.0", "4.2.0", "5.1.0", ("--python-version=3.11", "--abi=cp311")),
    Range("blender-5.1-on", "5.1.0", None, ("--python-version=3.12", "--abi=abi3")),
)


def main() -> None:
    """Build, validate, write the index, list what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("dist/blender"), help="folder for zips and index")
    parser.add_argument("--blender-ext", type=Path, help="Blender's blender_ext.py; else `blender` is asked")
    parser.add_argument("--wheels", type=Path, help="folder with pyzmq's wheels; else pip fetches them")
    parser.add_argument("--platform", action="append", choices=PLATFORMS, help="this system alone; may be repeated")
    options = parser.parse_args()
    if options.blender_ext is None and shutil.which("blender") is None:
        parser.error("there is no blender on the PATH: name its tool, as --blender-ext .../bl_pkg/cli/blender_ext.py")
    try:
        zips = build(options.output, options.blender_ext, options.wheels, tuple(options.platform or PLATFORMS))
    except subprocess.CalledProcessError as error:
        sys.exit(f"nothing was built: this failed, and says above why: {' '.join(map(str, error.cmd))}")
    for path in zips:
        print(f"{path.stat().st_size:>9,} bytes  {path.name}")


def build(output: Path, blender_ext: Path | None, wheels: Path | None, platforms: tuple[str, ...]) -> list[Path]:
    """Build a zip for each of ``platforms`` and each range, and the index; return the zips.

    Raises:
        subprocess.CalledProcessError: pip or Blender's tool failed, and said why.
    """
    tool = ["blender", "--command", "extension"] if blender_ext is None else [sys.executable, str(blender_ext)]
    output.mkdir(parents=True, exist_ok=True)
    zips = []
    with tempfile.TemporaryDirectory() as folder:
        for span in RANGES:
            stage = Path(folder) / span.name
            lay_out(stage, span, wheels, platforms)
            built = Path(folder) / f"{span.name}.zips"
            built.mkdir()
            _run([*tool, "build", "--split-platforms", f"--source-dir={stage}", f"--output-dir={built}"])
            for made in sorted(built.glob("*.zip")):
                _run([*tool, "validate", str(made)])
                zips.append(Path(shutil.move(made, output / made.name.replace(".zip", f"-{span.name}.zip"))))
    _run([*tool, "server-generate", f"--repo-dir={output}"])
    return sorted(zips)


def lay_out(stage: Path, span: Range, wheels: Path | None, platforms: tuple[str, ...]) -> None:
    """Lay out the extension's folder as ``span`` of Blender versions needs it."""
    shutil.copytree(ADDON, stage, ignore=shutil.ignore_patterns(*LEFT_OUT))
    light = stage / "dptstream"
    light.mkdir()
    for name in LIGHT:
        source = ADDON.parent / "dptstream" / name
        if source.is_dir():
            shutil.copytree(source, light / name, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
        else:
            shutil.copy(source, light)
    shutil.copy(ADDON.parent / "LICENSE", light)
    for platform in platforms:
        _fetch(stage / "wheels", span, wheels, PLATFORMS[platform])
    manifest = stage / "blender_manifest.toml"
    manifest.write_text(_narrowed(manifest.read_text("utf-8"), span, platforms, stage / "wheels"), "utf-8")


def _narrowed(manifest: str, span: Range, platforms: tuple[str, ...], wheels: Path) -> str:
    lines = [f'blender_version_min = "{span.first}"']
    if span.end is not None:
        lines.append(f'blender_version_max = "{span.end}"')
    lines += ["platforms = [", *(f'    "{platform}",' for platform in platforms), "]"]
    lines += ["wheels = [", *(f'    "./wheels/{path.name}",' for path in sorted(wheels.iterdir())), "]"]
    return manifest.replace('blender_version_min = "4.2.0"', "\n".join(lines))


def _fetch(folder: Path, span: Range, wheels: Path | None, tags: tuple[str, ...]) -> None:
    source = [] if wheels is None else ["--no-index", f"--find-links={wheels}"]
    chosen = [f"--platform={tag}" for tag in tags]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", f"--dest={folder}"]
    _run([*command, *source, *span.wheel, *chosen, f"pyzmq=={PYZMQ}"])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
