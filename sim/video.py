"""Videos: an episode as it was, drawn from its trajectory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imageio.v2 as imageio
import numpy as np
from torch import Tensor

from robot.plant import SHADOW, PlantConfig
from sim.camera import Camera
from sim.env import ReorientEnv
from sim.puppet import Moment, Puppet
from sim.scene import build_model
from sim.vector_env import Step

CODEC = "libx264"


@dataclass(frozen=True)
class Clip:
    """What is needed to draw an episode: what was seen, and a line of text, for each frame."""

    moments: list[Moment]
    captions: list[str]
    frame_rate: float
    """Frames per second."""
    plant: PlantConfig = SHADOW
    """Whose hand it was."""


class RecordedEnv(ReorientEnv):
    """The task, keeping the first episode of one world so that it can be drawn."""

    def __init__(self, *arguments: Any, world: int, **keywords: Any) -> None:
        """Takes what ``ReorientEnv`` takes, and the world to keep."""
        super().__init__(*arguments, **keywords)
        self.world = world
        self.clip = Clip([], [], 1.0 / self.task.action.period, self.plant)
        """The episode so far, to its end if it has ended."""
        self._over = False

    def step(self, action: Tensor) -> Step:
        """See ``ReorientEnv.step``."""
        if not self._over:
            seconds = len(self.clip.moments) * self.task.action.period
            reached = int(self.goals.successes[self.world])
            self.clip.moments.append(Moment.of(self.measurement, self.goals.quat, self.world))
            self.clip.captions.append(caption(seconds, reached))
        step = super().step(action)
        self._over |= bool(step.done[self.world])
        return step


def caption(seconds: float, reached: int) -> str:
    """The line of text over a frame."""
    return f"{seconds:5.1f} s   goals reached: {reached}"


def write_video(path: Path, clip: Clip, width: int = 640, height: int = 480) -> None:
    """Draws a clip into an H.264 video at ``path``, whose folder is made if need be.

    Raises:
        RenderingUnavailable: see ``Camera``.
    """
    puppet = Puppet(build_model(plant=clip.plant))
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        Camera(puppet.model, width, height) as camera,
        imageio.get_writer(path, fps=clip.frame_rate, codec=CODEC, macro_block_size=8) as writer,
    ):
        for moment, text in zip(clip.moments, clip.captions, strict=True):
            picture = _captioned(camera.render(puppet.pose(moment), "video", show_goal=True), text)
            writer.append_data(picture)  # pyright: ignore[reportAttributeAccessIssue]  plugins are typed as their base


def _captioned(picture: np.ndarray, text: str) -> np.ndarray:
    return cv2.putText(picture.copy(), text, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 1, cv2.LINE_AA)
