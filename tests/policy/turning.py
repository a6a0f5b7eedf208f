"""A block without physics: three of the twenty actuators turn it, about the axes of the base frame."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robot import rotation
from robot.action import ActionContract
from robot.goal import GoalConfig, GoalTracker
from robot.observation import ObservationContract
from sim.task import RewardConfig, TaskConfig
from sim.vector_env import Observation, Step

REACH = 0.3
"""A step turns the block by so much [rad] at most."""


class TurningEnv:
    """Goals follow one another until the time for one is over or ten are reached; now and then a block is lost."""

    policy_contract = ObservationContract(("object_lattice", "goal_rel_matrix"))
    critic_contract = ObservationContract(("object_pos", "object_quat", "goal_quat"))
    action_contract: ActionContract = ActionContract(bins=0)

    def __init__(self, n: int, seed: int = 0, lost: float = 0.0, diverging: float = 0.0) -> None:
        """``lost``: share of the blocks that are lost in a step; ``diverging``: of those whose world breaks down."""
        self.num_envs = n
        self.lost, self.diverging = lost, diverging
        goal, reward = GoalConfig(max_successes=10, time_limit=4.0), RewardConfig(drop=-5.0)
        self.task = TaskConfig(goal=goal, action=self.action_contract, reward=reward)
        self.generator = torch.Generator().manual_seed(seed)
        self.goals = GoalTracker(self.task.goal, n, self.generator, self.action_contract.period)
        self.quat = rotation.identity(n)

    def reset(self) -> Observation:
        self._reset(torch.arange(self.num_envs))
        return self._observe()

    def step(self, action: Tensor) -> Step:
        turn = REACH * action[:, :3] / action[:, :3].norm(dim=1, keepdim=True).clamp(min=1.0)
        self.quat = rotation.normalize(rotation.multiply(rotation.from_rotation_vector(turn), self.quat))
        goal = self.goals.step(self.quat)
        terminated = torch.rand(self.num_envs, generator=self.generator) < self.lost
        truncated = (goal.timed_out | goal.finished) & ~terminated
        reward = self.task.reward.of(goal.progress, goal.remaining, goal.reached, terminated)
        final, successes = self._observe().critic, self.goals.successes.clone()
        diverged = torch.rand(self.num_envs, generator=self.generator) < self.diverging
        final[diverged], terminated, truncated = torch.nan, terminated | diverged, truncated & ~diverged
        self._reset((terminated | truncated).nonzero().squeeze(-1))
        return Step(self._observe(), reward, terminated, truncated, final, successes)

    def _reset(self, ids: Tensor) -> None:
        self.quat[ids] = rotation.random_uniform(len(ids), self.generator)
        self.goals.reset(ids, self.quat[ids])

    def _observe(self) -> Observation:
        pos = torch.zeros(self.num_envs, 3)
        measurement = {"object_pos": pos, "object_quat": self.quat, "goal_quat": self.goals.quat}
        return Observation(self.policy_contract.vector(measurement), self.critic_contract.vector(measurement))

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        goals, generator = self.goals.state_dict(), self.generator.get_state()
        return {"quat": self.quat.clone(), "goals": goals, "generator": generator}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.quat = state["quat"].clone()
        self.goals.load_state_dict(state["goals"])
        self.generator.set_state(state["generator"])


def straight(env: TurningEnv) -> Tensor:
    """The best actions: about the axis of the rotation that is left, as far as a step goes."""
    left = rotation.to_rotation_vector(rotation.multiply(env.goals.quat, rotation.conjugate(env.quat)))
    action = torch.zeros(env.num_envs, env.action_contract.size)
    action[:, :3] = left / REACH
    return action


def steps_per_goal(env: TurningEnv, act: Callable[[Tensor], Tensor], steps: int) -> float:
    """How many control steps a goal takes, all worlds together; ``act`` sees the policy's observations."""
    observation, reached = env.reset(), 0
    successes = torch.zeros(env.num_envs, dtype=torch.int64)
    for _ in range(steps):
        step = env.step(act(observation.policy))
        reached += int((step.successes - successes).sum())
        successes = step.successes * ~step.done
        observation = step.observation
    return steps * env.num_envs / max(1, reached)
