"""What a learner sees of a batch of simulated worlds."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from robot.action import ActionContract
from robot.checks import check_numbers
from robot.observation import ObservationContract


@dataclass(frozen=True)
class Observation:
    """Network inputs of n worlds: ``policy`` (n, p) as the robot would measure them, ``critic`` (n, c) clean."""

    policy: Tensor
    critic: Tensor


@dataclass(frozen=True)
class Step:
    """What one control step did to n worlds. Worlds that ended have been reset already."""

    observation: Observation
    """After the step; of a world that ended, the first observation of its next episode."""
    reward: Tensor
    """(n,) float32."""
    terminated: Tensor
    """(n,) bool: the episode ended for good (the block was dropped); nothing can be earned after it."""
    truncated: Tensor
    """(n,) bool: the episode was cut (time limit, last goal); the value of ``final_critic`` stands for the rest."""
    final_critic: Tensor
    """(n, c): the critic's observation before any reset; NaN where the simulation diverged, and nobody knows it."""
    successes: Tensor
    """(n,) int64: goals reached in the episode so far, of a world that ended in the whole episode."""

    @property
    def done(self) -> Tensor:
        """(n,) bool: the episode ended, either way."""
        return self.terminated | self.truncated


@dataclass(frozen=True)
class Difficulty:
    """How hard the worlds are; by default, as the task, the preset and the physics have it.

    Raises:
        ValueError: if a share lies outside [0, 1].
    """

    threshold: float | None = None
    """Rotation to go [rad] below which a goal is reached; None for the task's own."""
    goal_law: str | None = None
    """Law of the goals; None for the task's own."""
    near: float | None = None
    """Share of the goals that are near; None for the task's own."""
    gravity: float = 1.0
    """Share of Earth's."""
    randomization: float = 1.0
    """Share of the randomization, from 0, calibrated physics and exact sensors, to 1, all of the preset."""
    mildest: float | None = None
    """Share of it in the world that has least; the shares of all worlds lie evenly between this one and
    ``randomization``. None: all have the same."""

    def __post_init__(self) -> None:
        check_numbers("difficulty", self, "gravity", "randomization", least=0.0, most=1.0)
        if self.mildest is not None and not 0.0 <= self.mildest <= self.randomization:
            raise ValueError(
                f"difficulty mildest is {self.mildest}; allowed: 0 to the share of the randomization, "
                f"{self.randomization}"
            )


@runtime_checkable
class Adjustable(Protocol):
    """Worlds that can be made easier or harder while they run."""

    def set_difficulty(self, difficulty: Difficulty) -> None:
        """Applies a difficulty to all worlds from now on; it is no part of ``state_dict``."""
        ...


class VectorEnv(Protocol):
    """n worlds stepped together; worlds that end are reset within the same step."""

    num_envs: int
    policy_contract: ObservationContract
    critic_contract: ObservationContract
    action_contract: ActionContract

    def reset(self) -> Observation:
        """Starts a new episode in every world."""
        ...

    def step(self, action: Tensor) -> Step:
        """Advances every world by one control period under unit actions (n, 20)."""
        ...

    def metrics(self) -> dict[str, float]:
        """Scalars worth logging, by name; a part before a slash groups them: ``adr/entropy``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, generators included."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        ...
