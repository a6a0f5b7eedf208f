"""Curricula: how the difficulty of the worlds follows the control steps of a run."""

import math
from bisect import bisect_right
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np

from robot.goal import GOAL_LAWS


@dataclass(frozen=True)
class CurriculumConfig:
    """Schedules over the control steps of the whole run, sessions before a resume included.

    Each is a list of points ``[control steps, value]``. Numbers change linearly from point to point; before the first
    and after the last they stay. Without points, a quantity stays as the task, the preset or the model has it. Values
    are a function of the control steps and of nothing else, so that a resumed run finds them again by itself.

    Raises:
        ValueError: if a point is none, a value is out of its range, or the control steps do not increase.
    """

    threshold: list[list[Any]] = field(default_factory=list)
    """Points [control steps, rad]: the rotation still to go below which a goal is reached, instead of
    ``task.goal.threshold``; ``[[0, 0.8], [10e6, 0.4]]``."""

    goal_law: list[list[Any]] = field(default_factory=list)
    """Points [control steps, law]: the law of the goals from there on, instead of ``task.goal.law``; the first point is
    at 0: ``[[0, parallel], [10e6, face_up]]``."""

    near: list[list[Any]] = field(default_factory=list)
    """Points [control steps, share of the goals that are near, 0 to 1], instead of ``task.goal.near``."""

    gravity: list[list[Any]] = field(default_factory=list)
    """Points [control steps, share of Earth's gravity, 0 to 1]."""

    randomization: list[list[Any]] = field(default_factory=list)
    """Points [control steps, share of the randomization]: from 0, calibrated physics and exact sensors, to 1, all of
    the preset. A preset with automatic domain randomization, which grows by itself, allows only 1."""

    mildest: list[list[Any]] = field(default_factory=list)
    """Points [control steps, share]: the share of the randomization in the world that has least of it; the shares of
    all worlds lie evenly between it and that of ``randomization``. Without points, all worlds have the same share."""

    def __post_init__(self) -> None:
        for name in self.scheduled:
            points = getattr(self, name)
            for point in points:
                _check(name, point)
            for (earlier, _), (later, _) in pairwise(points):
                if not earlier < later:
                    raise ValueError(f"curriculum {name} goes from control step {earlier} to {later}; it must increase")
        # both are linear between their points: what holds at the points holds between them
        for step in [point[0] for name in ("randomization", "mildest") for point in getattr(self, name)]:
            at = self.at(step)
            least, most = at.get("mildest", 0.0), at.get("randomization", 1.0)
            if least > most:
                raise ValueError(
                    f"curriculum mildest is {least:g} at control step {step}, above the share of the randomization, "
                    f"{most:g}"
                )
        if self.goal_law and self.goal_law[0][0] != 0:
            raise ValueError(f"curriculum goal_law begins at control step {self.goal_law[0][0]}; it must begin at 0")

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the quantities that have points."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))

    def at(self, control_steps: int) -> dict[str, Any]:
        """The value of every scheduled quantity at a number of control steps of the run."""
        return {name: self._value(name, control_steps) for name in self.scheduled}

    def metrics(self, control_steps: int) -> dict[str, float]:
        """The same, named for a log; the goal law by its place in ``GOAL_LAWS``."""
        return {
            f"curriculum/{name}": GOAL_LAWS.index(value) if isinstance(value, str) else value
            for name, value in self.at(control_steps).items()
        }

    def _value(self, name: str, control_steps: int) -> float | str:
        steps, values = zip(*getattr(self, name), strict=True)
        if name == "goal_law":
            return values[bisect_right(steps, control_steps) - 1]
        return float(np.interp(control_steps, steps, values))


def _check(name: str, point: list[Any]) -> None:
    """Refuses what is no point of the schedule ``name``."""
    if len(point) != 2 or not _number(point[0]) or point[0] < 0:
        raise ValueError(f"curriculum {name} has a point {point}; write [control steps, value], from 0 steps on")
    value = point[1]
    if name == "goal_law":
        valid, allowed = value in GOAL_LAWS, ", ".join(GOAL_LAWS)
    elif name == "threshold":
        valid, allowed = _number(value) and 0.0 < value < math.pi, "between 0 and pi"
    else:
        valid, allowed = _number(value) and 0.0 <= value <= 1.0, "0 to 1"
    if not valid:
        raise ValueError(f"curriculum {name} is {value} at control step {point[0]}; allowed: {allowed}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
