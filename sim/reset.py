"""How an episode begins: the hand half open, the block in a random orientation settled on the palm."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robot import hand, rotation
from sim.physics import CpuPhysics
from sim.scene import BLOCK_HALF_DIAGONAL, PALM_CENTER

HOME = {f"rh_{finger}J{n}": angle for finger in hand.COUPLED_FINGERS for n, angle in ((3, 0.35), (2, 0.35), (1, 0.15))}
HOME |= {"rh_LFJ5": 0.1, "rh_THJ4": 0.3, "rh_THJ1": 0.2}
"""Joint angles [rad] of the half-open hand; joints not named stand at zero."""


@dataclass(frozen=True)
class ResetConfig:
    """The distribution of first states."""

    joint_noise: float = 0.03
    """Standard deviation of the hand's first joint angles and targets about the half-open hand, as a share of each
    joint's range; fingers that are spread more touch each other."""

    drop_from: float = 0.005
    """Clearance [m] between the palm and the lowest corner that the block can have when it is let go."""

    position_noise: float = 0.005
    """Standard deviation [m] of the block's position over the palm (robogym: 5 mm)."""

    settle_time: float = 0.4
    """Seconds for which the block is left to settle."""

    settled_speed: float = 0.2
    """Largest speed [m/s] of a block that counts as settled."""

    max_retries: int = 30
    """How often a world is tried again whose block did not settle on the palm."""


def home_joint_pos() -> Tensor:
    """Joint angles [rad] of the half-open hand, (24,)."""
    return torch.tensor([HOME.get(name, 0.0) for name in hand.JOINT_NAMES])


@dataclass(frozen=True)
class FirstState:
    """Where hand and block are when the block is let go, base frame."""

    joint_pos: Tensor
    """(m, 24) [rad]."""
    object_pos: Tensor
    """(m, 3) [m]."""
    object_quat: Tensor
    """(m, 4)."""


def draw_first_state(config: ResetConfig, m: int, generator: torch.Generator) -> FirstState:
    """The half-open hand, and the block above its palm in any orientation, touching nothing."""
    spread = torch.tensor([joint.upper - joint.lower for joint in hand.JOINTS])
    joints = home_joint_pos() + config.joint_noise * spread * torch.randn(m, hand.NUM_JOINTS, generator=generator)
    pos = torch.tensor(PALM_CENTER) + config.position_noise * torch.randn(m, 3, generator=generator)
    pos[:, 1] -= BLOCK_HALF_DIAGONAL + config.drop_from  # up is -y
    return FirstState(joints, pos, rotation.random_uniform(m, generator))


class Resetter:
    """Brings chosen worlds into a first state, without touching the others."""

    def __init__(self, config: ResetConfig, physics: CpuPhysics, generator: torch.Generator) -> None:
        self.config = config
        self.physics = physics
        self.generator = generator

    def reset(self, ids: np.ndarray) -> None:
        """Resets worlds ``ids``, (m,).

        Raises:
            RuntimeError: if the block of a world cannot be brought to rest on the palm.
        """
        pending = ids
        for _ in range(1 + self.config.max_retries):
            self._place(pending)
            pending = pending[~self._settled(pending).numpy()]
            if not len(pending):
                return
        raise RuntimeError(f"the block did not settle in {1 + self.config.max_retries} tries, worlds {pending[:5]}")

    def _settled(self, ids: np.ndarray) -> Tensor:
        """Whether the blocks lie still above the palm's surface, (m,) bool."""
        measured = self.physics.measure(ids)
        above = measured["object_pos"][:, 1] < PALM_CENTER[1]  # up is -y
        still = measured["object_linvel"].norm(dim=1) < self.config.settled_speed
        return above & still & ~self.physics.diverged(ids)

    def _place(self, ids: np.ndarray) -> None:
        first = draw_first_state(self.config, len(ids), self.generator)
        joints = first.joint_pos.clamp(*self.physics.joint_range(ids).unbind(-1))
        self.physics.reset(ids)
        self.physics.set_joints(ids, joints)
        self.physics.set_block(ids, first.object_pos, first.object_quat)
        self.physics.set_target(hand.actuator_pos(joints), ids)
        self.physics.forward(ids)
        self.physics.step(round(self.config.settle_time / self.physics.model.opt.timestep), ids)
