"""What a learner sees of a batch of simulated worlds."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from robot.action import ActionContract
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
    """(n, c): the critic's observation before any reset."""
    successes: Tensor
    """(n,) int64: goals reached in the episode so far, of a world that ended in the whole episode."""

    @property
    def done(self) -> Tensor:
        """(n,) bool: the episode ended, either way."""
        return self.terminated | self.truncated


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
