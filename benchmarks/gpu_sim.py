"""Simulation speed on a GPU: the whole environment, and how much of it is physics."""

import statistics
import time
from typing import TYPE_CHECKING

import torch

from benchmarks.device import DeviceClock, facts
from policy.progress import HOURS_PER_YEAR
from sim.env import ReorientEnv

if TYPE_CHECKING:
    from inhand.bench import BenchJob

WORLDS = 8192
WARM_UP, ROUNDS, STEPS = 30, 5, 25
"""Control steps before anything is measured, rounds, and control steps of one."""


def measure(job: "BenchJob") -> dict[str, float | str]:
    """Medians over rounds; ``graph_share`` is the device's time in the sub-steps over the wall time."""
    env = ReorientEnv(job.task, job.randomization, job.num_envs or WORLDS, seed=0, sim=job.sim)
    generator = torch.Generator(env.device).manual_seed(0)
    clock = DeviceClock(env.device)
    env.physics.step = clock.timed(env.physics.step)  # type: ignore[method-assign]

    def steps(count: int) -> float:
        begin = time.perf_counter()
        for _ in range(count):
            env.step(0.3 * torch.randn(env.num_envs, env.action_contract.size, generator=generator, device=env.device))
        clock.synchronize()
        return time.perf_counter() - begin

    env.reset()
    steps(WARM_UP)
    env.metrics()  # refuses figures of worlds that ran out of room
    rates: list[float] = []
    shares: list[float] = []
    start = time.perf_counter()
    while len(rates) < ROUNDS or time.perf_counter() < start + job.seconds:
        clock.reset()
        wall = steps(STEPS)
        rates.append(STEPS * env.num_envs / wall)
        shares.append(clock.seconds() / wall)
        env.metrics()
    rate, period = statistics.median(rates), job.task.action.period
    share = statistics.median(shares)
    return {
        "control_steps_per_s": rate,
        "sim_years_per_hour": rate * period / HOURS_PER_YEAR,
        "graph_share": share,
        "task_share": 1.0 - share,
        "worlds": env.num_envs,
        "substeps": job.task.substeps,
        "substep_s": job.task.scene.timestep,
        "solver_iterations": env.physics.model.opt.iterations,
        "rounds": len(rates),
        **facts(env),
    }
