"""Offscreen cameras: pictures of the scene as an RGB camera would see it, without a display."""

import os
import sys

import mujoco
import numpy as np
from mujoco.gl_context import GLContext

GOAL_GROUP = 1
"""Geom group of the goal shown beside the hand; the robot's own cameras must not see it."""

MARKER_GROUP = 2
"""Site group of the motion-capture markers."""


class RenderingUnavailable(RuntimeError):
    """This machine cannot make pictures; the message says what it lacks."""


class Camera:
    """Renders named cameras of a model at one resolution; use it in one thread, and close it."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        """Makes a GL context.

        Raises:
            RenderingUnavailable: if this machine cannot render without a display, with what to do about it.
        """
        _require_gl()
        self.renderer = mujoco.Renderer(model, height, width)
        self.options = mujoco.MjvOption()
        self.options.sitegroup[:] = 0
        self.options.sitegroup[MARKER_GROUP] = 1

    def render(self, data: mujoco.MjData, camera: str, show_goal: bool = False) -> np.ndarray:
        """The picture of ``camera``, (height, width, 3) uint8 RGB, of a state after ``mj_forward``.

        ``show_goal`` adds the goal block, for people.
        """
        self.options.geomgroup[GOAL_GROUP] = show_goal
        self.renderer.update_scene(data, camera, self.options)
        return self.renderer.render()

    def close(self) -> None:
        """Frees the GL context."""
        self.renderer.close()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _require_gl() -> None:
    """Says clearly where MuJoCo would abort the process."""
    if GLContext.__module__ == "mujoco.glfw" and "DISPLAY" not in os.environ and sys.platform == "linux":
        raise RenderingUnavailable(
            "rendering without a display needs EGL (on Debian: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri) "
            "and MUJOCO_GL=egl, which importing sim before mujoco sets"
        )
