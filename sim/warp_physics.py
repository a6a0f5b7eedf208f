"""Physics on a GPU: MuJoCo Warp, all worlds in one launch of each kernel, the sub-steps captured as a CUDA graph."""

import copy
import gc
import math
from collections.abc import Callable
from typing import Any

import mujoco
import mujoco_warp as mjw
import torch
import warp as wp
from torch import Tensor

from sim.elements import nominal
from sim.physics import EVERY, Physics, Worlds
from sim.warp_capacity import Capacity, least_constraints

FASTEST = 1e10
"""States beyond this are no states any more (MuJoCo's mjMAXVAL)."""

STATE = ("time", "qpos", "qvel", "act", "ctrl", "xfrc_applied", "history", "qacc_warmstart")
"""What a step begins from."""

Kernels = Callable[[mjw.Model, mjw.Data], None]

DERIVED = {
    "body_mass": ("body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0"),
    "body_inertia": ("body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0"),
    "body_pos": ("tendon_length0", "body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0"),
    "dof_armature": ("body_invweight0", "dof_invweight0", "tendon_invweight0", "actuator_acc0"),
    "geom_size": ("geom_rbound", "geom_aabb"),
}
"""What ``set_const`` recomputes of a field: it must differ from world to world, too, or worlds would share the last."""


