"""Room for contacts and constraints on a GPU, where every world has to have as much, from the start."""

import math
from dataclasses import dataclass

import mujoco
import torch

from robot import hand
from sim.cpu_physics import CpuPhysics
from sim.reset import ResetConfig, draw_first_state

WORLDS, SECONDS = 64, 6.0
"""How long hands move at random to find out what is needed."""

RESERVE = 2.0
"""Room, over the most that was needed in the calibration; pairs that are near each other but do not touch need some."""

CONSTRAINTS = (1 << 0) | (1 << 1) | (1 << 6)
"""Bits of ``mujoco_warp.OverflowType``: NEFC, NJMAX_NNZ and CONTACT_MATCH."""

CONTACTS = (1 << 2) | (1 << 3) | (1 << 4)
"""BROADPHASE, NARROWPHASE and CCD."""


class CapacityExceeded(RuntimeError):
    """Contacts or constraints of a world found no room and were left out: what was simulated since is not physics."""


@dataclass(frozen=True)
class Capacity:
    """Of each world."""

    contacts: int
    constraints: int
    """Rows."""

    def require(self, flags: int) -> None:
        """Raises CapacityExceeded if overflow bits are set, naming the setting to raise and its present value."""
        wanted = []
        if flags & CONTACTS:
            wanted.append(f"sim.contacts above {self.contacts}")
        if flags & CONSTRAINTS:
            wanted.append(f"sim.constraints above {self.constraints}")
        if wanted:
            raise CapacityExceeded(
                f"the worlds ran out of room, and contacts were left out; give them more: {' and '.join(wanted)}"
            )


def least_constraints(model: mujoco.MjModel) -> int:
    """Rows that are needed without any contact: friction in joints and tendons, all limits, equalities.

    MuJoCo Warp was seen to write past its arrays where there was room for fewer.
    """
    friction = int((model.dof_frictionloss > 0).sum() + (model.tendon_frictionloss > 0).sum())
    return friction + int(model.jnt_limited.sum() + model.tendon_limited.sum()) + 6 * model.neq


def calibrate(model: mujoco.MjModel) -> Capacity:
    """What hands that clutch at a block at random need at most, measured in C MuJoCo, and as much again."""
    physics = CpuPhysics(model, WORLDS)
    generator = torch.Generator().manual_seed(0)
    everyone = torch.arange(WORLDS)
    lower, upper = hand.actuator_range()
    substeps = max(1, round(0.24 / model.opt.timestep))  # for which a target holds
    contacts, constraints = physics.batch.bind("ncon"), physics.batch.bind("nefc")
    most = [0, 0]
    for _ in range(2):
        first = draw_first_state(ResetConfig(), physics.block_half_diagonal(everyone), generator)
        physics.reset(everyone)
        physics.set_joints(everyone, first.joint_pos)
        physics.set_block(everyone, first.object_pos, first.object_quat)
        physics.forward(everyone)
        for _ in range(round(0.5 * SECONDS / (substeps * model.opt.timestep))):
            physics.set_target(lower + (upper - lower) * torch.rand(WORLDS, len(lower), generator=generator))
            for _ in range(substeps):
                physics.step(1)
                most = [max(most[0], int(contacts.max())), max(most[1], int(constraints.max()))]
    return Capacity(*(8 * math.ceil(RESERVE * each / 8) for each in most))
