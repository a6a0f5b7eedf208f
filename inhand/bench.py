"""``inhand bench``: how fast this machine simulates, infers and keeps time; see ``benchmarks/``."""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from inhand import report
from inhand.probe import machine
from randomization.config import RandomizationConfig
from robot.checks import check_choice, check_numbers
from sim.backend import SimConfig
from sim.task import TaskConfig

SUITES = ("sim", "policy", "train", "bridge")


@dataclass(frozen=True)
class BenchJob:
    """A benchmark.

    Raises:
        ValueError: if there is no such suite, a number is out of its range or the file could not be written.
    """

    suite: str = "sim"
    """``sim``: the environment against bare ``mujoco.batch`` and other simulators; ``policy``: inference for one hand,
    PPO against that of RSL-RL and sb3-contrib, and the share of learning in training; ``train``: simulation and
    learning together, with the ``dactyl`` network; ``bridge``: one message over the bridge."""

    seconds: float = 10.0
    """How long the suite measures, about, its warm-up aside; ``sim`` and ``policy`` take five rounds at least,
    however long."""

    num_envs: int = 0
    """Worlds stepped together; 0 for the suite's own number: ``sim`` 512, or 8,192 on a GPU, ``policy`` and
    ``train`` that of ``inhand train``."""

    threads: int = 0
    """CPU threads of ``sim`` and of learning; 0 for all."""

    peers: bool = True
    """Compare with other software, installed into ``outputs/peers`` the first time: ``sim`` with Gymnasium-Robotics and
    EnvPool, ``policy`` with RSL-RL and sb3-contrib."""

    sim: SimConfig = field(default_factory=SimConfig)
    """What steps the worlds of ``sim`` and ``train``: the CPU or a GPU."""

    task: TaskConfig = field(default_factory=TaskConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)

    out: str | None = None
    """File to write the figures to, as JSON."""

    def __post_init__(self) -> None:
        check_choice("suite", self.suite, SUITES)
        check_numbers("", self, "seconds", above=0.0)
        check_numbers("", self, "num_envs", "threads", least=0)
        if self.sim.backend != "cpu" and self.suite not in ("sim", "train"):
            raise ValueError(f"suite is {self.suite!r}; only sim and train run with sim.backend={self.sim.backend}")
        if self.suite == "policy" and not self.task.action.bins:
            raise ValueError("task.action.bins is 0; bench policy compares learners of classes: 2 or more")
        report.check_out(self.out)


def run(job: BenchJob) -> None:
    """Measures, prints a table and, with ``out``, writes it as JSON with the machine it was measured on."""
    figures: Mapping[str, float | str] = importlib.import_module(f"benchmarks.{job.suite}").measure(job)
    facts = {finding.name: finding.value for finding in machine()}
    title = f"bench {job.suite} on {facts['processor']}, {facts['cores']} cores, load {os.getloadavg()[0]:.1f}"
    report.show(title, [{"figure": name, "value": value} for name, value in figures.items()])
    if job.out is not None:
        report.write_json(job.out, {"suite": job.suite, "machine": facts, **figures})
