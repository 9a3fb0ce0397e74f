"""dptstream: any video into depth, live or offline.

The package root imports nothing heavy; import what you need from the sub-packages:
``dptstream.models.load_model``, ``dptstream.sources.open_source``, ``dptstream.engine.Engine``.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dptstream")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
