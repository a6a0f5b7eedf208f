"""The LSTM actor and the separate LSTM critic (D18 D.1, Table 10 and Fig. 12)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policy.distribution import Distribution, Gaussian, MultiCategorical
from policy.network_config import NetworkConfig
from policy.normalizer import Normalizer
from policy.trunk import Trunk, initialize


class Actor(nn.Module):
    """Observations as the robot measures them in, the parameters of a distribution of actions out.

    With ``bins`` these are the logits of the classes of every actuator; without, what makes a mean and a standard
    deviation. Both depend on the observation, so that a policy may be sure in one place and try in another, as it may
    with bins.
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        actuators: int,
        bins: int,
        config: NetworkConfig,
        generator: torch.Generator,
    ) -> None:
        """Draws the weights from ``generator``, on the CPU.

        Args:
            inputs: length of the observation, or of each of its fields, which an embedding has to know.
            actuators: how many act.
            bins: classes per actuator, 0 for continuous actions.
            config: sizes.
            generator: of the weights.

        Raises:
            ValueError: if continuous actions are to begin with a standard deviation not above its floor.
        """
        super().__init__()
        self.actuators, self.bins, self.min_sigma = actuators, bins, config.min_sigma
        self.trunk = Trunk(inputs, config, config.memory, generator)
        self.head = nn.Linear(config.lstm, self.output_shape[0] * actuators)
        # hardly a say of the observation: exploration starts the same everywhere
        initialize(self.head, 0.01, generator)
        self.head.bias.data.view(self.output_shape).copy_(self._first_output(config.action_std))

    @property
    def output_shape(self) -> tuple[int, int]:
        """Shape of the output for one observation: (bins, actuators), or (2, actuators) for continuous actions."""
        return self.bins or 2, self.actuators

    def initial_state(self, n: int) -> Tensor:
        """See ``Trunk.initial_state``."""
        return self.trunk.initial_state(n)

    def step(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Output (n, *output_shape) and the next state."""
        features, state = self.trunk.step(observation, state)
        return self._output(features), state

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """Output (T, n, *output_shape); arguments as of ``Trunk.sequence``."""
        return self._output(self.trunk.sequence(observation, state, starts))

    def distribution(self, output: Tensor) -> Distribution:
        """The distribution of actions that an output means; ``ActionContract.unit`` turns actions into unit actions."""
        if self.bins:
            return MultiCategorical.from_output(output)
        return Gaussian.from_output(output, self.min_sigma)

    def _first_output(self, std: float) -> Tensor:
        """The output of a distribution about zero with this standard deviation [unit actions], (k, 1)."""
        if self.bins:
            return (-0.5 * (torch.linspace(-1.0, 1.0, self.bins) / std).square()).unsqueeze(1)
        if std <= self.min_sigma:
            raise ValueError(
                f"network action_std is {std}; of continuous actions it must be above min_sigma, {self.min_sigma}"
            )
        above = torch.tensor(std - self.min_sigma)  # the floor is added to what softplus makes
        return torch.stack((torch.tensor(0.0), above.expm1().log())).unsqueeze(1)

    def _output(self, features: Tensor) -> Tensor:
        return self.head(features).unflatten(-1, self.output_shape)


class Critic(nn.Module):
    """Clean observations in, the expected return out; shares nothing with the actor."""

    def __init__(self, inputs: int | Sequence[int], config: NetworkConfig, generator: torch.Generator) -> None:
        """Draws the weights from ``generator``, on the CPU; ``inputs`` as of ``Actor``."""
        super().__init__()
        self.trunk = Trunk(inputs, config, config.critic_memory, generator)
        self.head = nn.Linear(config.lstm, 1)
        self.normalizer = Normalizer(1, clip=float("inf"))
        initialize(self.head, 1.0, generator)

    def initial_state(self, n: int) -> Tensor:
        """See ``Trunk.initial_state``."""
        return self.trunk.initial_state(n)

    def step(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n,) in units of reward, and the next state."""
        features, state = self.trunk.step(observation, state)
        return self.normalizer.inverse(self.head(features)).squeeze(-1), state

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """*Normalized* values (T, n); arguments as of ``Trunk.sequence``."""
        return self.head(self.trunk.sequence(observation, state, starts)).squeeze(-1)
