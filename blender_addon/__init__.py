"""Depth Stream: live and recorded depth of any video in Blender 4.2 LTS to 5.2 LTS.

Each module of ``MODULES`` has ``register()`` and ``unregister()``, both of which may be called twice; a new module is one
more name there. This file and whatever else knows no ``bpy`` can be imported without Blender.
"""

from importlib import import_module
from types import ModuleType

MODULES: tuple[str, ...] = (
    "ownership",
    "preferences",
    "steering",
    "live",
    "properties",
    "operators",
    "panel",
    "sequence",
    "bake",
    "take",
    "recorded_panel",
)
"""Names of the modules that register something, each after those it needs."""


def register() -> None:
    """Register every module; where one fails, nothing stays registered."""
    done: list[ModuleType] = []
    try:
        for module in _modules():
            module.register()
            done.append(module)
    except BaseException:
        for module in reversed(done):
            module.unregister()
        raise


def unregister() -> None:
    """Stop everything that runs, and take back every registration; harmless where there is none."""
    for module in reversed(_modules()):
        module.unregister()


def _modules() -> list[ModuleType]:
    return [import_module(f".{name}", __package__) for name in MODULES]