class WarpPhysics(Physics):
    """In single precision; nothing leaves the device between a control step and the next.

    Worlds cannot wait for one another: a step is a step of all. What is launched again and again is captured into a
    CUDA graph the first time; a field that is expanded later has them captured again.

    Warp's own stream and torch's default one wait for each other, as CUDA has it for the legacy default stream.
    """

    can_step_some = False

    def __init__(self, model: mujoco.MjModel, n: int, device: str, capacity: Capacity) -> None:
        """``device`` is Warp's name of it; ``capacity`` the room in each world.

        Raises:
            ValueError: if there is no room for the constraints without any contact.
        """
        least = least_constraints(model)
        if capacity.constraints < least:
            raise ValueError(f"sim constraints is {capacity.constraints}; {least} are needed without any contact")
        self.capacity = capacity
        self.warp_device = wp.get_device(device)
        self.device = torch.device(wp.device_to_torch(self.warp_device))
        self._expanded: dict[str, Tensor] = {}
        self._graphs: dict[str, Any] = {}
        self.m: mjw.Model
        """Warp's model; its per-world arrays are those that ``expand`` made."""
        self.d: mjw.Data
        """Warp's state of all worlds, and everything derived from it."""
        self.state: dict[str, Tensor]
        """What a step begins from, live."""
        with wp.ScopedDevice(self.warp_device):
            suited = _for_gpu(model)
            self.m = mjw.put_model(suited)
            self.m.opt.run_qacc_smooth = False  # not needed where the solver starts from the step before
            self.m.opt.warn_overflow = 0  # else kernels print; the bits are read in ``check``
            self.d = mjw.make_data(
                suited, nworld=n, nconmax=capacity.contacts, njmax=capacity.constraints, nccdmax=capacity.contacts
            )
            # everything is a view of what Warp computes on
            self.state = {name: wp.to_torch(getattr(self.d, name)) for name in STATE}
            self.site_xpos, self.xquat, self.sensors, self._overflow = (
                wp.to_torch(getattr(self.d, name)) for name in ("site_xpos", "xquat", "sensordata", "overflow")
            )
        self.qpos, self.qvel, self.ctrl, self.forces, self.history = (
            self.state[name] for name in ("qpos", "qvel", "ctrl", "xfrc_applied", "history")
        )
        # not mujoco_warp.reset_data, which compiles its kernels anew for every call
        self._initial = {name: value[0].clone() for name, value in self.state.items()}
        super().__init__(model, n)

    def reset(self, ids: Tensor) -> None:
        """See ``Physics``."""
        for name, value in self._initial.items():
            self.state[name][ids] = value
        self.sensors.index_fill_(0, ids, 0.0)  # nothing is touched yet

    def forward(self, ids: Tensor) -> None:
        """See ``Physics``; it costs as much for one world as for all."""
        self._launch("kinematics", mjw.kinematics)

    def step(self, nstep: int, ids: Tensor | None = None) -> None:
        """See ``Physics``."""
        if ids is not None:
            raise ValueError("worlds on a GPU are stepped together; some cannot be stepped while the others wait")
        for _ in range(nstep):
            self._launch("step", mjw.step)
        self._launch("kinematics", mjw.kinematics)  # a step leaves positions of before it

    def _launch(self, name: str, function: Kernels) -> None:
        with wp.ScopedDevice(self.warp_device):
            if not self.warp_device.is_cuda:
                function(self.m, self.d)
                return
            if torch.cuda.current_stream(self.device) != torch.cuda.default_stream(self.device):
                raise RuntimeError("physics is used on a CUDA stream that Warp does not wait for; use the default one")
            if name not in self._graphs:
                self._graphs[name] = self._captured(function)
            wp.capture_launch(self._graphs[name])

    def _captured(self, function: Kernels) -> Any:
        """The graph of a function's kernels; the worlds stay as they are."""
        before = {name: value.clone() for name, value in self.state.items()}
        function(self.m, self.d)  # compiles what is not compiled yet, which cannot be done while capturing
        for name, value in before.items():
            self.state[name].copy_(value)
        collecting = gc.isenabled()
        gc.disable()  # freed memory would break the capture
        try:
            with wp.ScopedCapture() as capture:
                function(self.m, self.d)
        finally:
            if collecting:
                gc.enable()
        return capture.graph

    def expand(self, field: str) -> Tensor:
        """See ``Physics``."""
        for name in (field, *DERIVED.get(field, ())):
            if name not in self._expanded:
                self._expanded[name] = self._expand(name)
                self._graphs.clear()  # they hold the addresses of before
        return self._expanded[field]

    def _expand(self, field: str) -> Tensor:
        owner = self.m.opt if field.startswith("opt.") else self.m
        name = field.removeprefix("opt.")
        array, shape = getattr(owner, name, None), nominal(field, self.model).shape
        if not isinstance(array, wp.array) or wp.to_torch(array)[0].numel() != math.prod(shape):
            raise ValueError(f"{field} cannot differ from world to world on a GPU")
        one = wp.to_torch(array)[:1]
        values = one.repeat(self.n, *(1,) * (one.ndim - 1))
        # Warp's array holds on to the tensor
        setattr(owner, name, wp.from_torch(values, dtype=array.dtype))
        return values.view(self.n, *shape)

    def expanded(self, field: str) -> Tensor | None:
        """See ``Physics``."""
        return self._expanded.get(field)

    def set_const(self, ids: Tensor) -> None:
        """See ``Physics``; it costs as much for one world as for all, and changes nothing where nothing was written."""
        self._launch("set_const", _set_const)

    def diverged(self, ids: Worlds = EVERY) -> Tensor:
        """Whether a state in worlds ``ids`` is not finite or far too large, (m,) bool."""
        state = torch.cat((self.qpos[ids], self.qvel[ids]), dim=1)
        return ~(state.abs() < FASTEST).all(dim=1)

    def check(self) -> None:
        """See ``Physics``.

        Raises:
            CapacityExceeded: if contacts or constraints found no room in a world, naming what to raise.
        """
        flags = 0
        for flag in self._overflow.unique().tolist():
            flags |= flag
        self._overflow.zero_()
        self.capacity.require(flags)

    def state_dict(self) -> dict[str, Any]:
        """See ``Physics``."""
        fields = {name: value.cpu().clone() for name, value in self._expanded.items()}
        return {"state": {name: value.cpu().clone() for name, value in self.state.items()}, "fields": fields}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Physics``."""
        for name, values in self._expanded.items():
            values.copy_(torch.from_numpy(nominal(name, self.model)).expand(values.shape))
        for name, value in state["fields"].items():
            self.expand(name).copy_(value)
        for name, value in state["state"].items():
            self.state[name].copy_(value)
        self.forward(torch.arange(self.n, device=self.device))


def _set_const(m: mjw.Model, d: mjw.Data) -> None:
    mjw.set_const(m, d, restore=False)


def _for_gpu(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model with matrices as MuJoCo Warp likes them: dense for one so small, where the CPU wants them sparse."""
    other = copy.copy(model)
    other.opt.jacobian = mujoco.mjtJacobian.mjJAC_AUTO
    return other
