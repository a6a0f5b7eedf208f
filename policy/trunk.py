"""What actor and critic are built of: normalizer, embedding and LSTM, step by step or over whole sequences.

A recurrent state is one tensor (2, n, width): the LSTM's hidden and cell states of n worlds, zero where an episode
starts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policy.network_config import NetworkConfig
from policy.normalizer import Normalizer

BATCH_MULTIPLE = 32
"""Split sequences are padded to such a batch: oneDNN's bfloat16 LSTM is up to ten times slower at odd sizes."""

CELL_BATCH = 64
"""Up to this many worlds a single step is plain matrix products: oneDNN's LSTM first brings all weights into another
order, which takes it eight times as long as the step of one world."""


class Trunk(nn.Module):
    """Normalizer, ReLU layer, LSTM: observations in, features out; with ``embedding``, embed-and-add before (R19)."""

    def __init__(
        self, inputs: int | Sequence[int], config: NetworkConfig, memory: bool, generator: torch.Generator
    ) -> None:
        """Draws the weights from ``generator``.

        Args:
            inputs: length of the observation, or of each of its fields, which an embedding has to know.
            config: sizes.
            memory: there is an LSTM; without, a ReLU layer stands in its place.
            generator: on the CPU.

        Raises:
            ValueError: if fields are to be embedded and only their total length is given.
        """
        super().__init__()
        if isinstance(inputs, int) and config.embedding:
            raise ValueError(f"network embedding is {config.embedding}; it needs the size of every observation field")
        sizes = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        self.normalizer = Normalizer(sum(sizes))
        self.fields = FieldEmbedding(sizes, config.embedding, generator) if config.embedding else nn.Identity()
        self.embed = nn.Linear(config.embedding or sum(sizes), config.hidden)
        self.core = nn.LSTM(config.hidden, config.lstm) if memory else nn.Linear(config.hidden, config.lstm)
        self.state_width = config.lstm if memory else 0
        initialize(self.embed, 2.0**0.5, generator)
        initialize(self.core, 2.0**0.5, generator)

    def initial_state(self, n: int) -> Tensor:
        """The recurrent state of ``n`` worlds at the start of an episode, (2, n, width), width 0 without memory."""
        return torch.zeros(2, n, self.state_width, device=self.embed.weight.device)

    def step(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width) and the next state, of observations (n, inputs)."""
        # an export keeps the LSTM as one operator, whatever the number of worlds
        whole = torch.compiler.is_exporting() or len(observation) > CELL_BATCH
        if whole or not isinstance(self.core, nn.LSTM):
            features, state = self._run(observation.unsqueeze(0), state)
            return features.squeeze(0), state
        hidden, cell = torch.lstm_cell(self._embed(observation), state.unbind(), *self.core.all_weights[0])
        return hidden, torch.stack((hidden, cell))

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
        features, _ = self._run(columns, torch.cat((state, state.new_zeros(2, width - n, self.state_width)), dim=1))

        # where each step of each world is found: in the column of its latest start, as many steps down as passed since
        column = torch.arange(n, device=starts.device).repeat(steps, 1)
        column[begin, world] = torch.arange(n, n + extra, device=starts.device)
        latest = torch.zeros_like(column)
        latest[begin, world] = begin
        latest = latest.cummax(dim=0).values
        row = (time - latest) * width + column.gather(0, latest)
        return features.flatten(0, 1).index_select(0, row.flatten()).unflatten(0, (steps, n))

    def _embed(self, observation: Tensor) -> Tensor:
        return torch.relu(self.embed(self.fields(self.normalizer(observation))))

    def _run(self, observation: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self._embed(observation)
        if isinstance(self.core, nn.LSTM):
            features, (hidden, cell) = self.core(embedded, (state[0:1], state[1:2]))
            return features, torch.cat((hidden, cell))
        return torch.relu(self.core(embedded)), state


class FieldEmbedding(nn.Module):
    """Embed and add (R19 §6.2): a linear layer and a layer norm for every observation field, their sum, ReLU.

    The layer norms are inferred from the number of parameters that R19 Table 13 gives. R19 shares the embedding between
    policy and value; here each has its own, for they share nothing and see other fields.
    """

    def __init__(self, sizes: Sequence[int], width: int, generator: torch.Generator) -> None:
        """``sizes``: scalars of every field; ``width``: of the sum."""
        super().__init__()
        self.sizes = tuple(sizes)
        self.layers = nn.ModuleList()
        for size in self.sizes:
            linear = nn.Linear(size, width)
            _initialize_embedding(linear, generator)
            self.layers.append(nn.Sequential(linear, nn.LayerNorm(width)))

    def forward(self, observation: Tensor) -> Tensor:
        """The sum (..., width) for observations (..., sum of the sizes)."""
        parts = observation.split(self.sizes, dim=-1)
        embedded = [layer(part) for layer, part in zip(self.layers, parts, strict=True)]
        return torch.relu(torch.stack(embedded).sum(dim=0))


def initialize(layer: nn.Linear | nn.LSTM, gain: float, generator: torch.Generator) -> None:
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


def _initialize_embedding(layer: nn.Linear, generator: torch.Generator) -> None:
    """The bias is one more column of an orthogonal matrix: without, the layer norm would hide how large a field is."""
    matrix = torch.empty(layer.out_features, layer.in_features + 1)
    nn.init.orthogonal_(matrix, 1.0, generator)
    layer.weight.data.copy_(matrix[:, :-1])
    layer.bias.data.copy_(matrix[:, -1])
