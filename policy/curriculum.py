"""Curricula: how the difficulty of the worlds follows the control steps of a run."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from robot.goal import GOAL_LAWS

LIMITS = {"threshold": (0.0, math.pi), "gravity": (0.0, 1.0), "randomization": (0.0, 1.0)}


@dataclass(frozen=True)
class CurriculumConfig:
    """Schedules over the control steps of the whole run, sessions before a resume included.

    Each is a table from control steps to values. Numbers change linearly between two points of it; before the first and
    after the last they stay. What has an empty table stays as the task, the preset and the physics have it. Values are
    a function of the control steps and of nothing else, so that a resumed run finds them again by itself.

    Raises:
        ValueError: if a point lies before the first step, or a value is out of its range.
    """

    threshold: dict[int, float] = field(default_factory=dict)
    """Rotation to go [rad] below which a goal is reached, instead of ``task.goal.threshold``: ``{0: 0.8, 10_000_000:
    0.4}``."""

    goal_law: dict[int, str] = field(default_factory=dict)
    """Law of the goals from these control steps on, instead of ``task.goal.law``: ``{0: parallel, 5_000_000:
    face_up}``; it needs a law at 0."""

    gravity: dict[int, float] = field(default_factory=dict)
    """Share of Earth's gravity, 0 to 1."""

    randomization: dict[int, float] = field(default_factory=dict)
    """Share of the randomization, from 0, calibrated physics and exact sensors, to 1, all of the preset; not of one
    with automatic domain randomization, which grows by itself."""

    def __post_init__(self) -> None:
        for name in self.scheduled:
            for step, value in getattr(self, name).items():
                if step < 0:
                    raise ValueError(f"curriculum {name} has a point at control step {step}; the first is 0")
                if name == "goal_law":
                    if value not in GOAL_LAWS:
                        raise ValueError(f"curriculum goal_law is {value!r}; allowed: {', '.join(GOAL_LAWS)}")
                    continue
                low, high = LIMITS[name]
                if not low <= value <= high or (name == "threshold" and value in (low, high)):
                    span = "between 0 and pi" if name == "threshold" else f"{low:g} to {high:g}"
                    raise ValueError(f"curriculum {name} is {value} at control step {step}; allowed: {span}")
        if self.goal_law and 0 not in self.goal_law:
            raise ValueError(f"curriculum goal_law begins at control step {min(self.goal_law)}; it needs a law at 0")

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the quantities that have a schedule."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name))

    def at(self, control_steps: int) -> dict[str, Any]:
        """The value of every scheduled quantity after so many control steps of the run."""
        return {name: self._value(name, control_steps) for name in self.scheduled}

    def metrics(self, control_steps: int) -> dict[str, float]:
        """The same, named for a log; the goal law by its place in ``GOAL_LAWS``."""
        return {
            f"curriculum/{name}": GOAL_LAWS.index(value) if isinstance(value, str) else value
            for name, value in self.at(control_steps).items()
        }

    def _value(self, name: str, control_steps: int) -> float | str:
        if name == "goal_law":
            return self.goal_law[max(step for step in self.goal_law if step <= control_steps)]
        points = sorted(getattr(self, name).items())
        return float(np.interp(control_steps, [step for step, _ in points], [value for _, value in points]))
