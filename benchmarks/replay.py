"""Recorded steps of the environment, given again at no cost, so that learners are timed by themselves."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robot.action import ActionContract
from robot.observation import ObservationContract
from sim.env import ReorientEnv
from sim.vector_env import Observation, Step


@dataclass(frozen=True)
class Recording:
    """T control steps of n worlds: what was observed before each, (T, n, …), and what the step then gave, (T, n)."""

    policy: Tensor
    critic: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_critic: Tensor
    successes: Tensor

    @property
    def episode_steps(self) -> float:
        """Mean length of the episodes [control steps]."""
        return self.reward.numel() / max(int((self.terminated | self.truncated).sum()), 1)

    def with_fewer_ends(self, share: float, seed: int = 0) -> "Recording":
        """The same, but only this share of the episodes' ends is told: what a policy gives that lasts longer."""
        told = torch.rand(self.reward.shape, generator=torch.Generator().manual_seed(seed)) < share
        return replace(self, terminated=self.terminated & told, truncated=self.truncated & told)

    def save(self, path: Path) -> None:
        """Writes what other libraries learn from, as ``.npz``."""
        np.savez(path, **{name: value.numpy() for name, value in asdict(self).items()})


def record(env: ReorientEnv, warm_up: int, steps: int, seed: int = 0) -> Recording:
    """What ``steps`` control steps give under a policy that has learnt nothing, after ``warm_up`` more."""
    generator = torch.Generator().manual_seed(seed)
    action, observation = env.action_contract, env.reset()
    rows: list[dict[str, Tensor]] = []
    for t in range(warm_up + steps):
        before = {"policy": observation.policy.clone(), "critic": observation.critic.clone()}
        bins = torch.randint(action.bins, (env.num_envs, action.size), generator=generator)
        step = env.step(action.from_bins(bins))
        observation = step.observation
        if t >= warm_up:
            given = ("reward", "terminated", "truncated", "final_critic", "successes")
            rows.append(before | {name: getattr(step, name).clone() for name in given})
    return Recording(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})


class ReplayEnv:
    """Gives a recording again and again, whatever the actions; a ``VectorEnv``.

    From the last recorded step it goes on with the first, as if one followed from the other.
    """

    def __init__(self, recording: Recording, like: ReorientEnv) -> None:
        """``like``: the worlds that were recorded."""
        self.num_envs = like.num_envs
        self.policy_contract: ObservationContract = like.policy_contract
        self.critic_contract: ObservationContract = like.critic_contract
        self.action_contract: ActionContract = like.action_contract
        self.recording = recording
        self._t = 0

    def reset(self) -> Observation:
        """Begins the recording anew."""
        self._t = 0
        return self._observation()

    def step(self, action: Tensor) -> Step:
        """The next recorded step."""
        t, given = self._t, self.recording
        self._t = (t + 1) % len(given.reward)
        return Step(
            self._observation(),
            given.reward[t],
            given.terminated[t],
            given.truncated[t],
            given.final_critic[t],
            given.successes[t],
        )

    def _observation(self) -> Observation:
        return Observation(self.recording.policy[self._t], self.recording.critic[self._t])

    def metrics(self) -> dict[str, float]:
        """None."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Where in the recording it is."""
        return {"t": self._t}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self._t = state["t"]
