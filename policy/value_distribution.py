"""Values as distributions over fixed atoms (C51, Bellemare et al. 2017)."""

import torch
from torch import Tensor


class ValueDistribution:
    """Distributions of returns over ``atoms`` values at equal distances in [lowest, highest]."""

    def __init__(self, lowest: float, highest: float, atoms: int, device: torch.device | str = "cpu") -> None:
        self.lowest, self.highest = lowest, highest
        self.atoms = torch.linspace(lowest, highest, atoms, device=device)
        self.spacing = (highest - lowest) / (atoms - 1)

    def mean(self, logits: Tensor) -> Tensor:
        """Expected returns, (...), of logits (..., atoms)."""
        return logits.float().softmax(dim=-1) @ self.atoms

    def project(self, probabilities: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """The distribution of ``reward + discount * return`` on the same atoms, (n, atoms).

        Each atom's probability goes to the two atoms between which its new value lies, the nearer the more; so the mean
        is kept, but for values beyond the ends, which go to the ends.

        Args:
            probabilities: of the returns, (n, atoms).
            reward: (n,).
            discount: (n,).
        """
        value = reward.unsqueeze(1) + discount.unsqueeze(1) * self.atoms
        position = (value.clamp(self.lowest, self.highest) - self.lowest) / self.spacing
        below = position.floor().clamp(max=len(self.atoms) - 2)
        upper = position - below
        index = below.long()
        projected = torch.zeros_like(probabilities)
        projected.scatter_add_(1, index, probabilities * (1.0 - upper))
        projected.scatter_add_(1, index + 1, probabilities * upper)
        return projected
