"""The distribution of actions: an independent choice among bins for every actuator (D18 §4.2)."""

import torch
from torch import Tensor


class MultiCategorical:
    """A product of categorical distributions, one per actuator, for any batch.

    The bins stand before the actuators: a reduction over a middle axis is vectorized, over a short last one it is not
    (ten times slower on a CPU).
    """

    def __init__(self, logits: Tensor) -> None:
        """``logits``: (..., bins, actuators), not necessarily normalized."""
        self.log_probs = logits.float().log_softmax(dim=-2)

    def log_prob(self, bins: Tensor) -> Tensor:
        """Log-probability (...) of the choices ``bins``, (..., actuators) int64."""
        return self.log_probs.gather(-2, bins.unsqueeze(-2)).squeeze(-2).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Entropy [nat], (...), summed over the actuators."""
        return -(self.log_probs.exp() * self.log_probs).sum(dim=(-2, -1))

    def kl(self, other: "MultiCategorical") -> Tensor:
        """Kullback-Leibler divergence [nat] of ``other`` from this distribution, (...)."""
        return (self.log_probs.exp() * (self.log_probs - other.log_probs)).sum(dim=(-2, -1))

    def mode(self) -> Tensor:
        """The most probable choices, (..., actuators) int64."""
        return self.log_probs.argmax(dim=-2)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Random choices, (..., actuators) int64."""
        cumulative = self.log_probs.exp().cumsum(dim=-2)
        total = cumulative[..., -1:, :]
        # 1 - rand lies in (0, 1]: the first bin to reach it has a probability above zero
        uniform = 1.0 - torch.rand(total.shape, generator=generator, device=total.device)
        return (cumulative < uniform * total).sum(dim=-2)
