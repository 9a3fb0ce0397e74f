"""An Open3D window that holds one cloud, an eye and some words. Knows neither feeds nor keys.

Open3D's legacy visualiser is used, not its newer one: it needs OpenGL alone (without a display it renders through EGL
by itself), and takes half a million new points in a few milliseconds.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError
from .cloud import square_corners
from .graphics import PACKAGES, load_open3d, wayland_unasked
from .hud import NEAREST, Lettering, lettering
from .poses import Frame, Lens, Pose
from .settings import ViewSettings
from .updating import Drawing

_BACKGROUND = (0.09, 0.09, 0.11)
_FARTHEST_SHARE = 50.0
"""Things are drawn up to so many times the distance of the scene's far end."""
_PRESS = 1


class Canvas:
    """A window, or with ``visible`` False a picture that nobody sees. Opened by ``with``, in the main thread.

    Args:
        title: What stands on its frame.
        size_wh: Width and height, pixels.
        visible: Whether it is seen.
    """

    def __init__(self, title: str, size_wh: tuple[int, int], *, visible: bool) -> None:
        self._title, self._size_wh, self._visible = title, size_wh, visible
        self._o3d: Any = load_open3d()
        self._window: Any = self._o3d.visualization.VisualizerWithKeyCallback()
        self._open = False
        self._shape: Any = None
        self._frame: Frame | None = None
        self._words: Any = None
        self._letters: Lettering | None = None
        self._said: tuple[object, ...] = ()
        self._eye: tuple[bytes, bytes] | None = None
        self._stale = True  # nothing is drawn for nothing: without a GPU a picture takes half a second

    def __enter__(self) -> Self:
        """Open the window."""
        width, height = self._size_wh
        with wayland_unasked():
            made = self._window.create_window(
                window_name=self._title, width=width, height=height, visible=self._visible
            )
        if not made:
            raise MissingExtraError(
                f"Open3D could not open a window; on Debian and Ubuntu it needs: apt-get install {PACKAGES}"
            )
        self._open = True
        option = self._window.get_render_option()
        option.background_color = np.array(_BACKGROUND)
        option.light_on = False  # colours are those of the picture, already lit
        option.mesh_show_back_face = True
        return self

    def __exit__(self, *_: object) -> None:
        """Close the window."""
        if self._open:
            self._window.destroy_window()
            self._open = False

    def on_key(self, code: int, act: Callable[[bool], None]) -> None:
        """Call ``act`` when a key is pressed, with whether Shift is held; ``code`` is GLFW's."""

        def pressed(_window: Any, action: int, modifiers: int) -> bool:
            if action >= _PRESS:  # pressed, or held down
                act(bool(modifiers & 1))
            return False

        self._window.register_key_action_callback(code, pressed)

    def put(self, drawing: Drawing, settings: ViewSettings) -> None:
        """Show a frame instead of the last one; the eye stays where it is."""
        surface = drawing.settings.mode == "surface"
        kind = self._o3d.geometry.TriangleMesh if surface else self._o3d.geometry.PointCloud
        fresh = not isinstance(self._shape, kind)
        if fresh:
            if self._shape is not None:
                self._window.remove_geometry(self._shape, reset_bounding_box=False)
            self._shape = kind()
        if surface:
            self._fill_surface(drawing)
        else:
            self._fill_points(drawing)
        if fresh:
            self._window.add_geometry(self._shape, reset_bounding_box=self._frame is None)
        else:
            self._window.update_geometry(self._shape)
        self._window.get_render_option().point_size = float(settings.point_size)
        self._stale = True

    def _fill_points(self, drawing: Drawing) -> None:
        """Write what is drawn into Open3D's own memory: to hand over arrays would copy each of them twice.

        Points that are left out stand where the first one stands: that costs less than to close the gaps.
        """
        cloud, left_out = drawing.cloud, drawing.left_out
        first = int(cloud.keep.argmax())
        points, colors = (self._room(name, cloud.keep.size) for name in ("points", "colors"))
        np.copyto(points, cloud.grid.reshape(-1, 3))
        np.multiply(cloud.colors.reshape(-1, 3), 1 / 255, out=colors)
        points[left_out], colors[left_out] = points[first] if drawing.count else 0.0, colors[first]

    def _fill_surface(self, drawing: Drawing) -> None:
        """As for points; triangles that are left out lose their area."""
        cloud = drawing.cloud
        np.copyto(self._room("vertices", cloud.keep.size), cloud.grid.reshape(-1, 3))
        np.multiply(cloud.colors.reshape(-1, 3), 1 / 255, out=self._room("vertex_colors", cloud.keep.size))
        triangles = self._room("triangles", cloud.solid.size * 2).reshape(-1, 6)
        np.copyto(triangles, square_corners(*cloud.keep.shape))
        triangles[drawing.left_out] = 0

    def _room(self, name: str, rows: int) -> NDArray[Any]:
        """Return one of the shape's own arrays, (rows, 3), to be written to."""
        if len(getattr(self._shape, name)) != rows:
            utility = self._o3d.utility
            empty = np.zeros((rows, 3), np.int32 if name == "triangles" else np.float64)
            vector = utility.Vector3iVector if name == "triangles" else utility.Vector3dVector
            setattr(self._shape, name, vector(empty))
        return np.asarray(getattr(self._shape, name))

    def look(self, pose: Pose, frame: Frame, lens: Lens) -> None:
        """Put the eye somewhere.

        Args:
            pose: Where.
            frame: What the scene spans: the mouse turns around its pivot.
            lens: How much it sees.
        """
        if self._frame is not frame:
            self._frame = frame
            self._bound(frame)
        control = self._window.get_view_control()
        width, height = self.size_wh
        focal = lens.focal_share * height
        parameters = self._o3d.camera.PinholeCameraParameters()
        parameters.intrinsic = self._o3d.camera.PinholeCameraIntrinsic(
            width, height, focal, focal, width / 2 - 0.5, height / 2 - 0.5
        )
        parameters.extrinsic = np.ascontiguousarray(pose)
        control.convert_from_pinhole_camera_parameters(parameters, allow_arbitrary=True)
        control.set_constant_z_near(NEAREST)
        control.set_constant_z_far(frame.farthest * _FARTHEST_SHARE)
        self._stale = True

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as they are now, pixels."""
        intrinsic = self._window.get_view_control().convert_to_pinhole_camera_parameters().intrinsic
        return int(intrinsic.width), int(intrinsic.height)

    def say(self, top: Sequence[str], bottom: Sequence[str]) -> None:
        """Write lines in the corners at the left; none at all removes them."""
        said = (tuple(top), tuple(bottom), self.size_wh)
        if said == self._said:
            return
        self._said, self._eye, self._stale = said, None, True
        self._letters = lettering(top, bottom, self.size_wh) if (*top, *bottom) else None
        if self._letters is None and self._words is not None:
            self._window.remove_geometry(self._words, reset_bounding_box=False)
            self._words = None

    def draw(self) -> bool:
        """Let the user act, and draw what has changed; return False when the window was closed."""
        self._place_words()
        if self._stale:
            self._window.update_renderer()
            self._stale = False
        return bool(self._window.poll_events())

    def picture(self) -> NDArray[np.uint8]:
        """Return what is seen, without words: (H, W, 3) RGB."""
        words, self._words = self._words, None
        if words is not None:
            self._window.remove_geometry(words, reset_bounding_box=False)
        self._window.poll_events()
        image = np.asarray(self._window.capture_screen_float_buffer(do_render=True))
        if words is not None:
            self._words = words
            self._window.add_geometry(words, reset_bounding_box=False)
        return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or no longer."""
        self._window.toggle_full_screen()

    def close(self) -> None:
        """Ask the window to close."""
        self._window.close()

    def _bound(self, frame: Frame) -> None:
        """Tell Open3D a box whose middle is the pivot: the mouse turns around it, and zooms by its size."""
        reach = max(frame.pivot * 0.6, 1e-3)
        corners = np.array([[-reach, -reach, frame.pivot - reach], [reach, reach, frame.pivot + reach]])
        box = self._o3d.geometry.PointCloud(self._o3d.utility.Vector3dVector(corners))
        for shape in (self._shape, self._words):
            if shape is not None:
                self._window.remove_geometry(shape, reset_bounding_box=False)
        self._window.add_geometry(box, reset_bounding_box=True)
        self._window.remove_geometry(box, reset_bounding_box=False)
        for shape in (self._shape, self._words):
            if shape is not None:
                self._window.add_geometry(shape, reset_bounding_box=False)

    def _place_words(self) -> None:
        """Keep the words in front of the eye, wherever that went."""
        if self._letters is None:
            return
        parameters = self._window.get_view_control().convert_to_pinhole_camera_parameters()
        matrix, pose = np.asarray(parameters.intrinsic.intrinsic_matrix), np.asarray(parameters.extrinsic)
        eye = (matrix.tobytes(), pose.tobytes())
        if eye == self._eye:
            return
        self._eye, self._stale = eye, True
        vertices, colors, triangles = self._letters.mesh(matrix, np.linalg.inv(pose))
        fresh = self._words is None
        if fresh:
            self._words = self._o3d.geometry.TriangleMesh()
        self._words.vertices = self._o3d.utility.Vector3dVector(vertices)
        self._words.vertex_colors = self._o3d.utility.Vector3dVector(colors)
        self._words.triangles = self._o3d.utility.Vector3iVector(triangles)
        if fresh:
            self._window.add_geometry(self._words, reset_bounding_box=False)
        else:
            self._window.update_geometry(self._words)
