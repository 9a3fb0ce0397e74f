"""What the user sets once for all files."""

from typing import Any

import bpy
from bpy.props import StringProperty

from .compat import register_classes, unregister_classes


class DPTSTREAM_AP_preferences(bpy.types.AddonPreferences):
    """Preferences of this extension."""

    bl_idname = __package__

    python: StringProperty(
        name="Python with dptstream",
        description="The Python into which dptstream was installed; Start Server runs it",
        subtype="FILE_PATH",
    )

    def draw(self, _context: Any) -> None:
        """Draw them."""
        self.layout.prop(self, "python")
        self.layout.label(text="Needed for Start Server alone: python -m pip install dptstream", icon="INFO")


def draw_python(layout: Any) -> None:
    """Draw the field for the Python elsewhere than in the preferences."""
    addon = bpy.context.preferences.addons.get(__package__)
    if addon is not None and addon.preferences is not None:
        layout.prop(addon.preferences, "python", text="Python", placeholder="has dptstream")


def python() -> str:
    """Return the Python that the user named; empty where none was."""
    addon = bpy.context.preferences.addons.get(__package__)
    # A copy that was registered by hand has no preferences.
    return "" if addon is None or addon.preferences is None else bpy.path.abspath(addon.preferences.python)


_CLASSES = (DPTSTREAM_AP_preferences,)


def register() -> None:
    """Register the preferences."""
    register_classes(_CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(_CLASSES)
