"""Gymnasium's CartPole-v1 with hidden velocities: what is seen of the policy is where the cart and the pole are."""

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from robot.action import ActionContract
from sim.vector_env import Observation, Step
from tests.policy.toy import CRITIC, POLICY, OneAction

TASK = "CartPole-v1"


class HiddenCartPole:
    """The cart's position and the pole's angle for the actor, both velocities beside for the critic.

    They travel under the names of fields of the block that have so many numbers; the last of each three is zero.
    """

    policy_contract = POLICY
    critic_contract = CRITIC
    action_contract: ActionContract = OneAction(bins=2)

    def __init__(self, n: int, seed: int) -> None:
        self.num_envs = n
        self.seed = seed
        # resets in the step that ends an episode, and tells what was seen before
        self.worlds = gymnasium.make_vec(
            TASK,
            num_envs=n,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP},
        )

    def reset(self) -> Observation:
        seen, _ = self.worlds.reset(seed=self.seed)
        return _observation(seen)

    def step(self, action: Tensor) -> Step:
        push = (action.squeeze(1) > 0.0).long().numpy()
        seen, reward, terminated, truncated, info = self.worlds.step(push)
        final = seen.copy()
        for world in (terminated | truncated).nonzero()[0]:
            final[world] = info["final_obs"][world]
        return Step(
            _observation(seen),
            torch.from_numpy(reward).float(),
            torch.from_numpy(terminated.copy()),
            torch.from_numpy(truncated & ~terminated),
            _observation(final).critic,
            torch.zeros(self.num_envs, dtype=torch.int64),
        )

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}  # these runs are not resumed

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError


def _observation(seen: np.ndarray) -> Observation:
    cart, cart_speed, angle, angular_speed = torch.from_numpy(seen.copy()).unbind(1)
    zero = torch.zeros_like(cart)
    place = torch.stack((cart, angle, zero), dim=1)
    return Observation(place, torch.cat((place, torch.stack((cart_speed, angular_speed, zero), dim=1)), dim=1))
