"""Exploration noise of off-policy learning."""

from typing import Any

import torch
from torch import Tensor


class HeldNoise:
    """Gaussian noise of n worlds, each of its own strength, held for a while.

    A world keeps what it drew for k control steps, k drawn with probability proportional to 1 / k² (FlashSAC): mostly
    for one, sometimes for as long as a finger needs to get somewhere.
    """

    def __init__(self, std: Tensor, actuators: int, longest: int, generator: torch.Generator) -> None:
        """``std`` [unit actions], (n,); ``longest`` time [control steps]."""
        self.std = std
        self.generator = generator
        self._weights = torch.arange(1, longest + 1, dtype=torch.float64).pow(-2.0)
        self._noise = torch.zeros(len(std), actuators)
        self._left = torch.zeros(len(std), dtype=torch.int64)

    def step(self) -> Tensor:
        """What is added to the actions of this control step [unit actions], (n, actuators)."""
        n = len(self.std)
        drawn = self.std.unsqueeze(1) * torch.randn(self._noise.shape, generator=self.generator)
        hold = 1 + torch.multinomial(self._weights, n, replacement=True, generator=self.generator)
        anew = self._left == 0
        self._noise = torch.where(anew.unsqueeze(1), drawn, self._noise)
        self._left = torch.where(anew, hold, self._left) - 1
        return self._noise

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        return {"noise": self._noise, "left": self._left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self._noise, self._left = state["noise"], state["left"]
