"""Exploration of off-policy learning."""

from typing import Any

import torch
from torch import Tensor


class Exploration:
    """Adds noise to the unit actions of n worlds, to each with a strength of its own, and holds it for a few steps.

    Gaussian noise is added, and some actuators do something else altogether, drawn evenly from [-1, 1]: noise about an
    action at its limit would change little. A world keeps what it drew for k control steps, k drawn with probability
    proportional to 1 / k² (FlashSAC): mostly for one, sometimes for as long as a finger needs to get somewhere.
    """

    def __init__(
        self, strength: Tensor, std: float, random: float, actuators: int, longest: int, generator: torch.Generator
    ) -> None:
        """Begins with a first draw.

        Args:
            strength: of each world's exploration, 0 to 1, (n,).
            std: standard deviation of the noise where the strength is 1 [unit actions].
            random: share of the actuators that do something else, where the strength is 1.
            actuators: how many a world has.
            longest: time for which a draw is kept [control steps].
            generator: of all draws, on the CPU.
        """
        n = len(strength)
        self.strength = strength.unsqueeze(1)
        self.std, self.random = std, random
        self.generator = generator
        self._weights = torch.arange(1, longest + 1, dtype=torch.float64).pow(-2.0)
        self._noise, self._other = torch.zeros(n, actuators), torch.zeros(n, actuators)
        self._replaced = torch.zeros(n, actuators, dtype=torch.bool)
        self._left = torch.zeros(n, dtype=torch.int64)

    def disturb(self, action: Tensor) -> Tensor:
        """The unit actions (n, actuators) of this control step, disturbed."""
        shape = self._noise.shape
        noise = self.strength * self.std * torch.randn(shape, generator=self.generator)
        replaced = torch.rand(shape, generator=self.generator) < self.strength * self.random
        other = 2.0 * torch.rand(shape, generator=self.generator) - 1.0
        hold = 1 + torch.multinomial(self._weights, len(self._left), replacement=True, generator=self.generator)
        anew = self._left == 0
        rows = anew.unsqueeze(1)
        self._noise = torch.where(rows, noise, self._noise)
        self._replaced = torch.where(rows, replaced, self._replaced)
        self._other = torch.where(rows, other, self._other)
        self._left = torch.where(anew, hold, self._left) - 1
        device = action.device
        noisy = (action + self._noise.to(device)).clamp(-1.0, 1.0)
        return torch.where(self._replaced.to(device), self._other.to(device), noisy)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        return {"noise": self._noise, "other": self._other, "replaced": self._replaced, "left": self._left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self._noise, self._other = state["noise"], state["other"]
        self._replaced, self._left = state["replaced"], state["left"]
