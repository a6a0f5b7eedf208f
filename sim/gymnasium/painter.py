"""Frames of the task, for ``render``."""

import numpy as np

from robot.plant import PlantConfig
from sim.camera import Camera
from sim.puppet import Moment, Puppet
from sim.scene import build_model

RENDER_MODES = ("rgb_array",)
WIDTH, HEIGHT = 640, 480
"""Of a frame [pixels]."""


class Painter:
    """Draws hand, block and goal."""

    def __init__(self, plant: PlantConfig, render_mode: str) -> None:
        """Makes a camera.

        Raises:
            ValueError: if there is no such render mode.
            RenderingUnavailable: if this machine cannot make frames.
        """
        if render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode is {render_mode!r}; allowed: {', '.join(RENDER_MODES)} or None")
        self.puppet = Puppet(build_model(plant=plant))
        self.camera = Camera(self.puppet.model, WIDTH, HEIGHT)

    def paint(self, moment: Moment) -> np.ndarray:
        """A frame, (480, 640, 3) uint8 RGB."""
        return self.camera.render(self.puppet.pose(moment), "video", show_goal=True)

    def close(self) -> None:
        """Frees the camera."""
        self.camera.close()
