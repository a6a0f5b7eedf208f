"""Speed of training: simulation and learning together, as ``inhand train`` does it, and where the time goes."""

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.shares import shares
from inhand.config import load
from inhand.training import TrainJob
from policy.progress import HOURS_PER_YEAR

if TYPE_CHECKING:
    from inhand.bench import BenchJob

GPU = ("algo=gpu",)
"""More worlds, larger minibatches."""


def measure(job: "BenchJob") -> dict[str, float | str]:
    """``learn_share`` and the other shares are of the wall time; with the ``dactyl`` network and preset."""
    more = GPU if job.sim.backend != "cpu" else ()
    config = load("train", TrainJob, ["network=dactyl", *more]).train
    if job.num_envs:
        config = replace(config, num_envs=job.num_envs)
    figures = shares(job, config)
    rate = figures["train_control_steps_per_s"]
    years = rate * job.task.action.period / HOURS_PER_YEAR
    return {"sim_years_per_hour_learning": years, **figures, "worlds": config.num_envs, "horizon": config.horizon}
