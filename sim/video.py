"""Videos: an episode as it was, drawn from its trajectory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imageio.v2 as imageio
import mujoco
import numpy as np
import torch
from torch import Tensor

from robot import hand, rotation
from robot.frames import Pose
from sim.camera import Camera
from sim.env import ReorientEnv
from sim.scene import build_model
from sim.vector_env import Step

CODEC = "libx264"


@dataclass(frozen=True)
class Trajectory:
    """What is needed to draw an episode; arrays have one row per frame."""

    joint_pos: Tensor
    """(t, 24) [rad]."""
    object_pos: Tensor
    """(t, 3) [m], base frame."""
    object_quat: Tensor
    """(t, 4), base frame."""
    goal_quat: Tensor
    """(t, 4), base frame."""
    caption: list[str]
    """A line of text for each frame."""
    frame_rate: float
    """Frames per second."""


class RecordedEnv(ReorientEnv):
    """The task, keeping the first episode of one world so that it can be drawn."""

    def __init__(self, *arguments: Any, world: int, **keywords: Any) -> None:
        """Takes what ``ReorientEnv`` takes, and the world to keep."""
        super().__init__(*arguments, **keywords)
        self.world = world
        self._frames: list[tuple[Tensor, ...]] = []
        self._captions: list[str] = []
        self._over = False

    def step(self, action: Tensor) -> Step:
        """See ``ReorientEnv.step``."""
        if not self._over:
            names = ("joint_pos", "object_pos", "object_quat")
            self._frames.append(
                (*(self.measurement[name][self.world] for name in names), self.goals.quat[self.world].clone())
            )
            seconds = (len(self._frames) - 1) * self.task.action.period
            self._captions.append(f"{seconds:5.1f} s   goals reached: {int(self.goals.successes[self.world])}")
        step = super().step(action)
        self._over |= bool(step.done[self.world])
        return step

    def trajectory(self) -> Trajectory:
        """The episode so far, to its end if it has ended."""
        columns = (torch.stack(column) for column in zip(*self._frames, strict=True))
        return Trajectory(*columns, caption=self._captions, frame_rate=1.0 / self.task.action.period)


def write_video(path: Path, trajectory: Trajectory, width: int = 640, height: int = 480) -> None:
    """Draws the trajectory into an H.264 video at ``path``, whose folder is made if need be."""
    model = build_model()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    base = data.body("rh_forearm")
    T_world_base = Pose(torch.from_numpy(base.xpos.copy()), torch.from_numpy(base.xquat.copy()))
    T_world_block = T_world_base @ Pose(trajectory.object_pos.double(), trajectory.object_quat.double())
    goal_quat = rotation.multiply(T_world_base.quat, trajectory.goal_quat.double())
    joints = [int(model.joint(name).qposadr[0]) for name in hand.JOINT_NAMES]
    block = int(model.joint("block").qposadr[0])

    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        Camera(model, width, height) as camera,
        imageio.get_writer(path, fps=trajectory.frame_rate, codec=CODEC, macro_block_size=8) as writer,
    ):
        for t, caption in enumerate(trajectory.caption):
            data.qpos[joints] = trajectory.joint_pos[t].numpy()
            data.qpos[block : block + 3] = T_world_block.pos[t].numpy()
            data.qpos[block + 3 : block + 7] = T_world_block.quat[t].numpy()
            data.mocap_quat[0] = goal_quat[t].numpy()
            mujoco.mj_forward(model, data)
            picture = _captioned(camera.render(data, "video", show_goal=True), caption)
            writer.append_data(picture)  # pyright: ignore[reportAttributeAccessIssue]  plugins are typed as their base


def _captioned(picture: np.ndarray, text: str) -> np.ndarray:
    return cv2.putText(picture.copy(), text, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (20, 20, 20), 1, cv2.LINE_AA)
