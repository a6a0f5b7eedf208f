"""How an episode begins: the hand half open, the block in a random orientation settled on the palm."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robot import hand, rotation
from sim.physics import CpuPhysics
from sim.scene import PALM_CENTER

HOME = {"J3": 0.35, "J2": 0.35, "J1": 0.15, "LFJ5": 0.1, "THJ5": 0.0, "THJ4": 0.9, "THJ2": 0.2, "THJ1": 0.3}
"""Joint angles [rad] of the half-open hand, by the end of the joint's name; joints not named stand at zero."""


@dataclass(frozen=True)
class ResetConfig:
    """The distribution of first states."""

    joint_noise: float = 0.1
    """Standard deviation [rad] of the hand's first joint angles and targets about the half-open hand."""

    drop_from: float = 0.012
    """Clearance [m] between the palm and the lowest possible corner of the block when it is let go."""

    position_noise: float = 0.005
    """Standard deviation [m] of the block's position over the palm (robogym: 5 mm)."""

    settle_time: float = 0.4
    """Seconds for which the block is left to settle."""

    max_retries: int = 20
    """How often a world is tried again whose block fell while settling."""


def home_joint_pos() -> Tensor:
    """Joint angles [rad] of the half-open hand, (24,)."""
    values = torch.zeros(hand.NUM_JOINTS)
    for i, name in enumerate(hand.JOINT_NAMES):
        thumb = name.startswith("rh_TH")
        for ending, angle in HOME.items():
            if name.endswith(ending) and (len(ending) > 2 or not (thumb or name.startswith("rh_WR"))):
                values[i] = angle
    return values


class Resetter:
    """Brings chosen worlds into a first state, without touching the others."""

    def __init__(self, config: ResetConfig, physics: CpuPhysics, drop_depth: float, generator: torch.Generator) -> None:
        self.config = config
        self.physics = physics
        self.drop_depth = drop_depth
        self.generator = generator
        self.lower = torch.tensor([joint.lower for joint in hand.JOINTS])
        self.upper = torch.tensor([joint.upper for joint in hand.JOINTS])

    def reset(self, ids: np.ndarray) -> None:
        """Resets worlds ``ids``, (m,).

        Raises:
            RuntimeError: if the block of a world cannot be brought to rest on the palm.
        """
        pending = ids
        for _ in range(1 + self.config.max_retries):
            self._place(pending)
            fallen = dropped(self.physics.measure(pending)["object_pos"], self.drop_depth)
            pending = pending[fallen.numpy()]
            if not len(pending):
                return
        raise RuntimeError(f"the block fell off the palm {1 + self.config.max_retries} times in worlds {pending[:5]}")

    def _place(self, ids: np.ndarray) -> None:
        m, config = len(ids), self.config
        joints = home_joint_pos() + config.joint_noise * torch.randn(m, hand.NUM_JOINTS, generator=self.generator)
        joints = torch.minimum(torch.maximum(joints, self.lower), self.upper)
        pos = torch.tensor(PALM_CENTER) + config.position_noise * torch.randn(m, 3, generator=self.generator)
        pos[:, 1] -= config.drop_from
        self.physics.reset(ids)
        self.physics.set_joints(ids, joints)
        self.physics.set_block(ids, pos, rotation.random_uniform(m, self.generator))
        self.physics.set_target(hand.actuator_pos(joints), ids)
        self.physics.forward(ids)
        self.physics.step(round(config.settle_time / self.physics.model.opt.timestep), ids)


def dropped(object_pos: Tensor, depth: float) -> Tensor:
    """Whether the block, at (n, 3) in the base frame, is more than ``depth`` [m] below the base's origin, (n,)."""
    return object_pos[:, 1] > depth
