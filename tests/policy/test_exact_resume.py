"""N updates, a checkpoint and N more are 2 N updates to the bit, in the real simulation under the real presets."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from inhand.config import load
from inhand.training import TrainJob
from policy.train import train
from sim.env import ReorientEnv
from tests.policy.test_train import assert_same_run, flatten, newest

N = 3
WORLDS, HORIZON = 4, 10
SMALL = [
    f"train.num_envs={WORLDS}",
    f"train.horizon={HORIZON}",
    "train.ppo.chunk=5",
    "train.ppo.minibatches=2",
    "train.ppo.target_kl=0.01",
    "train.network.hidden=16",
    "train.network.lstm=8",
    "train.threads=1",
    # episodes of ten steps, and a pool that is filled while the run goes on
    "task.goal.time_limit=0.8",
    f"task.reset.cache={WORLDS}",
    "task.reset.refresh=0.3",
]
PRESETS = {
    "dactyl": ["randomization=dactyl"],
    # the checkpoint lies in the middle of the ramp
    "curriculum": [
        "randomization=dactyl",
        f"train.curriculum.randomization=[[0,0.2],[{2 * N * WORLDS * HORIZON},1]]",
        f"train.curriculum.threshold=[[0,1.0],[{2 * N * WORLDS * HORIZON},0.4]]",
        f"train.curriculum.near=[[0,1.0],[{2 * N * WORLDS * HORIZON},0.0]]",
    ],
    # every range moves outwards after each second episode at its end, however badly it went
    "adr": [
        "randomization=adr",
        "randomization.adr.widen_at=0",
        "randomization.adr.narrow_at=-1",
        "randomization.adr.queue=2",
        "randomization.adr.boundary_probability=1",
    ],
}


def run(directory: Path, preset: str, updates: int, resume: bool = False, seed: int = 0) -> None:
    job = load("train", TrainJob, [*SMALL, *PRESETS[preset], f"train.steps={updates * WORLDS * HORIZON}"])
    env = ReorientEnv(job.task, job.randomization, WORLDS, seed, threads=1)
    train(job.train, env, directory, resume, Console(file=io.StringIO()))


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(preset: str, tmp_path: Path):
    run(tmp_path / "whole", preset, 2 * N)
    run(tmp_path / "parts", preset, N)
    halfway = newest(tmp_path / "parts")
    # another seed for the worlds: all of their state has to come from the checkpoint
    run(tmp_path / "parts", preset, 2 * N, resume=True, seed=99)
    # weights, optimizer, normalizers, generators, statistics, simulation, ADR: all that a checkpoint holds
    assert_same_run(tmp_path / "whole", tmp_path / "parts")

    end = newest(tmp_path / "whole")
    before, after = flatten(halfway), flatten(end)
    changed = {path for path, leaf in after.items() if before.get(path) != leaf}
    for part in ("actor", "critic", "optimizer", "ranks.0.collector", "ranks.0.generator", "ranks.0.episodes"):
        assert any(path.startswith(f".{part}") for path in changed), part
    if preset == "adr":
        assert any(path.startswith(".ranks.0.collector.env.adr") for path in changed)
