"""A run of the recurrent policy: PPO, or distillation of a teacher."""

import time
from dataclasses import asdict
from typing import Any

import torch

from policy import parallel
from policy.artefact import Artefact
from policy.checkpoint import CheckpointError
from policy.distill import GREEDY_EVERY, Distiller, TeacherPolicy
from policy.episodes import EpisodeStatistics
from policy.growth import grow
from policy.learner import Learner
from policy.network import Actor, Critic
from policy.network_config import NetworkConfig
from policy.ppo import PPO
from policy.progress import Row
from policy.rollout import Collector
from policy.run import Run, adjust, require_same
from policy.train_config import TrainConfig
from sim.vector_env import VectorEnv

POLICY_KEY, CRITIC_KEY = "task.policy_observation", "task.critic_observation"
"""Where a configuration says what the networks read."""


class RecurrentRun(Run):
    """Roll-outs of the LSTM policy, and updates from them."""

    def __init__(self, config: TrainConfig, env: VectorEnv, teacher: Artefact | None = None) -> None:
        """``teacher`` is imitated; without, the policy learns from its own success."""
        super().__init__(config, env)
        weights = torch.Generator().manual_seed(config.seed)
        contract = env.action_contract
        self.actor = Actor(env.policy_contract.sizes, contract.size, contract.bins, config.network, weights)
        self.critic = Critic(env.critic_contract.sizes, config.network, weights)
        adjust(env, config.curriculum, control_steps=0)
        observation = env.reset()
        device = observation.policy.device
        self.actor.to(device)
        self.critic.to(device)
        self.generator = torch.Generator(device).manual_seed(parallel.seed(config.seed + 1))
        greedy = None if teacher is None else torch.arange(config.num_envs, device=device) % GREEDY_EVERY == 0
        ppo = config.ppo
        self.collector = Collector(
            env, observation, self.actor, self.critic, ppo.chunk, self.generator, greedy, ppo.persistence
        )
        self.learner: Learner
        self._teacher: dict[str, Any] | None = None
        """What tells the teacher from another."""
        if teacher is None:
            self.learner = PPO(self.actor, self.critic, config.ppo, self.generator)
        else:
            judge = TeacherPolicy(teacher, env.critic_contract, device)
            self.learner = Distiller(self.actor, self.critic, config.ppo, self.generator, judge)
            self._teacher = teacher.contract["sha256"] | {"observation": list(teacher.policy_contract.names)}
        self.episodes = EpisodeStatistics(config.num_envs, device)

    def update(self) -> Row:
        """One roll-out and what is learnt from it; the row of the progress file."""
        began = time.perf_counter()
        curriculum = adjust(self.env, self.config.curriculum, self.control_steps)
        rollout = self.collector.collect(self.config.horizon)
        collected = time.perf_counter()
        # the first roll-out only shows the normalizers what observations look like
        first = self.updates == 0
        critic_only = self.updates <= self.config.ppo.critic_warmup
        metrics = {} if first else self.learner.update(rollout, critic_only)
        # after the update, so that roll-out and update see the same inputs
        self.actor.trunk.normalizer.update(rollout.policy)
        self.critic.trunk.normalizer.update(rollout.critic)
        self.episodes.update(rollout.reward, rollout.terminated, rollout.truncated, rollout.successes)
        self.updates += 1
        self.control_steps += self.config.horizon * self.config.num_envs * parallel.size()
        return {
            **self.counters(),
            "rollout_seconds": collected - began,
            "update_seconds": time.perf_counter() - collected,
            **self.episodes.means(),
            **self.env.metrics(),
            **curriculum,
            **metrics,
        }

    def successes(self) -> float | None:
        """See ``Run``."""
        return self.episodes.means()["successes"]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; on rank 0, the others only give their parts.

        Raises:
            RanksDiffer: if the networks of the ranks have drifted apart.
        """
        learnt = {
            "actor": dict(self.actor.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "optimizer": self.learner.optimizer.state_dict(),
        }
        parallel.require_equal(learnt)
        return (
            self.settings()
            | learnt
            | {
                "ranks": parallel.gather(
                    {
                        "collector": self.collector.state_dict(),
                        "generator": self.generator.get_state(),
                        "episodes": self.episodes.state_dict(),
                    }
                ),
                **self.spent(),
            }
        )

    def settings(self) -> dict[str, Any]:
        """See ``Run``."""
        return super().settings() | {"teacher": self._teacher}

    def begin_with(self, other: dict[str, Any]) -> None:
        """See ``Run``; the learning rates stay those of this run's configuration."""
        if "critic" not in other:
            raise CheckpointError(
                "the run to begin with is a teacher's; it is imitated, with algo=distill teacher=RUN/policy"
            )
        self.require_fit(other)
        had, has = other["observation"], self.settings()["observation"]
        self.actor.load_state_dict(grow(other["actor"], had["policy"], has["policy"], POLICY_KEY))
        self.critic.load_state_dict(grow(other["critic"], had["critic"], has["critic"], CRITIC_KEY))
        if had != has:
            return  # the moments of the gradients are those of other weights
        # its state holds the other run's learning rates beside the moments of the gradients
        rates = [group["lr"] for group in self.learner.optimizer.param_groups]
        self.learner.optimizer.load_state_dict(other["optimizer"])
        for group, rate in zip(self.learner.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def begin_with_policy(self, policy: Artefact) -> None:
        """See ``Run``; PPO has to teach the critic before it listens to it (``train.ppo.critic_warmup``)."""
        if isinstance(self.learner, PPO) and not self.config.ppo.critic_warmup:
            raise CheckpointError(
                "a policy brings no critic, and a new one would mislead it: train.ppo.critic_warmup is 0; "
                "it must be positive, about 30"
            )
        present = self.settings()
        had, has = policy.policy_contract.names, present["observation"]["policy"]
        require_same("action", policy.action_contract.describe(), present["action"])
        network = NetworkConfig(**policy.contract["network"])  # an older artefact may lack what has a default
        require_same("config.network", asdict(network), present["config"]["network"])
        self.actor.load_state_dict(grow(policy.actor.state_dict(), had, has, POLICY_KEY))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from a checkpoint.

        Raises:
            CheckpointError: if it was made under other settings, or by another number of ranks.
        """
        self.require_settings(state)
        require_same("teacher", state["teacher"], self._teacher)
        own = self.own_part(state)
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.learner.optimizer.load_state_dict(state["optimizer"])
        self.collector.load_state_dict(own["collector"])
        self.generator.set_state(own["generator"])
        self.episodes.load_state_dict(own["episodes"])
        self.load_spent(state)
