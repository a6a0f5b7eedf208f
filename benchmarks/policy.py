"""Policy speed: inference for one hand on one core, and the rate at which an update learns."""

import statistics
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from omegaconf import OmegaConf

from inhand.config import CONF
from policy.experience import Rollout
from policy.network import Actor, Critic, NetworkConfig
from policy.ppo import PPO, PPOConfig
from policy.runtime import PolicyRuntime
from robot.observation import ObservationContract

if TYPE_CHECKING:
    from inhand.bench import BenchJob

WORLDS, HORIZON = 256, 40
"""A roll-out's size, that of ``TrainConfig``."""


def measure(job: "BenchJob") -> dict[str, float]:
    """Latency [ms] of one inference, for both network presets; samples an update learns per second, for the small one.

    A sample is a control step of one world; an update learns it ``PPOConfig.epochs`` times.
    """
    figures: dict[str, float] = {}
    for name in ("small", "dactyl"):
        milliseconds = _latencies(job, _preset(name), job.seconds / 3)
        figures[f"{name}_inference_p50_ms"] = float(np.percentile(milliseconds, 50))
        figures[f"{name}_inference_p99_ms"] = float(np.percentile(milliseconds, 99))
    seconds = statistics.median(_updates(job, _preset("small"), job.seconds / 3))
    figures["update_samples_per_s"] = WORLDS * HORIZON / seconds
    return figures


def _preset(name: str) -> NetworkConfig:
    return msgspec.convert(OmegaConf.to_container(OmegaConf.load(CONF / "network" / f"{name}.yaml")), NetworkConfig)


def _latencies(job: "BenchJob", network: NetworkConfig, seconds: float) -> list[float]:
    """Milliseconds of every inference, on one thread, the first few left out."""
    observation = ObservationContract(tuple(job.task.policy_observation))
    action = job.task.action
    actor = Actor(observation.sizes, action.size, action.bins, network, torch.Generator().manual_seed(0))
    policy = PolicyRuntime(actor, observation, action)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state = policy.initial_state(1)
    zeros = torch.zeros(1, observation.size)
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end or len(times) < 40:
        _, state = policy.act(zeros, state)
        times.append(1e3 * (time.perf_counter() - begin))
    torch.set_num_threads(threads)
    return times[20:]


def _updates(job: "BenchJob", network: NetworkConfig, seconds: float) -> list[float]:
    """Seconds of every update from one roll-out of random data, the first left out."""
    generator = torch.Generator().manual_seed(0)
    policy = ObservationContract(tuple(job.task.policy_observation))
    critic = ObservationContract(tuple(job.task.critic_observation))
    action, config = job.task.action, PPOConfig()
    ppo = PPO(
        Actor(policy.sizes, action.size, action.bins, network, generator),
        Critic(critic.sizes, network, generator),
        config,
        generator,
    )

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def rare() -> torch.Tensor:
        return torch.rand(HORIZON, WORLDS, generator=generator) < 0.01

    chunks = HORIZON // config.chunk
    rollout = Rollout(
        policy=random(HORIZON, WORLDS, policy.size),
        critic=random(HORIZON, WORLDS, critic.size),
        starts=rare(),
        action=torch.randint(action.bins, (HORIZON, WORLDS, action.size), generator=generator),
        reward=random(HORIZON, WORLDS),
        value=random(HORIZON, WORLDS),
        terminated=rare(),
        truncated=torch.zeros(HORIZON, WORLDS, dtype=torch.bool),
        final_value=torch.zeros(HORIZON, WORLDS),
        last_value=random(WORLDS),
        successes=torch.zeros(HORIZON, WORLDS, dtype=torch.int64),
        actor_state=random(chunks, 2, WORLDS, network.lstm),
        critic_state=random(chunks, 2, WORLDS, network.lstm),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads or threads)
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end or len(times) < 2:
        ppo.update(rollout)
        times.append(time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return times[1:]
