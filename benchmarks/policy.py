"""Policy speed: inference for one hand on one core, and the rate at which an update learns."""

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.network import DACTYL, SMALL, Actor
from policy.runtime import PolicyRuntime
from robot.observation import ObservationContract

if TYPE_CHECKING:
    from inhand.bench import BenchJob


def measure(job: "BenchJob") -> dict[str, float]:
    """Latency [ms] of one inference, for both network presets."""
    figures: dict[str, float] = {}
    for name, network in (("small", SMALL), ("dactyl", DACTYL)):
        observation = ObservationContract(tuple(job.task.policy_observation))
        action = job.task.action
        actor = Actor(observation.size, action.size, action.bins, network, torch.Generator().manual_seed(0))
        milliseconds = _latencies(PolicyRuntime(actor, observation, action), job.seconds / 2)
        figures[f"{name}_inference_p50_ms"] = float(np.percentile(milliseconds, 50))
        figures[f"{name}_inference_p99_ms"] = float(np.percentile(milliseconds, 99))
    return figures


def _latencies(policy: PolicyRuntime, seconds: float) -> list[float]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state = policy.initial_state(1)
    observation = torch.zeros(1, policy.policy_contract.size)
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        _, state = policy.act(observation, state)
        times.append(1e3 * (time.perf_counter() - begin))
    torch.set_num_threads(threads)
    return times[20:]
