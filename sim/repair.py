"""What must follow when a model field changes: MuJoCo derives it only when it compiles a model."""

import mujoco
import numpy as np

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
        """Their bounds for collision detection, and the inertia of solid boxes of the bodies' masses."""
        half = np.arange(3, 6)
        expand = self.physics.expand
        size = expand("geom_size")[np.ix_(ids, self.geoms)]
        expand("geom_rbound")[np.ix_(ids, self.geoms)] = np.linalg.norm(size, axis=-1)
        expand("geom_aabb")[np.ix_(ids, self.geoms, half)] = size
        expand("bvh_aabb")[np.ix_(ids, self.leaves, half)] = size
        mass = expand("body_mass")[np.ix_(ids, self.bodies)][..., None]
        squares = size**2
        expand("body_inertia")[np.ix_(ids, self.bodies)] = mass / 3 * (squares.sum(-1, keepdims=True) - squares)
