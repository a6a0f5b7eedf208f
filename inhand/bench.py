"""``inhand bench``: how fast this machine simulates, infers and keeps time; see ``benchmarks/``."""

import importlib
import os
from dataclasses import dataclass, field

from inhand import report
from inhand.probe import machine
from randomization.config import RandomizationConfig
from sim.task import TaskConfig

SUITES = ("sim", "policy", "bridge")


@dataclass(frozen=True)
class BenchJob:
    """A benchmark.

    Raises:
        ValueError: if there is no such suite, a number is out of its range or the file could not be written.
    """

    suite: str = "sim"
    """``sim``: the environment against bare ``mujoco.batch`` and other simulators; ``policy``: inference for one hand,
    and how fast PPO learns; ``bridge``: one message over the bridge."""

    seconds: float = 10.0
    """How long the suite measures, about, its warm-up aside; ``sim`` takes five rounds at least, however long."""

    num_envs: int = 512
    """``sim`` only: worlds stepped together; the more, the less the fixed costs of a step weigh."""

    threads: int = 0
    """``sim`` only: CPU threads; 0 for all."""

    peers: bool = True
    """``sim`` only: compare with Gymnasium-Robotics and EnvPool, installed into ``outputs/peers`` the first time."""

    task: TaskConfig = field(default_factory=TaskConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)

    out: str | None = None
    """File to write the figures to, as JSON."""

    def __post_init__(self) -> None:
        if self.suite not in SUITES:
            raise ValueError(f"suite is {self.suite!r}; allowed: {', '.join(SUITES)}")
        if self.seconds <= 0.0:
            raise ValueError(f"seconds is {self.seconds}; it must be positive")
        if self.num_envs < 1:
            raise ValueError(f"num_envs is {self.num_envs}; it must be positive")
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; allowed: 0 or more")
        report.check_out(self.out)


def run(job: BenchJob) -> None:
    """Measures, prints a table and, with ``out``, writes it as JSON with the machine it was measured on."""
    figures: dict[str, float] = importlib.import_module(f"benchmarks.{job.suite}").measure(job)
    facts = {finding.name: finding.value for finding in machine()}
    title = f"bench {job.suite} on {facts['processor']}, {facts['cores']} cores, load {os.getloadavg()[0]:.1f}"
    report.show(title, [{"figure": name, "value": value} for name, value in figures.items()])
    if job.out is not None:
        report.write_json(job.out, {"suite": job.suite, "machine": facts, **figures})
