"""The last word before the hand: no target passes that is not finite, in range and near enough to the one before."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robot.hand import ACTUATORS, actuator_range, actuator_speed


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
        for name in ("speed", "ramp"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"safety {name} is {getattr(self, name)}; it must be positive")


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

    def start(self, measured: Tensor) -> None:
        """Begins a ramp at the measured actuator positions (20,) [rad]."""
        self._last = measured.clone()
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
        # the measured start may lie outside of the range: the way back in is limited in speed as well
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
