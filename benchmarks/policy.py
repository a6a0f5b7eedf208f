"""Policy speed: inference for one hand, learning beside other libraries, and the share of learning in training."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from omegaconf import OmegaConf

from benchmarks.contest import learning
from benchmarks.load import Load
from benchmarks.shares import shares
from benchmarks.threads import torch_threads
from inhand.config import CONF
from policy.network import Actor
from policy.network_config import NetworkConfig
from policy.runtime import PolicyRuntime
from policy.train_config import TrainConfig
from robot.observation import ObservationContract

if TYPE_CHECKING:
    from inhand.bench import BenchJob

WARM_UP = 20
"""Inferences that are left out."""


def measure(job: "BenchJob") -> dict[str, float]:
    """All figures of the suite.

    ``inference_…_ms``: one hand, ``PolicyRuntime.act`` on one thread, with the network ``dactyl``, or ``small``.
    ``learn_share`` and its siblings: see ``benchmarks/shares.py``; all others: see ``benchmarks/contest.py``. These two
    use the network ``small``, the settings of ``inhand train`` and all cores.

    Raises:
        PeerError: if a library to compare with cannot be installed or stops.
    """
    load = Load.now()
    threads = job.threads or torch.get_num_threads()
    config = TrainConfig(network=_preset("small"))
    config = replace(config, num_envs=job.num_envs or config.num_envs)
    with torch_threads(threads):
        contest = learning(job, config, threads)
        share = shares(job, config)
    with torch_threads(1):
        inference = _latencies(job, "dactyl") | {f"small_{name}": v for name, v in _latencies(job, "small").items()}
    return contest | share | inference | {"threads": threads, "worlds": config.num_envs} | load.figures()


def _preset(name: str) -> NetworkConfig:
    return msgspec.convert(OmegaConf.to_container(OmegaConf.load(CONF / "network" / f"{name}.yaml")), NetworkConfig)


def _latencies(job: "BenchJob", network: str) -> dict[str, float]:
    """Of one inference [ms], the first few left out."""
    observation = ObservationContract(tuple(job.task.policy_observation))
    action = job.task.action
    actor = Actor(observation.sizes, action.size, action.bins, _preset(network), torch.Generator().manual_seed(0))
    policy = PolicyRuntime(actor, observation, action)
    state = policy.initial_state(1)
    zeros = torch.zeros(1, observation.size)
    times = []
    end = time.perf_counter() + job.seconds / 4
    while (begin := time.perf_counter()) < end or len(times) < 10 * WARM_UP:
        _, state = policy.act(zeros, state)
        times.append(1e3 * (time.perf_counter() - begin))
    return {f"inference_p{p}_ms": float(np.percentile(times[WARM_UP:], p)) for p in (50, 99)}
