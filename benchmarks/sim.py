"""Simulation speed: the whole environment against bare ``mujoco.batch`` and against other simulators of the task."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.load import Load
from benchmarks.peer import PEERS, Peer
from policy.progress import HOURS_PER_YEAR
from sim.env import ReorientEnv, TaskConfig

if TYPE_CHECKING:
    from inhand.bench import BenchJob

DACTYL_YEARS_PER_CORE_HOUR = 2.0 / 6144
"""D18 §4.3: about two simulated years per hour on 6,144 cores."""

ROUNDS = 5
"""All are measured in turns, so that a change of the machine's load meets them all."""

STEPS = 12
"""Control steps of a turn."""


def measure(job: "BenchJob") -> dict[str, float]:
    """Medians over the rounds, ratios those of one round; ``x_…`` is the environment's rate over that of another.

    ``x_batch`` compares with bare physics: the same batch on the same model, threads and sub-steps, sent from the same
    states through the same controls; the environment has its resets, randomization, observations and rewards on top.
    The peers are compared by the time that they simulate: each with its own sub-steps, and ours as short as theirs.
    """
    load = Load.now()
    contest = _Contest(job)
    try:
        begin = time.perf_counter()
        while len(contest.rounds) < ROUNDS or time.perf_counter() < begin + job.seconds:
            contest.round()
    finally:
        contest.close()
    whole, period = contest.median("whole"), job.task.action.period
    years = whole / HOURS_PER_YEAR
    threads = contest.env.physics.batch.nthread
    return {
        "control_steps_per_s": whole / period,
        "sim_years_per_hour": years,
        "sim_years_per_core_hour": years / threads,
        "x_dactyl_core": years / threads / DACTYL_YEARS_PER_CORE_HOUR,
        "x_batch": contest.ratio("whole", "bare"),
        **{f"x_{peer.name}": contest.ratio("whole", peer.name) for peer in contest.peers},
        **{f"x_{peer.name}_equal_substep": contest.ratio(f"at {peer.substep}", peer.name) for peer in contest.peers},
        "bare_control_steps_per_s": contest.median("bare") / period,
        **{f"{peer.name}_sim_s_per_s": contest.median(peer.name) for peer in contest.peers},
        **{f"control_steps_per_s_{n}_threads": contest.median(str(n)) / period for n in contest.fewer_threads},
        "threads": threads,
        "worlds": job.num_envs,
        "substep_s": job.task.scene.timestep,
        "rounds": len(contest.rounds),
        **load.figures(),
    }


class _Contest:
    """Everything that is measured, and per round the seconds that each simulated per second."""

    def __init__(self, job: "BenchJob") -> None:
        self._generator = torch.Generator().manual_seed(0)
        self.env = _make(job, job.task, job.threads)
        threads = self.env.physics.batch.nthread
        self.fewer_threads = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < threads]
        self._envs = {str(n): _make(job, job.task, n) for n in self.fewer_threads}
        self.peers: list[Peer] = []
        try:
            for name in PEERS if job.peers else ():
                self.peers.append(Peer(name, threads))
        except BaseException:
            self.close()
            raise
        for substep in {peer.substep for peer in self.peers}:
            task = replace(job.task, scene=replace(job.task.scene, timestep=substep))
            self._envs[f"at {substep}"] = _make(job, task, job.threads)
        self.rounds: list[dict[str, float]] = []

    def round(self) -> None:
        """One turn of each."""
        simulated = self.env.num_envs * STEPS * self.env.task.action.period
        states, seconds = _recorded(self.env, self._generator)
        rates = {"whole": simulated / seconds, "bare": simulated / _bare(self.env, states)}
        for name, env in self._envs.items():
            rates[name] = simulated / _timed(lambda env=env: _play(env, self._generator))
        for peer in self.peers:
            rates[peer.name] = peer.run(seconds)
        self.rounds.append(rates)

    def median(self, name: str) -> float:
        return statistics.median(each[name] for each in self.rounds)

    def ratio(self, name: str, other: str) -> float:
        return statistics.median(each[name] / each[other] for each in self.rounds)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


def _make(job: "BenchJob", task: TaskConfig, threads: int) -> ReorientEnv:
    env = ReorientEnv(task, job.randomization, job.num_envs, seed=0, threads=threads)
    env.reset()
    return env


def _play(env: ReorientEnv, generator: torch.Generator) -> None:
    for _ in range(STEPS):
        env.step(0.3 * torch.randn(env.num_envs, env.action_contract.size, generator=generator))


def _timed(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _recorded(env: ReorientEnv, generator: torch.Generator) -> tuple[list[np.ndarray], float]:
    """The state, controls included, that each control step began its physics from, and the time of all steps [s]."""
    states: list[np.ndarray] = []
    step = env.physics.step

    def recording(nstep: int, ids: np.ndarray | None = None) -> None:
        if ids is None:
            states.append(env.physics.batch.state.copy())
        step(nstep, ids)

    env.physics.step = recording
    seconds = _timed(lambda: _play(env, generator))
    env.physics.step = step
    return states, seconds


def _bare(env: ReorientEnv, states: list[np.ndarray]) -> float:
    """Seconds of the physics alone through the same control steps."""
    batch = env.physics.batch
    after = batch.state.copy()
    seconds = 0.0
    for state in states:
        batch.state[:] = state
        seconds += _timed(lambda: env.physics.step(env.task.substeps))
    batch.state[:] = after
    env.physics.forward(np.arange(env.num_envs))
    return seconds
