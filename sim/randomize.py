"""Gives every simulated world its own physics: applies randomization terms to MuJoCo model fields."""

import math
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from torch import Tensor

from randomization.draws import Draw, Source
from randomization.terms import PhysicsTerm
from sim.elements import nominal, select
from sim.physics import Physics, grid
from sim.repair import Limits, Resized, whole_substeps

GRAVITY, INERTIA = "opt.gravity", "body_inertia"

MEANINGFUL = {"actuator_gainprm": [0], "actuator_biasprm": [0, 1, 2]}
"""Of these fields only some numbers mean something for position servos."""


@dataclass(frozen=True)
class Target:
    """The part of one model field that a term changes: rows (elements), and of each some columns."""

    field: str
    rows: Tensor | None
    columns: Tensor | None

    def index(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Of the worlds ``ids`` in the field's values (n, elements, …)."""
        return grid(*(axis for axis in (ids, self.rows, self.columns) if axis is not None))


@dataclass(frozen=True)
class _Term:
    draw: Draw
    scale: bool
    shared: bool
    least: float | None
    most: float | None
    targets: list[Target]


class PhysicsRandomizer:
    """Draws the physics of worlds from a preset's terms."""

    def __init__(self, terms: dict[str, PhysicsTerm], physics: Physics, source: Source) -> None:
        """Resolves the terms against the model.

        Raises:
            ValueError: if a term names a field that cannot vary by world, or selects nothing.
        """
        self.physics = physics
        self.generator = source.generator
        self.terms = [_resolve(name, term, physics, source) for name, term in terms.items()]
        targets = [target for term in self.terms for target in term.targets]
        self.nominal = {target.field: self._nominal(target.field) for target in targets}
        for field in self.nominal:
            physics.expand(field)
        derived_from = mujoco.MjModel._setconst_inputs  # what mujoco.batch itself goes by; nothing public lists them
        self._set_const = any(field in derived_from for field in self.nominal)
        self._limits = [Limits(field, physics) for field in ("jnt_range", "tendon_range") if field in self.nominal]
        sized = [target.rows for target in targets if target.field == "geom_size" and target.rows is not None]
        self._resized = Resized(torch.cat(sized).unique(), physics) if sized else None
        if sized and INERTIA not in self.nominal:  # it follows the size, from the nominal one on
            self.nominal[INERTIA] = self._nominal(INERTIA)
            physics.expand(INERTIA)

    def set_gravity(self, share: float) -> None:
        """Lets worlds have so much of the model's gravity, and what terms add to it, from their next reset on."""
        if share == 1.0 and GRAVITY not in self.nominal:
            return  # not one more field to write at every reset
        self.nominal[GRAVITY] = share * self._nominal(GRAVITY)
        self.physics.expand(GRAVITY)

    def _nominal(self, field: str) -> Tensor:
        return torch.from_numpy(nominal(field, self.physics.model)).to(self.physics.qpos)

    def reset(self, ids: Tensor) -> None:
        """Gives worlds ``ids``, (m,), new physics, from the nominal values on."""
        if not self.nominal:
            return
        self.draw(ids)
        for limits in self._limits:
            limits.order(ids)
        if self._resized is not None:
            self._resized.update(ids)
        if "actuator_delay" in self.nominal:
            whole_substeps(ids, self.physics, self.generator)
        if self._set_const:
            self.physics.set_const(ids)

    def draw(self, ids: Tensor) -> None:
        """Draws the fields of worlds ``ids``, (m,), and nothing of what must follow them."""
        for field, value in self.nominal.items():
            self.physics.expand(field)[ids] = value
        for term in self.terms:
            self._apply(term, ids)

    def _apply(self, term: _Term, ids: Tensor) -> None:
        drawn: Tensor | None = None
        for target in term.targets:
            values, index = self.physics.expand(target.field), target.index(ids)
            present = values[index]
            elements = 1 if target.rows is None else present.shape[1]
            inner = present.shape[1:] if target.rows is None else present.shape[2:]
            if drawn is None:
                # a scale changes an element as a whole, an offset each of its numbers by itself
                shape = (1 if term.shared else elements, *(() if term.scale else inner))
                drawn = term.draw(ids, *shape)
            factor = drawn.reshape(*drawn.shape[:2], *((1,) * len(inner) if term.scale else inner))
            if target.rows is None:
                factor = factor[:, 0]
            changed = present * factor if term.scale else present + factor
            if term.least is not None or term.most is not None:
                changed = changed.clamp(term.least, term.most)
            values[index] = changed


def _width(field: str, columns: list[int], model: mujoco.MjModel) -> int:
    """How many numbers of each element of a field a term changes.

    Raises:
        ValueError: if the field or the columns are none that can be changed.
    """
    if field == "opt.timestep":
        raise ValueError("opt.timestep is set by what lasts a control step; use the preset's part timing")
    values = nominal(field, model)
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{field} holds {values.dtype} numbers; only fields of real numbers can be drawn")
    if field.startswith("opt."):
        values = values[None]  # an option is one element
    width = 1 if values.ndim < 2 else math.prod(values.shape[1:])
    if columns and (values.ndim != 2 or not all(0 <= column < width for column in columns)):
        allowed = f"0 to {width - 1}" if values.ndim == 2 else "none"
        raise ValueError(f"{field} has no columns {columns}; allowed: {allowed}")
    return len(columns) or len(MEANINGFUL.get(field, range(width)))


def _resolve(name: str, term: PhysicsTerm, physics: Physics, source: Source) -> _Term:
    targets, widths = [], set()
    for field in term.fields:
        try:
            rows = select(field, term.of, term.names, physics.model)
            widths.add(_width(field, term.columns, physics.model))
        except ValueError as error:
            raise ValueError(f"randomization term {name}: {error}") from error
        columns = term.columns or MEANINGFUL.get(field)
        targets.append(
            Target(field, *(None if i is None else torch.as_tensor(i).to(physics.device) for i in (rows, columns)))
        )
    if term.apply != "scale" and len(widths) > 1:
        raise ValueError(
            f"randomization term {name}: what is added to {', '.join(term.fields)} is one draw, but their elements "
            f"have {' and '.join(map(str, sorted(widths)))} numbers; give each a term of its own"
        )
    draw = source.draw(f"physics.{name}", term.draw, calibrated=1.0 if term.apply == "scale" else 0.0)
    return _Term(draw, term.apply == "scale", term.per == "group", term.least, term.most, targets)
