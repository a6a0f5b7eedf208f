"""A training run between two updates: all that a checkpoint holds, and one step further."""

import time
from dataclasses import asdict
from typing import Any

import torch

from policy import parallel
from policy.checkpoint import CheckpointError
from policy.curriculum import CurriculumConfig
from policy.episodes import EpisodeStatistics
from policy.network import Actor, Critic
from policy.ppo import PPO
from policy.progress import Row
from policy.rollout import Collector
from policy.train_config import RESUMABLE, TrainConfig
from sim.vector_env import Adjustable, Difficulty, VectorEnv


class Run:
    """Everything of a run that a checkpoint holds."""

    def __init__(self, config: TrainConfig, env: VectorEnv) -> None:
        self.config = config
        self.env = env
        self.period = env.action_contract.period
        weights = torch.Generator().manual_seed(config.seed)
        contract = env.action_contract
        self.actor = Actor(env.policy_contract.sizes, contract.size, contract.bins, config.network, weights)
        self.critic = Critic(env.critic_contract.sizes, config.network, weights)
        _adjust(env, config.curriculum, control_steps=0)
        observation = env.reset()
        device = observation.policy.device
        self.actor.to(device)
        self.critic.to(device)
        self.generator = torch.Generator(device).manual_seed(parallel.seed(config.seed + 1))
        self.collector = Collector(env, observation, self.actor, self.critic, config.ppo.chunk, self.generator)
        self.ppo = PPO(self.actor, self.critic, config.ppo, self.generator)
        self.episodes = EpisodeStatistics(config.num_envs, device)
        self.updates = 0
        self.control_steps = 0
        self.elapsed = 0.0

    def update(self) -> Row:
        """One roll-out and what is learnt from it; the row of the progress file."""
        began = time.perf_counter()
        curriculum = _adjust(self.env, self.config.curriculum, self.control_steps)
        rollout = self.collector.collect(self.config.horizon)
        collected = time.perf_counter()
        # the first roll-out only shows the normalizers what observations look like
        first = self.updates == 0
        metrics = {} if first else self.ppo.update(rollout)
        # after the update, so that roll-out and update see the same inputs
        self.actor.trunk.normalizer.update(rollout.policy)
        self.critic.trunk.normalizer.update(rollout.critic)
        self.episodes.update(rollout)
        self.updates += 1
        self.control_steps += self.config.horizon * self.config.num_envs * parallel.size()
        return {
            "update": self.updates,
            "control_steps": self.control_steps,
            "simulated_hours": self.control_steps * self.period / 3600.0,
            "rollout_seconds": collected - began,
            "update_seconds": time.perf_counter() - collected,
            **self.episodes.means(),
            **self.env.metrics(),
            **curriculum,
            **metrics,
        }

    def share(self) -> float:
        """Share of the budget that is spent."""
        config = self.config
        by_steps = self.control_steps / config.steps if config.steps else 0.0
        by_time = self.elapsed / (60.0 * config.minutes) if config.minutes else 0.0
        return max(by_steps, by_time)

    def seconds_left(self, speed: float) -> float:
        """Estimated time until the budget is spent [s], at ``speed`` control steps per second."""
        config = self.config
        by_steps = (config.steps - self.control_steps) / speed if config.steps else float("inf")
        by_time = 60.0 * config.minutes - self.elapsed if config.minutes else float("inf")
        return max(0.0, min(by_steps, by_time))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; on rank 0, the others only give their parts.

        Raises:
            RanksDiffer: if the networks of the ranks have drifted apart.
        """
        learnt = {
            "actor": dict(self.actor.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "optimizer": self.ppo.optimizer.state_dict(),
        }
        parallel.require_equal(learnt)
        return (
            self._settings()
            | learnt
            | {
                "ranks": parallel.gather(
                    {
                        "collector": self.collector.state_dict(),
                        "generator": self.generator.get_state(),
                        "episodes": self.episodes.state_dict(),
                    }
                ),
                "updates": self.updates,
                "control_steps": self.control_steps,
                "elapsed": self.elapsed,
            }
        )

    def _settings(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        return {
            "config": asdict(self.config),
            "observation": {
                "policy": list(self.env.policy_contract.names),
                "critic": list(self.env.critic_contract.names),
            },
            "action": self.env.action_contract.describe(),
        }

    def begin_with(self, other: dict[str, Any]) -> None:
        """Takes over what another run has learnt; the learning rates stay those of this run's configuration.

        Raises:
            CheckpointError: if it has another network, or other observations or actions.
        """
        present = self._settings()
        for part in ("observation", "action"):
            _require_same(part, other[part], present[part])
        _require_same("config.network", other["config"]["network"], present["config"]["network"])
        self.actor.load_state_dict(other["actor"])
        self.critic.load_state_dict(other["critic"])
        # its state holds the other run's learning rates beside the moments of the gradients
        rates = [group["lr"] for group in self.ppo.optimizer.param_groups]
        self.ppo.optimizer.load_state_dict(other["optimizer"])
        for group, rate in zip(self.ppo.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from a checkpoint.

        Raises:
            CheckpointError: if it was made under other settings, or by another number of ranks.
        """
        present = self._settings()
        for part in ("config", "observation", "action"):
            _require_same(part, state[part], present[part])
        if len(state["ranks"]) != parallel.size():
            raise CheckpointError(
                f"the checkpoint is of a run of {len(state['ranks'])} ranks, this one has {parallel.size()}; "
                "resume with as many"
            )
        self.actor.load_state_dict(state["actor"])
        self.critic.load_state_dict(state["critic"])
        self.ppo.optimizer.load_state_dict(state["optimizer"])
        own = state["ranks"][parallel.rank()]
        self.collector.load_state_dict(own["collector"])
        self.generator.set_state(own["generator"])
        self.episodes.load_state_dict(own["episodes"])
        self.updates = state["updates"]
        self.control_steps = state["control_steps"]
        self.elapsed = state["elapsed"]


def _adjust(env: VectorEnv, curriculum: CurriculumConfig, control_steps: int) -> dict[str, float]:
    """Makes the worlds as hard as they shall be after so many control steps; what that is, named for the log."""
    if not curriculum.scheduled:
        return {}
    if not isinstance(env, Adjustable):
        raise ValueError(f"train curriculum needs worlds with a difficulty; {type(env).__name__} has none")
    env.set_difficulty(Difficulty(**curriculum.at(control_steps)))
    return curriculum.metrics(control_steps)


def _require_same(name: str, saved: object, present: object) -> None:
    """Refuses a checkpoint made under other settings, naming the first that differs."""
    if isinstance(saved, dict) and isinstance(present, dict):
        for key in sorted(saved.keys() | present.keys()):
            if name == "config" and key in RESUMABLE:
                continue
            if key not in saved or key not in present:
                one, other = ("checkpoint's", "present") if key in saved else ("present", "checkpoint's")
                raise CheckpointError(
                    f"the {one} run has a setting {name}.{key}, the {other} run has none such; "
                    "resume with the version of inhand that began it"
                )
            _require_same(f"{name}.{key}", saved[key], present[key])
    elif saved != present:
        raise CheckpointError(
            f"the checkpoint was made with {name} = {saved}, this run has {present}; resume with the same settings"
        )
