"""Gives every simulated world its own physics: applies randomization terms to MuJoCo model fields."""

import fnmatch
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from mujoco.batch import MODEL_FIELDS
from torch import Tensor

from randomization.config import PhysicsTerm
from randomization.distribution import Distribution, parse
from sim.physics import CpuPhysics

MIN_JOINT_RANGE = 0.05
"""Joint limits drawn nearer than this [rad] are moved apart to it, so that a joint keeps some travel."""

_SERVO_COLUMNS = {"actuator_gainprm": 1, "actuator_biasprm": 3}
"""Of these fields only the leading columns mean something for position servos."""


@dataclass(frozen=True)
class _Target:
    """The part of one model field that a term changes: rows (elements), and of each the leading columns."""

    field: str
    rows: np.ndarray | None
    columns: int | None

    def read(self, values: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """(m, rows, …) of the worlds ``ids``; a field without elements (an option) counts as one row."""
        chosen = values[ids][:, None] if self.rows is None else values[np.ix_(ids, self.rows)]
        return chosen[..., : self.columns] if self.columns else chosen

    def write(self, values: np.ndarray, ids: np.ndarray, changed: np.ndarray) -> None:
        """Puts back what ``read`` gave, changed."""
        if self.rows is None:
            values[ids] = changed[:, 0]
        elif self.columns:
            values[np.ix_(ids, self.rows, np.arange(self.columns))] = changed
        else:
            values[np.ix_(ids, self.rows)] = changed


@dataclass(frozen=True)
class _Term:
    draw: Distribution
    scale: bool
    shared: bool
    targets: list[_Target]


class PhysicsRandomizer:
    """Draws the physics of worlds from a preset's terms."""

    def __init__(self, terms: dict[str, PhysicsTerm], physics: CpuPhysics, generator: torch.Generator) -> None:
        """Resolves the terms against the model.

        Raises:
            ValueError: if a term names a field that cannot vary by world, or selects nothing.
        """
        self.physics = physics
        self.generator = generator
        self.terms = [_resolve(name, term, physics.model) for name, term in terms.items()]
        targets = [target for term in self.terms for target in term.targets]
        self.nominal = {target.field: _nominal(target.field, physics.model) for target in targets}
        for field in self.nominal:
            physics.expand(field)
        derived_from = mujoco.MjModel._setconst_inputs
        self._set_const = any(field in derived_from or field.startswith("opt.") for field in self.nominal)
        sized = [target.rows for target in targets if target.field == "geom_size" and target.rows is not None]
        self._resized = np.unique(np.concatenate(sized)) if sized else np.array([], dtype=int)
        _check_resizable(self._resized, physics.model)

    def reset(self, ids: np.ndarray) -> None:
        """Draws new physics for worlds ``ids``, (m,), starting from the nominal values."""
        if not self.terms:
            return
        for field, nominal in self.nominal.items():
            self.physics.expand(field)[ids] = nominal
        for term in self.terms:
            self._apply(term, ids)
        if "jnt_range" in self.nominal:
            self._order_joint_limits(ids)
        if len(self._resized):
            self._update_bounds(ids)
        if self._set_const:
            self.physics.set_const(ids)

    def _apply(self, term: _Term, ids: np.ndarray) -> None:
        drawn: Tensor | None = None
        for target in term.targets:
            values = self.physics.expand(target.field)
            present = target.read(values, ids)
            m, rows, *inner = present.shape
            if drawn is None:
                # a scale changes an element as a whole, an offset each of its numbers by itself
                shape = (m, 1 if term.shared else rows, *(() if term.scale else inner))
                drawn = term.draw.sample(shape, self.generator)
            factor = drawn.numpy().reshape(*drawn.shape[:2], *((1,) * len(inner) if term.scale else inner))
            target.write(values, ids, present * factor if term.scale else present + factor)

    def _order_joint_limits(self, ids: np.ndarray) -> None:
        limited = self.physics.model.jnt_limited.astype(bool)
        rows = np.ix_(ids, np.flatnonzero(limited))
        ranges = self.physics.expand("jnt_range")[rows]
        lacking = np.maximum(MIN_JOINT_RANGE - (ranges[..., 1] - ranges[..., 0]), 0.0)
        ranges[..., 0] -= 0.5 * lacking
        ranges[..., 1] += 0.5 * lacking
        self.physics.expand("jnt_range")[rows] = ranges

    def _update_bounds(self, ids: np.ndarray) -> None:
        """What MuJoCo derives from a box's size only when it compiles a model, and the inertia of its solid body."""
        size = self.physics.expand("geom_size")[np.ix_(ids, self._resized)]
        half = np.arange(3, 6)
        self.physics.expand("geom_rbound")[np.ix_(ids, self._resized)] = np.linalg.norm(size, axis=-1)
        self.physics.expand("geom_aabb")[np.ix_(ids, self._resized, half)] = size
        model = self.physics.model
        bodies = model.geom_bodyid[self._resized]
        mass = self.physics.expand("body_mass")[np.ix_(ids, bodies)][..., None]
        squares = size**2
        self.physics.expand("body_inertia")[np.ix_(ids, bodies)] = mass / 3 * (squares.sum(-1, keepdims=True) - squares)
        leaves = model.body_bvhadr[bodies]
        self.physics.expand("bvh_aabb")[np.ix_(ids, leaves, half)] = size


def _nominal(field: str, model: mujoco.MjModel) -> np.ndarray:
    owner, _, name = field.rpartition(".")
    return np.array(getattr(model.opt if owner == "opt" else model, name))


def _resolve(name: str, term: PhysicsTerm, model: mujoco.MjModel) -> _Term:
    targets = []
    for field in term.fields:
        if field not in MODEL_FIELDS:
            raise ValueError(f"randomization term {name}: MuJoCo has no per-world model field {field!r}")
        rows = None if field.startswith("opt.") else _select(name, term, field, model)
        targets.append(_Target(field, rows, _SERVO_COLUMNS.get(field)))
    return _Term(parse(term.draw), term.apply == "scale", term.per == "group", targets)


def _select(name: str, term: PhysicsTerm, field: str, model: mujoco.MjModel) -> np.ndarray:
    """Indices of the elements that a term changes; what belongs neither to the hand nor to the block never changes."""
    names = _element_names(field.split("_")[0], model)
    if not names:
        raise ValueError(f"randomization term {name}: elements of {field!r} cannot be selected")
    owners = ["object" if e == "block" else "robot" if e.startswith("rh_") else "scene" for e in names]
    rows = [
        i
        for i, (element, owner) in enumerate(zip(names, owners, strict=True))
        if owner != "scene" and term.of in (owner, "all") and fnmatch.fnmatchcase(element, term.names)
    ]
    if not rows:
        raise ValueError(f"randomization term {name} selects nothing: of={term.of}, names={term.names}")
    return np.array(rows)


def _element_names(kind: str, model: mujoco.MjModel) -> list[str]:
    """Names of all elements that a field's first word stands for; a geom without one goes by its body's."""
    if kind == "dof":
        return [model.joint(int(joint)).name for joint in model.dof_jntid]
    if kind == "geom":
        return [model.geom(i).name or model.body(int(model.geom_bodyid[i])).name for i in range(model.ngeom)]
    access = {"body": model.body, "jnt": model.joint, "actuator": model.actuator, "site": model.site}.get(kind)
    count = {"body": model.nbody, "jnt": model.njnt, "actuator": model.nu, "site": model.nsite}.get(kind, 0)
    return [access(i).name for i in range(count)] if access else []


def _check_resizable(geoms: np.ndarray, model: mujoco.MjModel) -> None:
    for geom in geoms:
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_BOX or model.body_geomnum[model.geom_bodyid[geom]] != 1:
            name = model.geom(int(geom)).name
            raise ValueError(f"the size of geom {name!r} cannot be randomized: only a box alone on its body can")
