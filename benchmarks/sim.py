"""Simulation speed: the whole environment step against bare ``mujoco.batch``, side by side in one run."""

import time
from typing import TYPE_CHECKING

import torch

from sim.env import ReorientEnv

if TYPE_CHECKING:
    from inhand.bench import BenchJob

HOURS_PER_YEAR = 8766.0
DACTYL_YEARS_PER_CORE_HOUR = 2.0 / 6144
"""D18 §4.3: about two simulated years per hour on 6,144 cores."""

ROUNDS = 5
"""The two are measured in turns, so that a change of the machine's load meets both."""


def measure(job: "BenchJob") -> dict[str, float]:
    """Medians over the rounds; ``x_batch`` is the environment's rate over that of its bare physics."""
    env = ReorientEnv(job.task, job.randomization, job.num_envs, seed=0, threads=job.threads)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    whole, bare = [], []
    for _ in range(ROUNDS):
        whole.append(_rate(env, generator, job.seconds / 2 / ROUNDS, physics_only=False))
        bare.append(_rate(env, generator, job.seconds / 2 / ROUNDS, physics_only=True))
    rate, bare_rate = sorted(whole)[ROUNDS // 2], sorted(bare)[ROUNDS // 2]
    years = rate * job.task.action.period / HOURS_PER_YEAR
    threads = env.physics.batch.nthread
    return {
        "control_steps_per_s": rate,
        "sim_years_per_hour": years,
        "x_batch": sorted(w / b for w, b in zip(whole, bare, strict=True))[ROUNDS // 2],
        "bare_control_steps_per_s": bare_rate,
        "x_dactyl_core": years / threads / DACTYL_YEARS_PER_CORE_HOUR,
        "threads": threads,
        "worlds": job.num_envs,
        "substep_s": job.task.scene.timestep,
    }


def _rate(env: ReorientEnv, generator: torch.Generator, seconds: float, physics_only: bool) -> float:
    """Control steps per second under small random actions."""
    steps = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        action = 0.2 * torch.randn(env.num_envs, env.action_contract.size, generator=generator)
        if physics_only:
            env.physics.step(env.task.substeps)
        else:
            env.step(action)
        steps += env.num_envs
    return steps / (time.perf_counter() - begin)
