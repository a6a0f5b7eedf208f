"""The action contract: the only code that turns network outputs into actuator targets.

A network output is one of ``bins`` classes per actuator, or a continuous value; both mean a *unit action* in [-1, 1].
The path from there is: smooth, scale, add to the measured position (relative) or place in the range (absolute), clamp
to the range and to the speed at which the hand can follow.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from robot.checks import check_choice, check_numbers
from robot.hand import ACTUATOR_NAMES, CONTROL_PERIOD, NUM_ACTUATORS, actuator_range, actuator_speed

ACTION_MODES = ("relative", "absolute")

SMOOTHING_PERIOD = 0.08
"""The period [s] for which ``smoothing`` is given (D18 C.1)."""


@dataclass(frozen=True)
class ActionContract:
    """What a network output means.

    Raises:
        ValueError: if a value is out of its range.
    """

    mode: str = "relative"
    """``relative``: the target is the measured position plus the action (D18); ``absolute``: a place in the range."""

    bins: int = 11
    """Classes per actuator, at equal distances over [-1, 1] (D18 C.1); 0 for continuous actions."""

    scale: float = 2.0
    """Relative only: an action of ±1 asks for this many times what the actuator can move in one step, but for no more
    than half its range. Above 1 it can also press against what it touches."""

    smoothing: float = 0.3
    """Share of the *old* smoothed action that remains after 80 ms (an exponential moving average; D18 C.1 gives the
    coefficient, robogym's code its meaning)."""

    speed: float = 1.0
    """Largest speed of a target, as a share of the maker's limit for the actuator: the policy must not rely on what
    the robot's safety limiter would cut."""

    period: float = CONTROL_PERIOD
    """Seconds between two actions."""

    def __post_init__(self) -> None:
        check_choice("action mode", self.mode, ACTION_MODES)
        if self.bins < 2 and self.bins != 0:
            raise ValueError(f"action bins is {self.bins}; allowed: 2 or more, or 0 for continuous actions")
        check_numbers("action", self, "scale", "speed", "period", above=0.0)
        check_numbers("action", self, "smoothing", least=0.0, below=1.0)

    @property
    def keep(self) -> float:
        """Share of the smoothed action that is left of the last one after a control step."""
        return self.smoothing ** (self.period / SMOOTHING_PERIOD) if self.smoothing else 0.0

    @property
    def size(self) -> int:
        """Number of actuators."""
        return NUM_ACTUATORS

    def unit(self, action: Tensor) -> Tensor:
        """The unit actions that a policy's choices mean: class indices or, without ``bins``, unit actions already."""
        return self.from_bins(action) if self.bins else action

    def from_bins(self, bins: Tensor) -> Tensor:
        """Unit actions in [-1, 1], of class indices in [0, bins), same shape."""
        return bins.to(torch.float32) * (2.0 / (self.bins - 1)) - 1.0

    def describe(self) -> dict[str, object]:
        """The contract as plain data, for ``contract.json``."""
        lower, upper = actuator_range()
        return asdict(self) | {"actuators": list(ACTUATOR_NAMES), "lower": lower.tolist(), "upper": upper.tolist()}


class ActionPath:
    """Unit actions in, actuator targets out, for ``n`` hands; keeps each hand's smoothed action and last target."""

    def __init__(self, contract: ActionContract, n: int, device: torch.device | str = "cpu") -> None:
        self.contract = contract
        self.lower, self.upper = (limit.to(device) for limit in actuator_range())
        self.reach = contract.speed * contract.period * actuator_speed().to(device)
        """How far a target may move in one step [rad], (20,)."""
        self.stroke = torch.minimum(contract.scale * self.reach, self.half_range)
        """What an action of one asks for relative to the measured position [rad], (20,)."""
        self.smoothed = torch.zeros(n, NUM_ACTUATORS, device=device)
        self.target = torch.zeros(n, NUM_ACTUATORS, device=device)

    @property
    def half_range(self) -> Tensor:
        """Half of each actuator's range [rad], (20,)."""
        return 0.5 * (self.upper - self.lower)

    def reset(self, ids: Tensor, actuator_pos: Tensor) -> None:
        """Forgets the past of hands ``ids``, (m,), whose actuators stand at ``actuator_pos`` [rad], (m, 20)."""
        self.target[ids] = actuator_pos
        if self.contract.mode == "relative":
            self.smoothed.index_fill_(0, ids, 0.0)
        else:
            self.smoothed[ids] = self.to_unit(actuator_pos)

    def to_unit(self, actuator_pos: Tensor) -> Tensor:
        """Where a position [rad] lies in its range, as a unit action in [-1, 1]."""
        return ((actuator_pos - self.lower) / self.half_range - 1.0).clamp(-1.0, 1.0)

    def step(self, action: Tensor, actuator_pos: Tensor) -> Tensor:
        """Actuator targets [rad], (n, 20), for unit actions (n, 20) of hands measured at ``actuator_pos`` (n, 20)."""
        keep = self.contract.keep
        self.smoothed = keep * self.smoothed + (1.0 - keep) * action.clamp(-1.0, 1.0)
        if self.contract.mode == "relative":
            target = actuator_pos + self.stroke * self.smoothed
        else:
            target = self.lower + (self.smoothed + 1.0) * self.half_range
        target = target.clamp(self.target - self.reach, self.target + self.reach)
        self.target = target.clamp(self.lower, self.upper)
        return self.target

    def continue_from(self, target: Tensor) -> None:
        """The next targets start from ``target`` [rad], (n, 20): what the hand was told instead of the last one."""
        self.target = target

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here."""
        return {"smoothed": self.smoothed.clone(), "target": self.target.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self.smoothed = state["smoothed"].to(self.lower, copy=True)
        self.target = state["target"].to(self.lower, copy=True)
