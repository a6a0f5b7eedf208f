"""What must follow when a model field changes: MuJoCo derives it only when it compiles a model."""

import mujoco
import numpy as np
import torch
from torch import Tensor

from sim.physics import Physics, grid

MIN_RANGE = 0.05
"""Limits drawn nearer than this [rad, m] are moved apart to it, so that a joint keeps some travel."""


class Limits:
    """Limits of joints or tendons, which are to keep their sides and some distance."""

    def __init__(self, field: str, physics: Physics) -> None:
        """``field`` is ``jnt_range`` or ``tendon_range``."""
        self.field, self.physics = field, physics
        model, known = physics.model, getattr(physics.model, field)
        rows = np.flatnonzero(getattr(model, field.replace("range", "limited")))
        self.rows = torch.as_tensor(rows, device=physics.device)
        self.least = torch.from_numpy(np.minimum(MIN_RANGE, known[rows, 1] - known[rows, 0])).to(physics.qpos)

    def order(self, ids: Tensor) -> None:
        """Moves those in worlds ``ids``, (m,), apart that have come too near, or have changed sides."""
        values, index = self.physics.expand(self.field), grid(ids, self.rows)
        lower, upper = values[index].unbind(-1)
        lacking = 0.5 * (self.least - (upper - lower)).clamp(min=0.0)
        values[index] = torch.stack((lower - lacking, upper + lacking), dim=-1)


def whole_substeps(ids: Tensor, physics: Physics, generator: torch.Generator) -> None:
    """Rounds the delays of actuators in worlds ``ids`` to whole sub-steps, up or down so that their mean stays.

    MuJoCo itself would round every delay up. Half a sub-step is taken off, so that no rounding of times decides.
    """
    step, values = physics.model.opt.timestep, physics.expand("actuator_delay")
    delays = values[ids].double() / step
    chance = torch.rand(delays.shape, generator=generator, dtype=torch.float64, device=delays.device)
    # what was drawn in single precision shall count as the whole number that is meant
    whole = (delays + torch.where(torch.isclose(delays, delays.round(), rtol=1e-5, atol=1e-4), 0.5, chance)).floor()
    values[ids] = torch.where(whole > 0.0, (whole - 0.5) * step, 0.0).to(values)


class Resized:
    """Boxes whose size differs from world to world."""

    def __init__(self, geoms: Tensor, physics: Physics) -> None:
        """``geoms`` are boxes that are alone on their bodies.

        Raises:
            ValueError: if one is not.
        """
        model = physics.model
        for geom in geoms.tolist():
            if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_BOX or model.body_geomnum[model.geom_bodyid[geom]] != 1:
                name = model.geom(geom).name
                raise ValueError(f"the size of geom {name!r} cannot be randomized: only a box alone on its body can")
        self.physics = physics
        self.geoms = geoms
        self.bodies = torch.tensor(model.geom_bodyid[geoms.cpu().numpy()], dtype=torch.int64, device=physics.device)
        self.known = _crossed_squares(torch.from_numpy(model.geom_size[geoms.cpu().numpy()]).to(physics.qpos))

    def update(self, ids: Tensor) -> None:
        """Their inertia, which grows as that of solid boxes of equal mass; their bounds follow in ``set_const``."""
        expand = self.physics.expand
        size = expand("geom_size")[grid(ids, self.geoms)]
        expand("body_inertia")[grid(ids, self.bodies)] *= _crossed_squares(size) / self.known


def _crossed_squares(size: Tensor) -> Tensor:
    """What the inertia of a box of half edges (…, 3) about each axis is proportional to."""
    squares = size.square()
    return squares.sum(-1, keepdim=True) - squares
