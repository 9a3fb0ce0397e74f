"""Runs within Blender: what tests of any part of the extension need there."""

import importlib
import threading
from pathlib import Path
from typing import Any

import addon_utils
import bpy

MODULE = "bl_ext.user_default.dptstream"


def version() -> list[int]:
    """Return Blender's version."""
    return list(bpy.app.version)


def install(path: str) -> None:
    """Install and enable the extension from its zip, as Preferences > Get Extensions > Install from Disk does."""
    assert bpy.ops.extensions.package_install_files(filepath=path, repo="user_default", enable_on_install=True) == {
        "FINISHED"
    }
    assert addon_utils.check(MODULE) == (True, True)


def install_from_index(index: str) -> list[str]:
    """Add a repository and install the extension from it, as Preferences > Get Extensions does; return its wheels."""
    preferences = bpy.context.preferences
    preferences.system.use_online_access = True
    repository = preferences.extensions.repos.new(name="Depth", module="depth", remote_url=index)
    repository.use_remote_url = True
    number = list(preferences.extensions.repos).index(repository)
    assert bpy.ops.extensions.repo_sync(repo_index=number) == {"FINISHED"}
    assert bpy.ops.extensions.package_install(repo_index=number, pkg_id="dptstream") == {"FINISHED"}
    assert addon_utils.check("bl_ext.depth.dptstream") == (True, True)
    zmq = importlib.import_module("zmq")
    assert ".local" in str(zmq.__file__)
    return [path.name for path in Path(repository.directory, "dptstream/wheels").iterdir()]


def disable_and_enable(times: int) -> None:
    """Take the extension's tick away and set it again in Preferences, so often."""
    for _ in range(times):
        assert bpy.ops.preferences.addon_disable(module=MODULE) == {"FINISHED"}
        assert not hasattr(bpy.types.Scene, "dptstream")
        assert threads() == []
        assert bpy.ops.preferences.addon_enable(module=MODULE) == {"FINISHED"}
        assert bpy.context.scene.dptstream.endpoint


def new_file() -> None:
    """Open an empty file, whose state can be undone to as in Blender with windows."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.ed.undo_push(message="Original")


def part(name: str) -> Any:
    """Return a module of the installed extension."""
    return importlib.import_module(f"{MODULE}.{name}")


def threads() -> list[str]:
    """Return the names of the extension's threads that run."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("dptstream"))
