"""Batched physics on the CPU: many worlds of one model, stepped on threads by ``mujoco.batch``."""

from typing import Any

import mujoco
import numpy as np
import torch
from mujoco import batch
from torch import Tensor

from robot import hand, rotation
from robot.frames import Pose
from sim.elements import nominal
from sim.equipment import occlusion_sensor
from sim.puppet import base_pose

_VEL = mujoco.mjtStage.mjSTAGE_VEL


class CpuPhysics:
    """``n`` worlds; positions, velocities and sites are always those of the present state."""

    device = torch.device("cpu")

    def __init__(self, model: mujoco.MjModel, n: int, threads: int = 0) -> None:
        """``threads`` is the number of CPU threads to step on, 0 for all."""
        self.model = model
        self.n = n
        # persistent batches continue a step from the velocity stage, so fresh derived fields cost nothing
        self.batch = batch.Batch(model, nsim=n, nthread=threads, persistent=True)
        self._qpos, self._qvel, self._ctrl = (self.batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._site_xpos, self._xquat = self.batch.bind("site_xpos"), self.batch.bind("xquat")
        self._forces, self._sensors = self.batch.bind("xfrc_applied"), self.batch.bind("sensordata")
        self._history = self.batch.bind("history")

        joints = [model.joint(name) for name in hand.JOINT_NAMES]
        self._joint_qpos = np.array([joint.qposadr[0] for joint in joints])
        self._joint_dof = np.array([joint.dofadr[0] for joint in joints])
        self._actuators = np.array([model.actuator(name).id for name in hand.ACTUATOR_NAMES])
        self._joints = np.array([joint.id for joint in joints])
        self._fingertips = np.array([model.site(name).id for name in hand.FINGERTIP_MARKERS])
        self._distals = model.site_bodyid[self._fingertips]
        block = model.joint("block")
        self._block_qpos, self._block_dof = int(block.qposadr[0]), int(block.dofadr[0])

        self._block_body = int(block.bodyid[0])
        self._occlusion = [
            int(model.sensor(occlusion_sensor(marker)).adr[0])
            for marker in hand.FINGERTIP_MARKERS
            if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SENSOR, occlusion_sensor(marker)) >= 0
        ]

        self.T_world_base = base_pose(model)
        self.reset(np.arange(n))

    def reset(self, ids: np.ndarray) -> None:
        """Puts worlds ``ids`` into the model's default state; ``forward`` must follow."""
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)

    def forward(self, ids: np.ndarray) -> None:
        """Makes every derived field of worlds ``ids`` that of their state."""
        self.batch.forward(ids, stage=_VEL)

    def step(self, nstep: int, ids: np.ndarray | None = None) -> None:
        """Advances worlds ``ids``, or all, by ``nstep`` sub-steps.

        Raises:
            mujoco.batch.SimulationError: if MuJoCo fails in a world.
        """
        self.batch.step(ids, nstep=nstep, stage=_VEL)

    def set_target(self, target: Tensor, ids: np.ndarray | slice = slice(None)) -> None:
        """Sets the actuators' position targets [rad], (n, 20), of worlds ``ids``."""
        rows = self._ctrl[ids]
        rows[:, self._actuators] = target.numpy()
        self._ctrl[ids] = rows

    def remember_target(self, ids: np.ndarray) -> None:
        """Makes actuators with delays act as if their present targets had been sent long ago, in worlds ``ids``."""
        model = self.model
        for actuator in np.flatnonzero(model.actuator_historyadr >= 0):
            samples = int(model.actuator_history[actuator, 0])
            # a buffer holds two numbers of its own, the times of the samples, and the samples
            first = int(model.actuator_historyadr[actuator]) + 2 + samples
            self._history[ids, first : first + samples] = self._ctrl[ids, actuator, None]

    def set_joints(self, ids: np.ndarray, joint_pos: Tensor) -> None:
        """Places the hand's joints [rad], (m, 24), at rest; ``forward`` must follow."""
        self._qpos[np.ix_(ids, self._joint_qpos)] = joint_pos.numpy()
        self._qvel[np.ix_(ids, self._joint_dof)] = 0.0

    def set_block(self, ids: np.ndarray, pos: Tensor, quat: Tensor) -> None:
        """Places the block at a pose in the base frame, (m, 3) and (m, 4), at rest; ``forward`` must follow."""
        T_world_block = self.T_world_base @ Pose(pos.double(), quat.double())
        start = self._block_qpos
        self._qpos[ids, start : start + 7] = torch.cat((T_world_block.pos, T_world_block.quat), dim=1).numpy()
        self._qvel[ids, self._block_dof : self._block_dof + 6] = 0.0

    def joint_pos(self, ids: np.ndarray | slice = slice(None)) -> Tensor:
        """The joints' positions [rad] in worlds ``ids``, (m, 24), float64."""
        return torch.from_numpy(self._qpos[ids][:, self._joint_qpos])

    def joint_vel(self, ids: np.ndarray | slice = slice(None)) -> Tensor:
        """The joints' velocities [rad/s] in worlds ``ids``, (m, 24), float64."""
        return torch.from_numpy(self._qvel[ids][:, self._joint_dof])

    def joint_target(self, ids: np.ndarray | slice = slice(None)) -> Tensor:
        """The actuators' position targets [rad] in worlds ``ids``, (m, 20), float64."""
        return torch.from_numpy(self._ctrl[ids][:, self._actuators])

    def block(self, ids: np.ndarray | slice = slice(None)) -> Pose:
        """``T_base_block`` in worlds ``ids``, (m, …), float64."""
        start = self._block_qpos
        pos, quat = torch.from_numpy(self._qpos[ids, start : start + 7]).split((3, 4), dim=1)
        return self.T_world_base.inverse() @ Pose(pos, quat)

    def measure(self, ids: np.ndarray | slice = slice(None)) -> dict[str, Tensor]:
        """The exact values, float32, of every observation field that physics knows, of worlds ``ids``.

        See ``robot.observation`` for the fields.
        """
        tips = torch.from_numpy(self._site_xpos[ids][:, self._fingertips])
        distals = torch.from_numpy(self._xquat[ids][:, self._distals])
        dof = self._block_dof
        linvel, angvel = torch.from_numpy(self._qvel[ids, dof : dof + 6]).split(3, dim=1)
        T_base_world = self.T_world_base.inverse()
        T_base_block = self.block(ids)
        values = {
            "joint_pos": self.joint_pos(ids),
            "joint_vel": self.joint_vel(ids),
            "joint_target": self.joint_target(ids),
            "fingertip_pos": T_base_world.apply(tips),
            "fingertip_quat": rotation.multiply(T_base_world.quat, distals),
            "object_pos": T_base_block.pos,
            "object_quat": T_base_block.quat,
            "object_linvel": rotation.rotate(T_base_world.quat, linvel),
            # a free joint's angular velocity is given in the body's own frame
            "object_angvel": rotation.rotate(T_base_block.quat, angvel),
        }
        return {name: value.float() for name, value in values.items()}

    def touched(self) -> Tensor | None:
        """Whether something touches the boxes around fingertip markers, (n, 5) bool; None in a model without boxes."""
        return torch.from_numpy(self._sensors[:, self._occlusion] > 0.0) if self._occlusion else None

    def push(self, acceleration: Tensor) -> None:
        """Accelerates the blocks from now on by forces on their centres, (n, 3) [m/s²] in the world frame."""
        mass = self.batch.expanded("body_mass")
        block = self._block_body
        weight = self.model.body_mass[block] if mass is None else mass[:, block, None]
        self._forces[:, block, :3] = weight * acceleration.numpy()

    def set_timestep(self, seconds: Tensor | float, ids: np.ndarray | slice = slice(None)) -> None:
        """Sets the length of a sub-step [s] in worlds ``ids``, (m,)."""
        self.batch.expand("opt.timestep")[ids] = seconds.numpy() if isinstance(seconds, Tensor) else seconds

    def expand(self, field: str) -> np.ndarray:
        """Per-world values of a model field, (n, …), live: what is written holds from the next call on."""
        return self.batch.expand(field)

    def set_const(self, ids: np.ndarray) -> None:
        """Recomputes what MuJoCo derives from masses, sizes and poses of worlds ``ids``; after writing such a field."""
        self.batch.set_const(ids)

    def block_half_diagonal(self, ids: np.ndarray) -> Tensor:
        """From the block's centre to its corner [m] in worlds ``ids``, (m,)."""
        sizes = self.batch.expanded("geom_size")
        geom = int(self.model.body_geomadr[self._block_body])
        size = self.model.geom_size[None, geom].repeat(len(ids), 0) if sizes is None else sizes[ids, geom]
        return torch.from_numpy(np.linalg.norm(size, axis=1)).float()

    def joint_range(self, ids: np.ndarray) -> Tensor:
        """Lower and upper limits [rad] of the joints in worlds ``ids``, (m, 24, 2)."""
        expanded = self.batch.expanded("jnt_range")
        ranges = self.model.jnt_range[None].repeat(len(ids), 0) if expanded is None else expanded[ids]
        return torch.from_numpy(ranges[:, self._joints]).float()

    def diverged(self, ids: np.ndarray | slice = slice(None)) -> Tensor:
        """Whether MuJoCo has warned in worlds ``ids`` since their last reset, (n,) bool.

        It warns of states that are not finite or far too fast, and then starts the world over by itself; what is
        measured there afterwards has nothing to do with what went before.
        """
        return torch.from_numpy(self.batch.warning[ids][:, :, 1].any(axis=1))

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, per-world model fields included."""
        fields = {name: torch.from_numpy(self.batch.expand(name).copy()) for name in self._expanded()}
        return {"state": torch.from_numpy(self.batch.state.copy()), "fields": fields}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        for name in self._expanded():
            self.batch.expand(name)[:] = nominal(name, self.model)
        for name, value in state["fields"].items():
            self.batch.expand(name)[:] = value.numpy()
        self.batch.state[:] = state["state"].numpy()
        self.forward(np.arange(self.n))

    def _expanded(self) -> list[str]:
        return [name for name in batch.MODEL_FIELDS if self.batch.expanded(name) is not None]
