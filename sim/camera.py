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


class Camera:
    """Renders named cameras of a model at one resolution; use it in one thread, and close it."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        """Makes a GL context.

        Raises:
            RuntimeError: if MuJoCo was imported without a headless GL backend where there is no display.
        """
        if GLContext.__module__ == "mujoco.glfw" and "DISPLAY" not in os.environ and sys.platform == "linux":
            # MuJoCo would abort the process
            raise RuntimeError("no display: set MUJOCO_GL=egl in the environment, or import sim before mujoco")
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


def gl_renderer() -> str:
    """Name of the GL renderer in use, for example ``llvmpipe``: a software renderer is slow."""
    from OpenGL import GL

    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    renderer = mujoco.Renderer(model, 8, 8)
    name = GL.glGetString(GL.GL_RENDERER)
    renderer.close()
    return name.decode() if isinstance(name, bytes) else str(name)
