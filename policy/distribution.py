"""The distributions of actions: a choice among bins for every actuator (D18 §4.2), or a bounded Gaussian.

A distribution is told by its parameters, (..., k, actuators) for any batch (...): PPO keeps those of the old policy.
They stand before the actuators: a reduction over a middle axis is vectorized, over a short last one it is not (ten
times slower on a CPU). Whatever the network computes in, they are float32 at least.
"""

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import softplus

EDGE = 2.0**-24
"""Float32's distance from 1 to the next number below."""


class Distribution(ABC):
    """Independent distributions of the actuators' actions, one product of them per entry of the batch."""

    def __init__(self, parameters: Tensor) -> None:
        """``parameters``: (..., k, actuators), those of another distribution of the same kind."""
        self.parameters = parameters

    @abstractmethod
    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability (density) of the actions (..., actuators), (...)."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Entropy [nat], (...), summed over the actuators."""

    @abstractmethod
    def kl(self, other: "Distribution") -> Tensor:
        """Kullback-Leibler divergence [nat] of ``other``, of the same kind, from this distribution, (...)."""

    @abstractmethod
    def cross_entropy(self, unit: Tensor) -> Tensor:
        """Of unit actions (..., actuators) that another policy took, (...) [nat]; least for one that does the same."""

    @abstractmethod
    def mode(self) -> Tensor:
        """The most probable actions, (..., actuators)."""

    @abstractmethod
    def quantile(self, uniform: Tensor) -> Tensor:
        """The actions below which the share ``uniform`` (..., actuators), in (0, 1), of each distribution lies."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Random actions, (..., actuators)."""
        like = self.parameters[..., 0, :]
        return self.quantile(torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype))


class MultiCategorical(Distribution):
    """A product of categorical distributions; actions are classes (int64), parameters their log-probabilities."""

    @classmethod
    def from_output(cls, logits: Tensor) -> Self:
        """Of a network's output, (..., bins, actuators), not necessarily normalized."""
        return cls(_wide(logits).log_softmax(dim=-2))

    def log_prob(self, action: Tensor) -> Tensor:
        """See ``Distribution``."""
        return self.parameters.gather(-2, action.unsqueeze(-2)).squeeze(-2).sum(dim=-1)

    def entropy(self) -> Tensor:
        """See ``Distribution``."""
        return -(self.parameters.exp() * self.parameters).sum(dim=(-2, -1))

    def kl(self, other: Distribution) -> Tensor:
        """See ``Distribution``."""
        return (self.parameters.exp() * (self.parameters - other.parameters)).sum(dim=(-2, -1))

    def cross_entropy(self, unit: Tensor) -> Tensor:
        """See ``Distribution``; an action between two classes is shared out between them, so that its mean is kept."""
        classes = self.parameters.shape[-2]
        position = (unit.clamp(-1.0, 1.0) + 1.0) * (0.5 * (classes - 1))
        below = position.floor().clamp(max=classes - 2)
        upper = position - below
        index = below.long().unsqueeze(-2)
        lower_log, upper_log = (self.parameters.gather(-2, at).squeeze(-2) for at in (index, index + 1))
        return -((1.0 - upper) * lower_log + upper * upper_log).sum(dim=-1)

    def mode(self) -> Tensor:
        """See ``Distribution``."""
        return self.parameters.argmax(dim=-2)

    def quantile(self, uniform: Tensor) -> Tensor:
        """See ``Distribution``."""
        cumulative = self.parameters.exp().cumsum(dim=-2)
        # the first bin to reach a share above zero has a probability above zero
        share = uniform.unsqueeze(-2).clamp(min=EDGE) * cumulative[..., -1:, :]
        return (cumulative < share).sum(dim=-2)


class Gaussian(Distribution):
    """A product of normal distributions whose means lie in [-1, 1]; parameters are mean and standard deviation.

    Samples may lie outside: the action path clamps them, and the density is that of the sample as it was drawn.
    """

    @classmethod
    def from_output(cls, output: Tensor, min_sigma: float) -> Self:
        """Of a network's output, (..., 2, actuators).

        The floor is added, not a clamp: a sigma that came down to a clamp would get no gradient to rise again.
        """
        mean, sigma = _wide(output).unbind(dim=-2)
        return cls(torch.stack((mean.tanh(), min_sigma + softplus(sigma)), dim=-2))

    @property
    def mean(self) -> Tensor:
        """(..., actuators)."""
        return self.parameters[..., 0, :]

    @property
    def sigma(self) -> Tensor:
        """Standard deviation, (..., actuators)."""
        return self.parameters[..., 1, :]

    def log_prob(self, action: Tensor) -> Tensor:
        """See ``Distribution``."""
        deviation = (action - self.mean) / self.sigma
        return -(0.5 * deviation.square() + self.sigma.log() + 0.5 * math.log(2.0 * math.pi)).sum(dim=-1)

    def entropy(self) -> Tensor:
        """See ``Distribution``."""
        return (self.sigma.log() + 0.5 * math.log(2.0 * math.pi * math.e)).sum(dim=-1)

    def kl(self, other: Distribution) -> Tensor:
        """See ``Distribution``."""
        mean, sigma = other.parameters.unbind(dim=-2)
        ratio = self.sigma / sigma
        deviation = (self.mean - mean) / sigma
        return (0.5 * (ratio.square() + deviation.square() - 1.0) - ratio.log()).sum(dim=-1)

    def cross_entropy(self, unit: Tensor) -> Tensor:
        """See ``Distribution``."""
        return -self.log_prob(unit)

    def mode(self) -> Tensor:
        """See ``Distribution``."""
        return self.mean

    def quantile(self, uniform: Tensor) -> Tensor:
        """See ``Distribution``; shares that rounding has brought to 0 or 1 give a finite action, five sigma away."""
        return self.mean + self.sigma * torch.special.ndtri(uniform.clamp(EDGE, 1.0 - EDGE))


def _wide(output: Tensor) -> Tensor:
    return output.to(torch.promote_types(output.dtype, torch.float32))
