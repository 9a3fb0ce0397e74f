"""The project's light half (errors, geometry, wire): a folder of the zip; in a checkout, the package beside this one."""

from importlib import import_module
from types import ModuleType

try:
    from .dptstream import errors, geometry, wire
except ModuleNotFoundError:  # a checkout: whoever found this package there finds dptstream as well
    from dptstream import errors, geometry, wire

__all__ = ["errors", "geometry", "wire", "with_socket"]


def with_socket(name: str) -> ModuleType:
    """Return a module of the wire that needs pyzmq: ``subscriber``, ``control``, ``keys`` or ``endpoints``.

    Raises:
        MissingExtraError: This Blender got a zip without the pyzmq that it needs.
    """
    try:
        return import_module(f"{wire.__name__}.{name}")
    except ImportError as error:
        raise errors.MissingExtraError(
            f"pyzmq cannot be loaded ({error}): install the zip that is made for this Blender and system"
        ) from None
