"""The task for Gymnasium, which asks how an episode ended when the next one has begun."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sim.env import ReorientEnv
from sim.puppet import Moment
from sim.vector_env import Observation


@dataclass(frozen=True)
class Ending:
    """How all worlds were when the episode of some ended, before these started anew."""

    observation: Observation
    goal_distance: Tensor
    """(n,) [rad]."""
    moment: Moment
    """What could be seen of the first world that ended."""


class Worlds(ReorientEnv):
    """The task, keeping how the last episodes ended."""

    ending: Ending

    def __init__(self, *arguments: Any, last_noise: np.random.Generator) -> None:
        """Takes what ``ReorientEnv`` takes.

        ``last_noise`` seeds the noise of an episode's last observation, which nobody else asks for: the worlds go on as
        if it had not been drawn.
        """
        super().__init__(*arguments)
        self.last_noise = last_noise

    def critic(self) -> Tensor:
        """The critic's observation now, (n, c)."""
        return self._critic()

    def moment(self, world: int) -> Moment:
        """What can be seen of a world now."""
        return Moment.of(self.measurement, self.goals.quat, world)

    def _reset(self, ids: Tensor) -> None:
        self.ending = Ending(self._last_observation(), self.goals.distance.clone(), self.moment(int(ids[0])))
        super()._reset(ids)

    def _last_observation(self) -> Observation:
        """What the sensors read now, with noise of its own; sensors and generator stay as they are."""
        sensing, generator = self.sensing.state_dict(), self.generator.get_state()
        self.generator.manual_seed(int(self.last_noise.integers(2**63)))
        observation = self._observe()
        self.sensing.load_state_dict(sensing)
        self.generator.set_state(generator)
        return observation
