"""Small worlds with known answers, in plain torch."""

from typing import Any

import torch
from torch import Tensor

from robot.action import ActionContract
from robot.observation import ObservationContract
from sim.vector_env import Observation, Step

POLICY = ObservationContract(("object_pos",))
CRITIC = ObservationContract(("object_pos", "object_linvel"))


class OneAction(ActionContract):
    """Of a hand with a single actuator."""

    @property
    def size(self) -> int:
        return 1


class ToyEnv:
    """Push a point to the origin: three actuators move it, noise pushes it; it may leave or run out of time."""

    policy_contract = POLICY
    critic_contract = CRITIC
    action_contract: ActionContract = ActionContract()

    def __init__(self, n: int, seed: int = 0, time_limit: int = 7) -> None:
        self.num_envs = n
        self.time_limit = time_limit
        self.generator = torch.Generator().manual_seed(seed)
        self.pos = torch.zeros(n, 3)
        self.vel = torch.zeros(n, 3)
        self.time = torch.zeros(n, dtype=torch.int64)
        self.successes = torch.zeros(n, dtype=torch.int64)

    def reset(self) -> Observation:
        self._reset(torch.ones(self.num_envs, dtype=torch.bool))
        return self._observe()

    def step(self, action: Tensor) -> Step:
        noise = torch.randn(self.num_envs, 3, generator=self.generator)
        self.vel = 0.3 * action[:, :3] + 0.1 * noise
        self.pos = self.pos + self.vel
        self.time = self.time + 1
        distance = self.pos.norm(dim=1)
        self.successes = self.successes + (distance < 0.5)
        terminated = distance > 1.5
        truncated = ~terminated & (self.time >= self.time_limit)
        final, successes = self._observe().critic, self.successes.clone()
        self._reset(terminated | truncated)
        return Step(self._observe(), 1.5 - distance, terminated, truncated, final, successes)

    def _reset(self, which: Tensor) -> None:
        start = 0.6 * torch.randn(self.num_envs, 3, generator=self.generator)
        self.pos = torch.where(which.unsqueeze(1), start.clamp(-0.8, 0.8), self.pos)
        self.vel = torch.where(which.unsqueeze(1), torch.zeros_like(self.vel), self.vel)
        self.time = self.time * ~which
        self.successes = self.successes * ~which

    def _observe(self) -> Observation:
        return Observation(self.pos.clone(), torch.cat((self.pos, self.vel), dim=1))

    def metrics(self) -> dict[str, float]:
        return {"toy/time": self.time.double().mean().item(), "farthest": self.pos.norm(dim=1).max().item()}

    def state_dict(self) -> dict[str, Any]:
        names = ("pos", "vel", "time", "successes")
        return {name: getattr(self, name).clone() for name in names} | {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("pos", "vel", "time", "successes"):
            setattr(self, name, state[name].clone())
        self.generator.set_state(state["generator"])


class GaussianEnv(ToyEnv):
    """The same with continuous actions, clamped as the action path does."""

    action_contract: ActionContract = ActionContract(bins=0)

    def step(self, action: Tensor) -> Step:
        return super().step(action.clamp(-1.0, 1.0))


class CueEnv(ToyEnv):
    """A sign is shown in an episode's first observation only; the last action of the episode must repeat it.

    Episodes last 4 to 12 steps; the time left is seen, so that only the sign has to be remembered. What is seen at the
    last step is the same whatever the sign was, which is drawn evenly: without memory, every answer is right in one of
    two episodes.
    """

    action_contract: ActionContract = OneAction(bins=2)

    def _reset(self, which: Tensor) -> None:
        n = self.num_envs
        cue = 2.0 * torch.randint(2, (n,), generator=self.generator) - 1.0
        length = torch.randint(4, 13, (n,), generator=self.generator)
        self.vel[:, 0] = torch.where(which, cue, self.vel[:, 0])
        self.time = torch.where(which, length, self.time)
        self.pos = torch.stack((self.vel[:, 0] * which, self.time.float(), torch.zeros(n)), dim=1)

    def step(self, action: Tensor) -> Step:
        self.time = self.time - 1
        done = self.time == 0
        right = action[:, 0].sign() == self.vel[:, 0]
        reward = torch.where(done, 2.0 * right - 1.0, 0.0)
        final, successes = self._observe().critic, (done & right).long()
        self._reset(done)
        return Step(self._observe(), reward, done, torch.zeros_like(done), final, successes)


class CountdownEnv(ToyEnv):
    """Earns 1 a step, whatever is done, until the time is over; nothing shows how much of it has passed."""

    def step(self, action: Tensor) -> Step:
        self.time = self.time + 1
        done = self.time >= self.time_limit
        final = self._observe().critic
        self._reset(done)
        never = torch.zeros_like(done)
        return Step(self._observe(), torch.ones(self.num_envs), done, never, final, self.successes.clone())
