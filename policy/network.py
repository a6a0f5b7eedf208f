"""The LSTM actor and the separate LSTM critic (D18 D.1, Table 10 and Fig. 12).

A recurrent state is one tensor (2, n, width): the LSTM's hidden and cell states of n worlds, zero where an episode
starts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy.normalizer import Normalizer

BATCH_MULTIPLE = 32
"""Split sequences are padded to such a batch: oneDNN's bfloat16 LSTM is up to ten times slower at odd sizes."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the actor and of the critic; ``inhand/conf/network/`` names some.

    Raises:
        ValueError: if a size is not positive.
    """

    hidden: int = 256
    """Width of the fully connected ReLU layer (D18: 1024)."""

    lstm: int = 256
    """Width of the LSTM (D18: 512)."""

    memory: bool = True
    """The actor has an LSTM; without, a ReLU layer of the same width stands in its place (D18 Table 5)."""

    critic_memory: bool = True
    """The same for the critic."""

    def __post_init__(self) -> None:
        for name in ("hidden", "lstm"):
            if getattr(self, name) < 1:
                raise ValueError(f"network {name} is {getattr(self, name)}; it must be positive")


class Trunk(nn.Module):
    """Normalizer, ReLU layer, LSTM: observations in, features out."""

    def __init__(self, inputs: int, hidden: int, width: int, memory: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.normalizer = Normalizer(inputs)
        self.embed = nn.Linear(inputs, hidden)
        self.core = nn.LSTM(hidden, width) if memory else nn.Linear(hidden, width)
        self.state_width = width if memory else 0
        _initialize(self.embed, 2.0**0.5, generator)
        _initialize(self.core, 2.0**0.5, generator)

    def initial_state(self, n: int) -> Tensor:
        """The recurrent state of ``n`` worlds at the start of an episode, (2, n, width), width 0 without memory."""
        return torch.zeros(2, n, self.state_width, device=self.embed.weight.device)

    def step(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width) and the next state, of observations (n, inputs)."""
        features, state = self._run(observation.unsqueeze(0), state)
        return features.squeeze(0), state

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """Features (T, n, width): what T calls of ``step`` give, in one pass.

        A world whose episode starts within the sequence gets one more column of the batch, which begins there with a
        zero state; its old column runs on unused. So the LSTM sees whole sequences only and its fused kernels apply.

        Args:
            observation: (T, n, inputs).
            state: before the first step, (2, n, width).
            starts: (T, n) bool, true where an episode's first observation is.
        """
        steps, n = starts.shape
        state = state * ~starts[0].unsqueeze(-1)
        begin, world = starts[1:].nonzero().unbind(1)
        begin = begin + 1
        extra = len(begin)
        if extra == 0 or self.state_width == 0:
            return self._run(observation, state)[0]

        width = n + extra + -(n + extra) % BATCH_MULTIPLE
        time = torch.arange(steps, device=starts.device).unsqueeze(1)
        columns = torch.cat((observation, observation.new_zeros(steps, width - n, observation.shape[2])), dim=1)
        columns[:, n : n + extra] = observation[(begin + time).clamp(max=steps - 1), world]
        features, _ = self._run(columns, torch.cat((state, self.initial_state(width - n)), dim=1))

        # where each step of each world is found: in the column of its latest start, as many steps down as passed since
        column = torch.arange(n, device=starts.device).repeat(steps, 1)
        column[begin, world] = torch.arange(n, n + extra, device=starts.device)
        latest = torch.zeros_like(column)
        latest[begin, world] = begin
        latest = latest.cummax(dim=0).values
        row = (time - latest) * width + column.gather(0, latest)
        return features.flatten(0, 1).index_select(0, row.flatten()).unflatten(0, (steps, n))

    def _run(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        embedded = torch.relu(self.embed(self.normalizer(observation)))
        if isinstance(self.core, nn.LSTM):
            features, (hidden, cell) = self.core(embedded, (state[0:1], state[1:2]))
            return features, torch.cat((hidden, cell))
        return torch.relu(self.core(embedded)), state


class Actor(nn.Module):
    """Observations as the robot measures them in, logits of the classes of every actuator out."""

    def __init__(
        self, inputs: int, actuators: int, bins: int, config: NetworkConfig, generator: torch.Generator
    ) -> None:
        """Draws the weights from ``generator``, on the CPU."""
        super().__init__()
        if not bins:
            raise ValueError("continuous actions (action bins=0) have no network head yet; use 2 or more bins")
        self.actuators, self.bins = actuators, bins
        self.trunk = Trunk(inputs, config.hidden, config.lstm, config.memory, generator)
        self.head = nn.Linear(config.lstm, actuators * bins)
        # nearly equal logits: exploration starts uniform over the bins
        _initialize(self.head, 0.01, generator)

    def initial_state(self, n: int) -> Tensor:
        """See ``Trunk.initial_state``."""
        return self.trunk.initial_state(n)

    def step(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, bins, actuators) and the next state."""
        features, state = self.trunk.step(observation, state)
        return self._logits(features), state

    def sequence(self, observation: Tensor, state: Tensor, starts: Tensor) -> Tensor:
        """Logits (T, n, bins, actuators); arguments as of ``Trunk.sequence``."""
        return self._logits(self.trunk.sequence(observation, state, starts))

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(features).unflatten(-1, (self.bins, self.actuators))


class Critic(nn.Module):
    """Clean observations in, the expected return out; shares nothing with the actor."""

    def __init__(self, inputs: int, config: NetworkConfig, generator: torch.Generator) -> None:
        """Draws the weights from ``generator``, on the CPU."""
        super().__init__()
        self.trunk = Trunk(inputs, config.hidden, config.lstm, config.critic_memory, generator)
        self.head = nn.Linear(config.lstm, 1)
        self.normalizer = Normalizer(1, clip=float("inf"))
        _initialize(self.head, 1.0, generator)

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


def _initialize(layer: nn.Linear | nn.LSTM, gain: float, generator: torch.Generator) -> None:
    """Orthogonal weights and zero biases; an LSTM's forget gate starts open (Jozefowicz et al. 2015)."""
    for name, parameter in layer.named_parameters():
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        elif isinstance(layer, nn.LSTM):
            # the four gates' matrices stand one above the other
            for gate in parameter.data.chunk(4):
                nn.init.orthogonal_(gate, 1.0, generator)
        else:
            nn.init.orthogonal_(parameter, gain, generator)
        if name == "bias_ih_l0":
            width = parameter.shape[0] // 4
            parameter.data[width : 2 * width] = 1.0
