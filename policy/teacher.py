"""A run of the teacher: a policy that sees the clean state, learnt off-policy from a replay buffer, with hindsight."""

import time
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from policy import parallel
from policy.artefact import Artefact
from policy.checkpoint import CheckpointError
from policy.episodes import EpisodeStatistics
from policy.exploration import Exploration
from policy.hindsight import draw_transitions
from policy.network import Actor
from policy.progress import Row
from policy.replay import TERMINATED, TRUNCATED, Replay
from policy.run import Run, adjust, require_same
from policy.td3 import TD3
from policy.train_config import TrainConfig
from sim.task import TaskConfig
from sim.vector_env import VectorEnv

GREEDY_SHARE = 0.125
"""Of the worlds: they act without exploration, and show what the policy can do."""
NEEDED = ("object_quat", "goal_quat")
"""Fields without which no goal can be changed in hindsight."""


@runtime_checkable
class _HasTask(Protocol):
    task: TaskConfig


class TeacherRun(Run):
    """Acts with noise, remembers, and learns from what is remembered after every control step."""

    def __init__(self, config: TrainConfig, env: VectorEnv, replay: Path) -> None:
        """``replay`` is the directory of this rank's replay buffer.

        Raises:
            ValueError: if the worlds, their observations or actions are not fit for a teacher.
        """
        super().__init__(config, env)
        self.task = _checked(config, env)
        self.contract = env.critic_contract
        weights = torch.Generator().manual_seed(config.seed)
        self.actor = Actor(env.policy_contract.sizes, env.action_contract.size, 0, config.network, weights)
        adjust(env, config.curriculum, control_steps=0)
        self.observation = env.reset().critic
        device = self.observation.device
        self.actor.to(device)
        self.learner = TD3(self.actor, config.teacher, weights)
        self.generator = torch.Generator().manual_seed(parallel.seed(config.seed + 1))
        n = config.num_envs
        teacher = config.teacher
        sizes = {"measured": self.contract.size, "action": env.action_contract.size, "next_quat": 4}
        self.replay = Replay(replay, sizes, teacher.replay // n, teacher.guard // n, n)
        self.greedy = torch.arange(n) >= n - round(GREEDY_SHARE * n)
        strength = torch.linspace(1.0, 0.0, n) * ~self.greedy
        self.exploration = Exploration(
            strength, teacher.noise, teacher.random, env.action_contract.size, teacher.hold, self.generator
        )
        self.start = torch.zeros(n, dtype=torch.int64)
        self.episodes = EpisodeStatistics(n)
        self.greedy_episodes = EpisodeStatistics(int(self.greedy.sum()))
        self._saved_time = 0

    def update(self) -> Row:
        """See ``Run``."""
        began = time.perf_counter()
        curriculum = adjust(self.env, self.config.curriculum, self.control_steps)
        acting, metrics = 0.0, {}
        steps: list[tuple[Tensor, ...]] = []
        for _ in range(self.config.horizon):
            before = time.perf_counter()
            steps.append(self._act())
            acting += time.perf_counter() - before
            if self._knows_enough():
                for _ in range(self.config.teacher.updates_per_step):
                    metrics |= self._learn()
        outcome = [torch.stack(part) for part in zip(*steps, strict=True)]
        self.episodes.update(*outcome)
        self.greedy_episodes.update(*(part[:, self.greedy] for part in outcome))
        self.updates += 1
        self.control_steps += self.config.horizon * self.config.num_envs * parallel.size()
        return {
            **self.counters(),
            "rollout_seconds": acting,
            "update_seconds": time.perf_counter() - began - acting,
            **self.episodes.means(),
            "greedy_successes": self.successes(),
            **self.env.metrics(),
            **curriculum,
            **{name: parallel.mean(value.float()).item() for name, value in metrics.items()},
        }

    def _knows_enough(self) -> bool:
        teacher, replay = self.config.teacher, self.replay
        return replay.time * replay.n > teacher.warmup and replay.time - replay.oldest > teacher.n_step

    @torch.no_grad()
    def _act(self) -> tuple[Tensor, ...]:
        """One control step of every world, remembered; its reward, ends and successes."""
        seen = self._inputs(self.contract.split(self.observation))
        self.actor.trunk.normalizer.update(seen)
        action = self.exploration.disturb(self.learner.act(seen))
        step = self.env.step(action)
        # what the simulation lost is as if cut off before: nothing is learnt from a step that leads nowhere
        lost = ~step.final_critic.isfinite().all(1)
        end = torch.where(step.truncated | lost, TRUNCATED, torch.where(step.terminated, TERMINATED, 0))
        quat = self.contract.split(step.final_critic)["object_quat"].nan_to_num()
        kept = {"measured": self.observation, "action": action, "next_quat": quat}
        self.replay.add({name: value.cpu() for name, value in kept.items()}, self.start, end.cpu())
        self.start = torch.where(step.done.cpu(), self.replay.time, self.start)
        self.observation = step.observation.critic
        if not bool(self.observation.isfinite().all()):
            raise FloatingPointError("the simulation returned an observation that is not finite")
        return step.reward.cpu(), step.terminated.cpu(), step.truncated.cpu(), step.successes.cpu()

    def _learn(self) -> dict[str, Tensor]:
        goal = self.task.goal
        at = self.config.curriculum.at(self.control_steps)
        drawn = draw_transitions(
            self.replay,
            self.contract,
            self.config.teacher,
            at.get("goal_law", goal.law),
            at.get("threshold", goal.threshold),
            self.task.reward,
            self.generator,
        )
        device = self.observation.device
        before, after = self._inputs(drawn.measurement), self._inputs(drawn.next_measurement)
        return self.learner.update(
            observation=before.to(device),
            action=drawn.action.to(device),
            reward=drawn.reward.to(device),
            next_observation=after.to(device),
            discount=drawn.discount.to(device),
            weight=drawn.weight.to(device),
            generator=self.generator,
        )

    def _inputs(self, measurement: dict[str, Tensor]) -> Tensor:
        return self.env.policy_contract.vector(measurement)

    def successes(self) -> float | None:
        """Of the worlds that act without exploration."""
        return self.greedy_episodes.means()["successes"]

    @property
    def must_save(self) -> bool:
        """Before steps are overwritten that a run from the latest checkpoint would read."""
        return self.replay.time + self.config.horizon - self._saved_time > self.replay.guard

    def state_dict(self) -> dict[str, Any]:
        """See ``Run``."""
        self._saved_time = self.replay.time
        learnt = {"actor": dict(self.actor.state_dict()), "learner": self.learner.state_dict()}
        parallel.require_equal(learnt)
        own = {
            "replay": self.replay.state_dict(),
            "exploration": self.exploration.state_dict(),
            "generator": self.generator.get_state(),
            "observation": self.observation,
            "start": self.start,
            "env": self.env.state_dict(),
            "episodes": self.episodes.state_dict(),
            "greedy_episodes": self.greedy_episodes.state_dict(),
        }
        return self.settings() | learnt | {"ranks": parallel.gather(own), **self.spent()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See ``Run``."""
        self.require_settings(state)
        own = self.own_part(state)
        self.actor.load_state_dict(state["actor"])
        self.learner.load_state_dict(state["learner"])
        self.replay.load_state_dict(own["replay"])
        self.exploration.load_state_dict(own["exploration"])
        self.generator.set_state(own["generator"])
        self.observation = own["observation"].to(self.observation.device)
        self.start = own["start"]
        self.env.load_state_dict(own["env"])
        self.episodes.load_state_dict(own["episodes"])
        self.greedy_episodes.load_state_dict(own["greedy_episodes"])
        self.load_spent(state)
        self._saved_time = self.replay.time

    def begin_with(self, other: dict[str, Any]) -> None:
        """Actor, critics and optimizers of another teacher; what it remembers stays with it.

        The learning rate stays that of this run's configuration.
        """
        if "learner" not in other:
            raise CheckpointError("the run to begin with is none of a teacher")
        self.require_fit(other)
        require_same("observation", other.get("observation"), self.settings()["observation"])
        for name in ("critic_width", "atoms", "lowest", "highest"):
            require_same(f"config.teacher.{name}", other["config"]["teacher"][name], getattr(self.config.teacher, name))
        self.actor.load_state_dict(other["actor"])
        self.learner.load_state_dict(other["learner"])
        for optimizer in (self.learner.actor_optimizer, self.learner.critic_optimizer):
            # its state holds the other run's learning rate beside the moments of the gradients
            for group in optimizer.param_groups:
                group["lr"] = self.config.teacher.learning_rate

    def begin_with_policy(self, policy: Artefact) -> None:
        """See ``Run``."""
        raise CheckpointError("a policy brings no critics, and a teacher needs them; it goes on from a run: init=RUN")


def _checked(config: TrainConfig, env: VectorEnv) -> TaskConfig:
    if not isinstance(env, _HasTask):
        raise ValueError(f"a teacher needs worlds with a task of goals; {type(env).__name__} has none")
    if env.action_contract.bins:
        raise ValueError(f"a teacher needs continuous actions, task.action.bins=0, not {env.action_contract.bins} bins")
    if config.network.memory:
        raise ValueError("a teacher sees the whole state and has no memory; choose network=ff")
    n, teacher = config.num_envs, config.teacher
    if teacher.guard // n < config.horizon:
        raise ValueError(
            f"teacher guard is {teacher.guard} control steps, {teacher.guard // n} of each world; a checkpoint can be "
            f"written only after each train.horizon, {config.horizon}"
        )
    if teacher.replay // n - teacher.guard // n <= teacher.n_step:
        raise ValueError(
            f"teacher replay is {teacher.replay} control steps and guard {teacher.guard}; for {n} worlds this leaves "
            f"{teacher.replay // n - teacher.guard // n} of each, and more than n_step, {teacher.n_step}, are needed"
        )
    reward = env.task.reward
    if reward.drop < teacher.lowest or reward.goal > teacher.highest:
        raise ValueError(
            f"a drop earns {reward.drop} and a goal {reward.goal}; the critics can express returns from "
            f"train.teacher.lowest={teacher.lowest} to train.teacher.highest={teacher.highest}, which has to hold both"
        )
    known = env.critic_contract.names
    for name in (*NEEDED, *env.policy_contract.measured):
        if name not in known:
            raise ValueError(f"task.critic_observation lacks {name}, which a teacher needs to remember")
    return env.task
