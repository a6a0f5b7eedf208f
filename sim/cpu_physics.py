"""Physics on the CPU: MuJoCo itself, stepped on threads by ``mujoco.batch``."""

import warnings
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco import batch
from torch import Tensor

from sim.elements import nominal
from sim.physics import EVERY, Physics, Worlds

_VEL = mujoco.mjtStage.mjSTAGE_VEL


class CpuPhysics(Physics):
    """In double precision, and the same to the bit on any number of threads."""

    device = torch.device("cpu")
    can_step_some = True

    def __init__(self, model: mujoco.MjModel, n: int, threads: int = 0) -> None:
        """``threads`` is the number of CPU threads to step on, 0 for all."""
        # persistent batches continue a step from the velocity stage, so fresh derived fields cost nothing
        self.batch = batch.Batch(model, nsim=n, nthread=threads, persistent=True)
        with warnings.catch_warnings():
            # what is derived may not be written, and torch has no tensors that are only read
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            self.qpos, self.qvel, self.ctrl, self.site_xpos, self.xquat, self.forces, self.sensors, self.history = (
                torch.from_numpy(self.batch.bind(name))
                for name in ("qpos", "qvel", "ctrl", "site_xpos", "xquat", "xfrc_applied", "sensordata", "history")
            )
        super().__init__(model, n)

    def reset(self, ids: Tensor) -> None:
        """See ``Physics``."""
        self.batch.reset(ids.numpy(), stage=mujoco.mjtStage.mjSTAGE_NONE)

    def forward(self, ids: Tensor) -> None:
        """See ``Physics``; all other derived fields follow, too."""
        self.batch.forward(ids.numpy(), stage=_VEL)

    def step(self, nstep: int, ids: Tensor | None = None) -> None:
        """See ``Physics``.

        Raises:
            mujoco.batch.SimulationError: if MuJoCo fails in a world.
        """
        self.batch.step(None if ids is None else ids.numpy(), nstep=nstep, stage=_VEL)

    def expand(self, field: str) -> Tensor:
        """See ``Physics``."""
        return torch.from_numpy(self.batch.expand(field))

    def expanded(self, field: str) -> Tensor | None:
        """See ``Physics``."""
        values = self.batch.expanded(field)
        return None if values is None else torch.from_numpy(values)

    def set_const(self, ids: Tensor) -> None:
        """See ``Physics``."""
        self.batch.set_const(ids.numpy())

    def diverged(self, ids: Worlds = EVERY) -> Tensor:
        """Whether MuJoCo has warned in worlds ``ids`` since their last reset, (m,) bool.

        It warns of states that are not finite or far too fast, and then starts the world over by itself; what is
        measured there afterwards has nothing to do with what went before.
        """
        rows = ids.numpy() if isinstance(ids, Tensor) else ids
        return torch.from_numpy(self.batch.warning[rows][:, :, 1].any(axis=1))

    def check(self) -> None:
        """MuJoCo's arena grows as it needs to: nothing is lost."""

    def state_dict(self) -> dict[str, Any]:
        """See ``Physics``."""
        fields = {name: torch.from_numpy(self.batch.expand(name).copy()) for name in self._expanded()}
        return {"state": torch.from_numpy(self.batch.state.copy()), "fields": fields}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Physics``."""
        for name in self._expanded():
            self.batch.expand(name)[:] = nominal(name, self.model)
        for name, value in state["fields"].items():
            self.batch.expand(name)[:] = value.numpy()
        self.batch.state[:] = state["state"].numpy()
        self.batch.forward(np.arange(self.n), stage=_VEL)

    def _expanded(self) -> list[str]:
        return [name for name in batch.MODEL_FIELDS if self.batch.expanded(name) is not None]
