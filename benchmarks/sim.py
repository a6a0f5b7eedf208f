"""Simulation speed: the whole environment against bare ``mujoco.batch`` and against other simulators of the task.

The controls differ: ours are 0.3 · randn every 80 ms, relative to where the joints are; those of the peers are targets
drawn uniformly from the joints' whole ranges every 40 ms. Only control steps count as simulated time, on either side:
the time in which blocks settle after a reset is not counted, though it takes its time to compute.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmarks import peer
from benchmarks.load import Load
from benchmarks.threads import torch_threads
from policy.progress import HOURS_PER_YEAR
from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv
from sim.task import TaskConfig

if TYPE_CHECKING:
    from inhand.bench import BenchJob

PEERS = ("gymnasium_robotics", "envpool")

WORLDS = 512
"""Stepped together, unless the job says how many; the more, the less the fixed costs of a step weigh."""

DACTYL_YEARS_PER_CORE_HOUR = 2.0 / 6144
"""D18 §4.3: about two simulated years per hour on 6,144 cores."""

WARM_UP = 100
"""Control steps after which episodes are of all ages, and few begin at once."""

ROUNDS = 5
"""All are measured in turns, so that a change of the machine's load meets them all."""

STEPS = 12
"""Control steps of a turn."""


def measure(job: "BenchJob") -> Mapping[str, float | str]:
    """Medians over the rounds, ratios those of one round; ``x_…`` is the environment's rate over that of another.

    ``x_batch`` compares with bare physics: the same batch on the same model, threads and sub-steps, sent from the same
    states through the same controls, each step right after that of the environment, which has its resets,
    randomization, observations and rewards on top; ``_q1`` and ``_q3`` are its quartiles. Sub-steps have the same
    lengths, which the randomization draws anew for every step (a new length costs MuJoCo one stage of the sub-step).
    The peers are compared by the time that they simulate: each with its own sub-steps, and ours as short as theirs.
    """
    if job.sim.backend != "cpu":
        from benchmarks import gpu_sim

        return gpu_sim.measure(job)
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
    threads, peers = contest.threads, contest.peers
    low, middle, high = statistics.quantiles(contest.ratios("whole", "bare"), method="inclusive")
    return {
        "control_steps_per_s": whole / period,
        "sim_years_per_hour": years,
        "sim_years_per_core_hour": years / threads,
        "x_dactyl_core": years / threads / DACTYL_YEARS_PER_CORE_HOUR,
        "x_batch": middle,
        "x_batch_q1": low,
        "x_batch_q3": high,
        **{f"x_{each.name}": contest.ratio("whole", each.name) for each in peers},
        **{f"x_{each.name}_equal_substep": contest.ratio(f"at {each.facts['substep']}", each.name) for each in peers},
        "bare_control_steps_per_s": contest.median("bare") / period,
        **{f"{each.name}_sim_s_per_s": contest.median(each.name) for each in peers},
        **{f"{each.name}_worlds": each.facts["worlds"] for each in peers},
        **{f"control_steps_per_s_{n}_threads": contest.median(str(n)) / period for n in contest.fewer_threads},
        "threads": threads,
        "worlds": contest.env.num_envs,
        "substep_s": job.task.scene.timestep,
        "rounds": len(contest.rounds),
        **load.figures(),
    }


class _Contest:
    """Everything that is measured, and per round the seconds that each simulated per second."""

    def __init__(self, job: "BenchJob") -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._job = job
        self.env = self._make(job.task, job.threads)
        self.threads = _threads(self.env)
        self.fewer_threads = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < self.threads]
        self.rounds: list[dict[str, float]] = []
        self._envs = {str(n): self._make(job.task, n) for n in self.fewer_threads}
        self.peers: list[peer.Peer] = []
        try:
            for name in PEERS if job.peers else ():
                self.peers.append(peer.start(name, threads=self.threads))
            for substep in {each.facts["substep"] for each in self.peers}:
                task = replace(job.task, scene=replace(job.task.scene, timestep=substep))
                self._envs[f"at {substep}"] = self._make(task, job.threads)
            with torch_threads(self.threads):
                self._warm_up(self.env)
            for env in self._envs.values():
                if env.task is job.task:
                    env.load_state_dict(self.env.state_dict())
                else:  # its buffers of delays have another size
                    with torch_threads(self.threads):
                        self._warm_up(env)
        except BaseException:
            self.close()
            raise

    def round(self) -> None:
        """One turn of each."""
        simulated = self.env.num_envs * STEPS * self.env.task.action.period
        with torch_threads(self.threads):
            whole, bare = self._pairs()
        rates = {"whole": simulated / whole, "bare": simulated / bare}
        for name, env in self._envs.items():
            with torch_threads(_threads(env)):
                rates[name] = simulated / sum(self._step(env) for _ in range(STEPS))
        for each in self.peers:
            rates[each.name] = each.run(whole)
        self.rounds.append(rates)

    def median(self, name: str) -> float:
        return statistics.median(each[name] for each in self.rounds)

    def ratios(self, name: str, other: str) -> list[float]:
        return [each[name] / each[other] for each in self.rounds]

    def ratio(self, name: str, other: str) -> float:
        return statistics.median(self.ratios(name, other))

    def close(self) -> None:
        for each in self.peers:
            each.close()

    def _make(self, task: TaskConfig, threads: int) -> ReorientEnv:
        return ReorientEnv(task, self._job.randomization, self._job.num_envs or WORLDS, seed=0, threads=threads)

    def _warm_up(self, env: ReorientEnv) -> None:
        """Until resets cost what they cost in a long run."""
        pool = env.resetter.pool
        env.reset()
        while pool.added < pool.capacity:
            env.reset()
        for _ in range(WARM_UP):
            self._step(env)

    def _step(self, env: ReorientEnv) -> float:
        """Seconds of a control step."""
        action = 0.3 * torch.randn(env.num_envs, env.action_contract.size, generator=self._generator)
        begin = time.perf_counter()
        env.step(action)
        return time.perf_counter() - begin

    def _pairs(self) -> tuple[float, float]:
        """Seconds of a turn's control steps, and of the physics alone from the states that they sent it from."""
        physics = _cpu(self.env)
        state, everyone = physics.batch.state, torch.arange(physics.n)
        lengths = physics.batch.expand("opt.timestep")
        step, before, those = physics.step, state.copy(), lengths.copy()
        whole = bare = 0.0

        def recording(nstep: int, ids: torch.Tensor | None = None) -> None:
            nonlocal whole
            if ids is None:
                begin = time.perf_counter()
                before[:], those[:] = state, lengths
                whole -= time.perf_counter() - begin  # what the measuring itself takes
            step(nstep, ids)

        for _ in range(STEPS):
            last = lengths.copy()
            physics.step = recording
            whole += self._step(self.env)
            physics.step = step
            after, next_lengths = state.copy(), lengths.copy()
            state[:], lengths[:] = before, last
            physics.forward(everyone)
            # as in the whole, sub-steps get their lengths when the stage before them is computed already
            begin = time.perf_counter()
            lengths[:] = those
            step(self.env.task.substeps)
            bare += time.perf_counter() - begin
            state[:], lengths[:] = after, next_lengths
            physics.forward(everyone)
        return whole, bare


def _cpu(env: ReorientEnv) -> CpuPhysics:
    if not isinstance(env.physics, CpuPhysics):
        raise TypeError("only worlds on the CPU are measured against bare physics and against peers")
    return env.physics


def _threads(env: ReorientEnv) -> int:
    return _cpu(env).batch.nthread
