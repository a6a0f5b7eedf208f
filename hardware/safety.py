"""The last word before the hand: no target passes that is not finite, in range and near enough to the one before.

It begins at the target that the hand has, which may lie out of range by ``RANGE_SLACK``, and leads back from there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robot.checks import check_numbers
from robot.hand import ACTUATORS, actuator_range, actuator_speed

RANGE_SLACK = 0.1
"""How far a hand's target may lie out of range at a start [rad]: it may hold the pose at which a stop is worn."""


def out_of_range(target: Tensor) -> str:
    """The actuators whose target (20,) [rad] lies out of range by more than ``RANGE_SLACK``; empty if none does."""
    lower, upper = actuator_range()
    beyond = torch.maximum(lower - target, target - upper) > RANGE_SLACK
    return ", ".join(
        f"{each.name} {value:.2f} rad, allowed: {each.lower:.2f} to {each.upper:.2f}"
        for each, value, out in zip(ACTUATORS, target.tolist(), beyond.tolist(), strict=True)
        if out
    )


@dataclass(frozen=True)
class SafetyConfig:
    """How fast targets may move.

    Raises:
        ValueError: if a value is not positive.
    """

    speed: float = 1.0
    """Fastest target, as a share of the maker's limit for the actuator (``robot.hand``)."""
    ramp: float = 1.0
    """Seconds over which the rates grow from zero after a start."""

    def __post_init__(self) -> None:
        check_numbers("safety", self, "speed", "ramp", above=0.0)


@dataclass(frozen=True)
class Applied:
    """What the limiter let pass."""

    target: Tensor
    """(20,) [rad]."""
    clamped: dict[str, str]
    """Actuators whose target was changed: ``not finite``, ``range`` or ``rate``."""


class Limiter:
    """Limits the targets of one hand."""

    def __init__(self, config: SafetyConfig, period: float) -> None:
        """``period``: seconds between two targets."""
        self._config = config
        self._period = period
        self._lower, self._upper = actuator_range()
        self.rate = config.speed * actuator_speed()
        """Largest speed of each actuator's target [rad/s], (20,)."""
        self._last: Tensor | None = None
        self._steps = 0

    def start(self, in_force: Tensor) -> None:
        """Begins a ramp at the targets that the hand has (20,) [rad], in range but for ``RANGE_SLACK``."""
        self._last = in_force.clone()
        self._steps = 0

    def apply(self, target: Tensor) -> Applied:
        """The target nearest to ``target`` (20,) [rad] that is allowed, and what was changed.

        Raises:
            RuntimeError: if ``start`` was not called.
        """
        if self._last is None:
            raise RuntimeError("the limiter does not know where the hand is; call start first")
        self._steps += 1
        ramp = min(1.0, self._steps * self._period / self._config.ramp)
        reach = self.rate * self._period * ramp
        finite = torch.isfinite(target)
        wanted = torch.where(finite, target, self._last)
        ranged = wanted.clamp(self._lower, self._upper)
        # a start may lie a little outside of the range: the way back in is limited in speed as well
        safe = ranged.clamp(self._last - reach, self._last + reach)
        self._last = safe
        clamped = {}
        for i, actuator in enumerate(ACTUATORS):
            if not finite[i]:
                clamped[actuator.name] = "not finite"
            elif ranged[i] != wanted[i]:
                clamped[actuator.name] = "range"
            elif safe[i] != ranged[i]:
                clamped[actuator.name] = "rate"
        return Applied(safe, clamped)

    def describe(self) -> str:
        """The limits in force, one line per actuator."""
        lines = [f"{'actuator':<12}{'range [rad]':>18}{'rate [rad/s]':>14}"]
        for actuator, rate in zip(ACTUATORS, self.rate.tolist(), strict=True):
            lines.append(f"{actuator.name:<12}{actuator.lower:>9.3f}{actuator.upper:>9.3f}{rate:>14.2f}")
        return "\n".join(lines)
