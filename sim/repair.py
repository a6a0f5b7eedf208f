"""What must follow when a model field changes: MuJoCo derives it only when it compiles a model."""

import mujoco
import numpy as np
import torch

from sim.physics import CpuPhysics

MIN_RANGE = 0.05
"""Limits drawn nearer than this [rad, m] are moved apart to it, so that a joint keeps some travel."""


def order_limits(field: str, ids: np.ndarray, physics: CpuPhysics) -> None:
    """Moves limits of joints or tendons in worlds ``ids`` apart that have come too near, or have changed sides.

    Args:
        field: ``jnt_range`` or ``tendon_range``.
        ids: the worlds, (m,).
        physics: whose field it is.
    """
    model = physics.model
    limited, known = getattr(model, field.replace("range", "limited")).astype(bool), getattr(model, field)
    rows = np.flatnonzero(limited)
    index = np.ix_(ids, rows)
    ranges = physics.expand(field)[index]
    least = np.minimum(MIN_RANGE, known[rows, 1] - known[rows, 0])
    lacking = np.maximum(least - (ranges[..., 1] - ranges[..., 0]), 0.0)
    ranges[..., 0] -= 0.5 * lacking
    ranges[..., 1] += 0.5 * lacking
    physics.expand(field)[index] = ranges


def whole_substeps(ids: np.ndarray, physics: CpuPhysics, generator: torch.Generator) -> None:
    """Rounds the delays of actuators in worlds ``ids`` to whole sub-steps, up or down so that their mean stays.

    MuJoCo itself would round every delay up. Half a sub-step is taken off, so that no rounding of times decides.
    """
    step = physics.model.opt.timestep
    delays = physics.expand("actuator_delay")[ids] / step
    chance = torch.rand(delays.shape, generator=generator, dtype=torch.float64).numpy()
    # what was drawn in single precision shall count as the whole number that is meant
    whole = np.floor(delays + np.where(np.isclose(delays, delays.round(), atol=1e-4), 0.5, chance))
    physics.expand("actuator_delay")[ids] = np.where(whole > 0.0, (whole - 0.5) * step, 0.0)


class Resized:
    """Boxes whose size differs from world to world."""

    def __init__(self, geoms: np.ndarray, physics: CpuPhysics) -> None:
        """``geoms`` are boxes that are alone on their bodies.

        Raises:
            ValueError: if one is not.
        """
        model = physics.model
        for geom in geoms:
            if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_BOX or model.body_geomnum[model.geom_bodyid[geom]] != 1:
                name = model.geom(int(geom)).name
                raise ValueError(f"the size of geom {name!r} cannot be randomized: only a box alone on its body can")
        self.geoms = geoms
        self.physics = physics
        self.bodies = model.geom_bodyid[geoms]
        self.leaves = model.body_bvhadr[self.bodies]

    def update(self, ids: np.ndarray) -> None:
        """Their bounds for collision detection, and their inertia, which grows as that of solid boxes of equal mass."""
        half = np.arange(3, 6)
        expand = self.physics.expand
        size = expand("geom_size")[np.ix_(ids, self.geoms)]
        expand("geom_rbound")[np.ix_(ids, self.geoms)] = np.linalg.norm(size, axis=-1)
        expand("geom_aabb")[np.ix_(ids, self.geoms, half)] = size
        expand("bvh_aabb")[np.ix_(ids, self.leaves, half)] = size
        grown = _crossed_squares(size) / _crossed_squares(self.physics.model.geom_size[self.geoms])
        expand("body_inertia")[np.ix_(ids, self.bodies)] *= grown


def _crossed_squares(size: np.ndarray) -> np.ndarray:
    """What the inertia of a box of half edges (…, 3) about each axis is proportional to."""
    squares = size**2
    return squares.sum(-1, keepdims=True) - squares
