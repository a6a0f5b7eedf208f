"""Posing hand, block and goal of a scene without physics, for pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import torch
from torch import Tensor

from robot import hand, rotation
from robot.frames import Pose


@dataclass(frozen=True)
class Moment:
    """What can be seen of the hand at one time, in the base frame."""

    joint_pos: Tensor
    """(24,) [rad]."""
    object_pos: Tensor
    """(3,) [m]."""
    object_quat: Tensor
    """(4,)."""
    goal_quat: Tensor
    """(4,)."""

    @classmethod
    def of(cls, measurement: Mapping[str, Tensor], goal_quat: Tensor, world: int) -> "Moment":
        """What can be seen of one of n worlds that measure so and have these goals, (n, 4); a copy, on the CPU."""
        seen = {
            name: measurement[name][world].to("cpu", copy=True) for name in ("joint_pos", "object_pos", "object_quat")
        }
        return cls(**seen, goal_quat=goal_quat[world].to("cpu", copy=True))


def base_pose(model: mujoco.MjModel) -> Pose:
    """``T_world_base`` of a scene, float64: the forearm does not move."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    base = data.body("rh_forearm")
    return Pose(torch.from_numpy(base.xpos.copy()), torch.from_numpy(base.xquat.copy()))


class Puppet:
    """A scene whose hand and block are put where the pictures need them."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self.T_world_base = base_pose(model)
        self._joints = [int(model.joint(name).qposadr[0]) for name in hand.JOINT_NAMES]
        self._block = int(model.joint("block").qposadr[0])

    def pose(self, moment: Moment) -> mujoco.MjData:
        """The state to render."""
        T_world_block = self.T_world_base @ Pose(moment.object_pos.double(), moment.object_quat.double())
        start = self._block
        self.data.qpos[self._joints] = moment.joint_pos.numpy()
        self.data.qpos[start : start + 3] = T_world_block.pos.numpy()
        self.data.qpos[start + 3 : start + 7] = T_world_block.quat.numpy()
        self.data.mocap_quat[0] = rotation.multiply(self.T_world_base.quat, moment.goal_quat.double()).numpy()
        mujoco.mj_forward(self.model, self.data)
        return self.data
