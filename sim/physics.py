"""Batched physics: many worlds of one model, whatever steps them, and all that the task asks of it."""

from abc import ABC, abstractmethod
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from robot import hand, rotation
from robot.frames import Pose
from sim.elements import nominal
from sim.equipment import occlusion_sensor
from sim.puppet import base_pose

Worlds = Tensor | slice
"""Some of the worlds: their numbers, (m,) int64 on the physics' device, or a slice."""

EVERY = slice(None)


def grid(*axes: Tensor) -> tuple[Tensor, ...]:
    """Indices of every combination of entries along the axes, as ``numpy.ix_``."""
    return tuple(axis.view(-1, *(1,) * (len(axes) - 1 - i)) for i, axis in enumerate(axes))


class Physics(ABC):
    """``n`` worlds; positions, velocities and sites are always those of the present state.

    A back end makes the state and the model fields of all worlds live torch tensors and steps them; what they mean is
    said here, once for all back ends.
    """

    device: torch.device
    can_step_some: bool
    """Whether some worlds can be stepped while the others wait."""

    qpos: Tensor
    """MuJoCo's generalized positions, live as are all that follow, (n, nq)."""
    qvel: Tensor
    """Generalized velocities, (n, nv)."""
    ctrl: Tensor
    """Targets of the actuators [rad], (n, nu)."""
    site_xpos: Tensor
    """Positions of the sites [m] in the world frame, (n, nsite, 3)."""
    xquat: Tensor
    """Orientations of the bodies in the world frame, (n, nbody, 4)."""
    forces: Tensor
    """External forces [N] and torques [Nm] on bodies in the world frame, (n, nbody, 6)."""
    sensors: Tensor
    """Values of the model's sensors, (n, nsensordata)."""
    history: Tensor
    """What delayed actuators remember, (n, nhistory)."""

    def __init__(self, model: mujoco.MjModel, n: int) -> None:
        """Finds the hand and the block in the model; the back end must have made the live tensors."""
        self.model = model
        self.n = n
        self._compiled: dict[str, Tensor] = {}
        joints = [model.joint(name) for name in hand.JOINT_NAMES]
        self.joints = self._index([joint.id for joint in joints])
        """Numbers of the hand's joints in the model, (24,)."""
        self.dofs = self._index([joint.dofadr[0] for joint in joints])
        """Numbers of their degrees of freedom, (24,)."""
        self.actuators = self._index([model.actuator(name).id for name in hand.ACTUATOR_NAMES])
        """Numbers of the actuators, (20,)."""
        self._joint_qpos = self._index([joint.qposadr[0] for joint in joints])
        fingertips = [model.site(name).id for name in hand.FINGERTIP_MARKERS]
        self._fingertips = self._index(fingertips)
        self._distals = self._index(model.site_bodyid[fingertips])
        block = model.joint("block")
        self._block_qpos, self._block_dof = int(block.qposadr[0]), int(block.dofadr[0])
        self.block_body = int(block.bodyid[0])
        """Number of the block's body; and below, of its geom."""
        self.block_geom = int(model.body_geomadr[self.block_body])
        self._occlusion = self._index(
            int(model.sensor(occlusion_sensor(marker)).adr[0])
            for marker in hand.FINGERTIP_MARKERS
            if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SENSOR, occlusion_sensor(marker)) >= 0
        )
        delayed = np.flatnonzero(model.actuator_historyadr >= 0)
        samples = {int(count) for count in model.actuator_history[delayed, 0]}
        if len(samples) > 1:
            raise ValueError(
                f"actuators remember {sorted(samples)} targets; all that have a delay must remember as many"
            )
        self._delayed = self._index(delayed)
        # a buffer holds two numbers of its own, the times of the samples, and the samples
        count = max(samples, default=0)
        first = self._index(model.actuator_historyadr[delayed]) + 2 + count
        self._remembered = first.unsqueeze(1) + torch.arange(count, device=self.device)
        T_world_base = base_pose(model)
        self.T_world_base = Pose(*(part.to(self.qpos) for part in (T_world_base.pos, T_world_base.quat)))
        self.T_base_world = self.T_world_base.inverse()
        self.reset(torch.arange(n, device=self.device))

    def _index(self, numbers: Any) -> Tensor:
        return torch.tensor([int(number) for number in numbers], dtype=torch.int64, device=self.device)

    @abstractmethod
    def reset(self, ids: Tensor) -> None:
        """Puts worlds ``ids`` into the model's default state; ``forward`` must follow."""

    @abstractmethod
    def forward(self, ids: Tensor) -> None:
        """Makes the sites and bodies of worlds ``ids`` those of their state."""

    @abstractmethod
    def step(self, nstep: int, ids: Tensor | None = None) -> None:
        """Advances worlds ``ids``, or all, by ``nstep`` sub-steps.

        Raises:
            ValueError: if there are ``ids`` and the back end has not ``can_step_some``.
        """

    @abstractmethod
    def expand(self, field: str) -> Tensor:
        """Per-world values of a model field, (n, …), live: what is written holds from the next call on.

        Raises:
            ValueError: if the field cannot differ from world to world.
        """

    @abstractmethod
    def expanded(self, field: str) -> Tensor | None:
        """The same of a field that has been expanded; None of one that is the model's in all worlds."""

    @abstractmethod
    def set_const(self, ids: Tensor) -> None:
        """Recomputes MuJoCo's derived constants in worlds ``ids``, after masses, sizes or poses are written."""

    @abstractmethod
    def diverged(self, ids: Worlds = EVERY) -> Tensor:
        """Whether the simulation has broken down in worlds ``ids`` since their last reset, (m,) bool."""

    @abstractmethod
    def check(self) -> None:
        """Once per update of training: raises an error if anything was lost in the worlds' computation since."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, per-world model fields included."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""

    def set_target(self, target: Tensor, ids: Worlds = EVERY) -> None:
        """Sets the actuators' position targets [rad], (m, 20), of worlds ``ids``."""
        worlds = ids.unsqueeze(1) if isinstance(ids, Tensor) else ids
        self.ctrl[worlds, self.actuators] = target.to(self.ctrl)

    def remember_target(self, ids: Tensor) -> None:
        """Makes actuators with delays act as if their present targets had been sent long ago, in worlds ``ids``."""
        if len(self._delayed):
            targets = self.ctrl[ids.unsqueeze(1), self._delayed]
            self.history[ids.view(-1, 1, 1), self._remembered] = targets.unsqueeze(2)

    def set_joints(self, ids: Tensor, joint_pos: Tensor) -> None:
        """Places the hand's joints [rad], (m, 24), at rest; ``forward`` must follow."""
        self.qpos[ids.unsqueeze(1), self._joint_qpos] = joint_pos.to(self.qpos)
        self.qvel[ids.unsqueeze(1), self.dofs] = self.qvel.new_zeros(())

    def set_block(self, ids: Tensor, pos: Tensor, quat: Tensor) -> None:
        """Places the block at a pose in the base frame, (m, 3) and (m, 4), at rest; ``forward`` must follow."""
        T_world_block = self.T_world_base @ Pose(pos.to(self.qpos), quat.to(self.qpos))
        start = self._block_qpos
        self.qpos[ids, start : start + 7] = torch.cat((T_world_block.pos, T_world_block.quat), dim=1)
        self.qvel[:, self._block_dof : self._block_dof + 6].index_fill_(0, ids, 0.0)

    def joint_pos(self, ids: Worlds = EVERY) -> Tensor:
        """The joints' positions [rad] in worlds ``ids``, (m, 24), in the precision of the state."""
        return self.qpos[ids][:, self._joint_qpos]

    def joint_vel(self, ids: Worlds = EVERY) -> Tensor:
        """The joints' velocities [rad/s] in worlds ``ids``, (m, 24)."""
        return self.qvel[ids][:, self.dofs]

    def joint_target(self, ids: Worlds = EVERY) -> Tensor:
        """The actuators' position targets [rad] in worlds ``ids``, (m, 20)."""
        return self.ctrl[ids][:, self.actuators]

    def actuator_delay(self) -> Tensor:
        """How late the motors obey [s], (n, 20)."""
        step = self.model.opt.timestep  # MuJoCo rounds every delay up to whole sub-steps
        return (self.parameter("actuator_delay")[:, self.actuators] / step).ceil() * step

    def block(self, ids: Worlds = EVERY) -> Pose:
        """``T_base_block`` in worlds ``ids``, (m, …), in the precision of the state."""
        start = self._block_qpos
        pos, quat = self.qpos[ids, start : start + 7].split((3, 4), dim=1)
        return self.T_base_world @ Pose(pos, quat)

    def measure(self, ids: Worlds = EVERY) -> dict[str, Tensor]:
        """The exact values, float32, of every observation field that physics knows, of worlds ``ids``.

        See ``robot.observation`` for the fields.
        """
        tips, distals = self.site_xpos[ids][:, self._fingertips], self.xquat[ids][:, self._distals]
        start, dof = self._block_qpos, self._block_dof
        pos, quat = self.qpos[ids, start : start + 7].unsqueeze(1).split((3, 4), dim=2)
        linvel, angvel = self.qvel[ids, dof : dof + 6].unsqueeze(1).split(3, dim=2)
        # fingertips and block are turned together, for the fewest operations
        quats = rotation.multiply(self.T_base_world.quat, torch.cat((distals, quat), dim=1))
        vectors = rotation.rotate(self.T_base_world.quat, torch.cat((tips, pos, linvel), dim=1))
        places = self.T_base_world.pos + vectors[:, :-1]
        values = {
            "joint_pos": self.joint_pos(ids),
            "joint_vel": self.joint_vel(ids),
            "joint_target": self.joint_target(ids),
            "fingertip_pos": places[:, :-1],
            "fingertip_quat": quats[:, :-1],
            "object_pos": places[:, -1],
            "object_quat": quats[:, -1],
            "object_linvel": vectors[:, -1],
            # a free joint's angular velocity is given in the body's own frame
            "object_angvel": rotation.rotate(quats[:, -1], angvel.squeeze(1)),
        }
        return {name: value.float() for name, value in values.items()}

    def touched(self) -> Tensor | None:
        """Whether something touches the boxes around fingertip markers, (n, 5) bool; None in a model without boxes."""
        return self.sensors[:, self._occlusion] > 0.0 if len(self._occlusion) else None

    def push(self, acceleration: Tensor) -> None:
        """Accelerates the blocks from now on by forces on their centres, (n, 3) [m/s²] in the world frame."""
        self.forces[:, self.block_body, :3] = self.parameter("body_mass")[:, self.block_body, None] * acceleration

    def set_timestep(self, seconds: Tensor | float, ids: Worlds = EVERY) -> None:
        """Sets the length of a sub-step [s] in worlds ``ids``, (m,)."""
        times = self.expand("opt.timestep")
        times[ids] = seconds.to(times) if isinstance(seconds, Tensor) else times.new_full((), seconds)

    def block_half_diagonal(self, ids: Tensor) -> Tensor:
        """From the block's centre to its corner [m] in worlds ``ids``, (m,)."""
        return self.parameter("geom_size")[ids, self.block_geom].norm(dim=1).float()

    def joint_range(self, ids: Tensor) -> Tensor:
        """Lower and upper limits [rad] of the joints in worlds ``ids``, (m, 24, 2)."""
        return self.parameter("jnt_range")[ids][:, self.joints].float()

    def parameter(self, field: str) -> Tensor:
        """A model field in all worlds, (n, …), whether it differs between them or not; to be read only."""
        values = self.expanded(field)
        if values is not None:
            return values
        if field not in self._compiled:  # kept, for on a GPU each would be one more copy from the host
            self._compiled[field] = torch.from_numpy(nominal(field, self.model)).to(self.qpos)
        return self._compiled[field].expand(self.n, *self._compiled[field].shape)
