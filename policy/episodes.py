"""Statistics of the episodes that ended during training."""

from typing import Any

import torch
from torch import Tensor

from policy import parallel

WINDOW = 200
"""Least number of the latest episodes that means are over."""


class EpisodeStatistics:
    """Follows n worlds over roll-outs; means are over the latest episodes, as many roll-outs back as needed."""

    def __init__(self, n: int, device: torch.device | str = "cpu") -> None:
        self.reward = torch.zeros(n, device=device)
        """Earned in the running episode, (n,)."""
        self.steps = torch.zeros(n, device=device)
        """Control steps of the running episode, (n,)."""
        self.sums: list[Tensor] = []
        """Per roll-out: episodes ended and the sums of their successes, rewards and steps, (4,) float64."""

    def update(self, reward: Tensor, terminated: Tensor, truncated: Tensor, successes: Tensor) -> None:
        """Takes in a roll-out, fields as of ``policy.experience.Rollout``, (T, n), and those of all other ranks."""
        total = torch.zeros(4, dtype=torch.float64, device=self.reward.device)
        done = terminated | truncated
        for t in range(len(done)):
            self.reward += reward[t]
            self.steps += 1.0
            ended = torch.stack((torch.ones_like(self.reward), successes[t].float(), self.reward, self.steps))
            total += (ended * done[t]).sum(dim=1, dtype=torch.float64)
            self.reward *= ~done[t]
            self.steps *= ~done[t]
        self.sums.append(parallel.total(total).cpu())
        while sum(float(sums[0]) for sums in self.sums[1:]) >= WINDOW:
            self.sums.pop(0)

    def means(self) -> dict[str, float | None]:
        """Mean successes, reward and control steps of the latest episodes; None before the first has ended."""
        names = ("successes", "episode_reward", "episode_steps")
        episodes, *sums = sum(self.sums, torch.zeros(4, dtype=torch.float64)).tolist()
        return {name: value / episodes if episodes else None for name, value in zip(names, sums, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here."""
        return {"reward": self.reward, "steps": self.steps, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self.reward.copy_(state["reward"])
        self.steps.copy_(state["steps"])
        self.sums = list(state["sums"])
