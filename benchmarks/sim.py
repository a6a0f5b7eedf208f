"""Simulation speed: the whole environment step against bare ``mujoco.batch``, side by side in one run."""

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.progress import HOURS_PER_YEAR
from sim.env import ReorientEnv

if TYPE_CHECKING:
    from inhand.bench import BenchJob

DACTYL_YEARS_PER_CORE_HOUR = 2.0 / 6144
"""D18 §4.3: about two simulated years per hour on 6,144 cores."""

ROUNDS = 5
"""The two are measured in turns, so that a change of the machine's load meets both."""

STEPS = 12
"""Control steps of a turn."""


def measure(job: "BenchJob") -> dict[str, float]:
    """Medians over the rounds; ``x_batch`` is the environment's rate over that of its bare physics.

    The bare physics is the same batch on the same model, threads and sub-steps, sent from the same states through the
    same controls; the environment has its resets, randomization, observations and rewards on top.
    """
    env = ReorientEnv(job.task, job.randomization, job.num_envs, seed=0, threads=job.threads)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    whole, bare = [], []
    end = time.perf_counter() + job.seconds
    while len(whole) < ROUNDS or time.perf_counter() < end:
        states, seconds = _environment(env, generator)
        whole.append(job.num_envs * STEPS / seconds)
        bare.append(job.num_envs * STEPS / _bare(env, states))
    rate = statistics.median(whole)
    years = rate * job.task.action.period / HOURS_PER_YEAR
    threads = env.physics.batch.nthread
    return {
        "control_steps_per_s": rate,
        "sim_years_per_hour": years,
        "x_batch": statistics.median(w / b for w, b in zip(whole, bare, strict=True)),
        "bare_control_steps_per_s": statistics.median(bare),
        "x_dactyl_core": years / threads / DACTYL_YEARS_PER_CORE_HOUR,
        "threads": threads,
        "worlds": job.num_envs,
        "substep_s": job.task.scene.timestep,
    }


def _environment(env: ReorientEnv, generator: torch.Generator) -> tuple[list[np.ndarray], float]:
    """The state, controls included, that each control step began its physics from, and the time of all steps [s]."""
    states: list[np.ndarray] = []
    step = env.physics.step

    def recording(nstep: int, ids: np.ndarray | None = None) -> None:
        if ids is None:
            states.append(env.physics.batch.state.copy())
        step(nstep, ids)

    env.physics.step = recording
    begin = time.perf_counter()
    for _ in range(STEPS):
        env.step(0.3 * torch.randn(env.num_envs, env.action_contract.size, generator=generator))
    seconds = time.perf_counter() - begin
    env.physics.step = step
    return states, seconds


def _bare(env: ReorientEnv, states: list[np.ndarray]) -> float:
    """Seconds of the physics alone through the same control steps."""
    batch = env.physics.batch
    after = batch.state.copy()
    seconds = 0.0
    for state in states:
        batch.state[:] = state
        begin = time.perf_counter()
        env.physics.step(env.task.substeps)
        seconds += time.perf_counter() - begin
    batch.state[:] = after
    env.physics.forward(np.arange(env.num_envs))
    return seconds
