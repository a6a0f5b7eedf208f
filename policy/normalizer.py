"""Running normalization of network inputs and value targets."""

from typing import Any

import torch
from torch import Tensor, nn

from policy import parallel

EPSILON = 1e-8
"""Added to a variance, so that a quantity that never changed is not blown up without bound."""


class Normalizer(nn.Module):
    """Mean and variance of everything seen so far; turns values into standard deviations from the mean.

    Batches are merged in float64 by the parallel formula of Chan, Golub & LeVeque (1979). Only ``update`` changes the
    statistics: a network that merely runs is frozen.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 5.0) -> None:
        """``clip``: the largest deviation let through, in standard deviations (D18 D.1: 5)."""
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(size, dtype=torch.float64))
        # of every column, for a network may be given more of them (policy/growth.py)
        self.register_buffer("count", torch.zeros(size, dtype=torch.float64))
        self.register_load_state_dict_pre_hook(_count_columns)

    @property
    def std(self) -> Tensor:
        """Standard deviation, (size,) float32."""
        return (self.var + EPSILON).sqrt().float()

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Takes in ``values``, (..., size), and those of all other ranks."""
        n, mean, var = parallel.moments(values.reshape(-1, self.mean.shape[0]))
        total = self.count + n
        delta = mean - self.mean
        merged = (self.var * self.count + var * n + delta.square() * self.count * n / total) / total
        self.var.copy_(merged)
        self.mean.add_(delta * n / total)
        self.count.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """``values``, (..., size), as clipped deviations from the mean; unchanged but clipped before any update."""
        return ((values - self.mean.float()) / self.std).clamp(-self.clip, self.clip)

    def inverse(self, normalized: Tensor) -> Tensor:
        """The values of which ``normalized`` are the (unclipped) deviations."""
        return normalized * self.std + self.mean.float()


def _count_columns(normalizer: Normalizer, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Older files have one count for all columns."""
    key = prefix + "count"
    if key in state_dict:
        state_dict[key] = state_dict[key].expand(normalizer.count.shape)


def never_changed(var: Tensor, count: Tensor) -> Tensor:
    """Which columns had the same value in all that was seen, (size,) bool; none before anything was seen."""
    return (var < EPSILON**2) & (count > 0.0)  # not of zero: the mean of equal numbers is rounded
