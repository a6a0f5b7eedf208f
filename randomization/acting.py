"""The noise of acting: what the robot makes of a unit action (D18 Table 8)."""

import torch
from torch import Tensor

from randomization.config import ActionTerm
from robot.hand import NUM_ACTUATORS

ACTION_RANGE = 2.0
"""Unit actions reach from -1 to 1; D18's percentages are shares of this range."""


class ActionNoise:
    """Turns the unit actions of ``n`` worlds into those that are carried out."""

    def __init__(self, term: ActionTerm, n: int, generator: torch.Generator) -> None:
        self.term = term
        self.generator = generator
        self.offset = torch.zeros(n, NUM_ACTUATORS, device=generator.device)
        self.gain = torch.ones(n, NUM_ACTUATORS, device=generator.device)

    def reset(self, ids: Tensor) -> None:
        """Draws the offsets and gains of a new episode for worlds ``ids``, (m,)."""
        m = len(ids)
        self.offset[ids] = ACTION_RANGE * self.term.correlated * self._normal(m)
        self.gain[ids] = 1.0 + ACTION_RANGE * self.term.multiplicative * self._normal(m)

    def apply(self, action: Tensor) -> Tensor:
        """The action carried out, (n, 20); it may lie outside [-1, 1] (the action path clamps)."""
        noisy = self.gain * action + self.offset
        if self.term.additive:
            noisy = noisy + ACTION_RANGE * self.term.additive * self._normal(len(action))
        return noisy

    def _normal(self, n: int) -> Tensor:
        return torch.randn(n, NUM_ACTUATORS, generator=self.generator, device=self.generator.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        return {"offset": self.offset.clone(), "gain": self.gain.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self.offset.copy_(state["offset"])
        self.gain.copy_(state["gain"])
