"""Where the wall time of a training run goes: simulation, inference of the roll-outs, learning."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor

from policy.progress import Row, read_progress
from policy.train import train
from policy.train_config import TrainConfig
from sim.env import ReorientEnv
from sim.vector_env import Step

if TYPE_CHECKING:
    from inhand.bench import BenchJob

WARM_UP, UPDATES = 2, 4
"""Updates before those that are measured (the first only fills the normalizers), and of those."""


def shares(job: "BenchJob", config: TrainConfig) -> dict[str, float]:
    """Shares of a training run's wall time: of the updates, ``learn_share``, and of both parts of the roll-outs.

    What they leave are checkpoints and progress files.
    """
    env = _TimedEnv(job.task, job.randomization, config.num_envs, config.seed, job.threads, sim=job.sim)
    updates = WARM_UP + UPDATES
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        train(replace(config, steps=updates * config.num_envs * config.horizon), env, run, console=Console(quiet=True))
        rows = read_progress(run)
    wall = _last(rows, "elapsed") - _last(rows[:WARM_UP], "elapsed")
    simulation = sum(env.seconds[WARM_UP * config.horizon :])
    rollout = sum(_last([row], "rollout_seconds") for row in rows[WARM_UP:])
    return {
        "learn_share": sum(_last([row], "update_seconds") for row in rows[WARM_UP:]) / wall,
        "simulation_share": simulation / wall,
        "inference_share": (rollout - simulation) / wall,
        "train_control_steps_per_s": UPDATES * config.num_envs * config.horizon / wall,
    }


class _TimedEnv(ReorientEnv):
    """Keeps the seconds that every step took."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seconds: list[float] = []

    def step(self, action: Tensor) -> Step:
        begin = time.perf_counter()
        step = super().step(action)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds.append(time.perf_counter() - begin)
        return step


def _last(rows: list[Row], name: str) -> float:
    value = rows[-1][name]
    assert isinstance(value, float)
    return value
