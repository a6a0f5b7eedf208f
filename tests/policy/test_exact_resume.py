"""N updates, a checkpoint and N more are 2 N updates to the bit, in the real simulation under the real presets."""

from dataclasses import replace
from pathlib import Path

import pytest

from inhand.config import load
from inhand.train import TrainJob, run_training
from tests.policy.test_train import assert_same_run, newest

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
    "physics_threads=1",
    # episodes of ten steps, and a pool that is filled while the run goes on
    "task.goal.time_limit=0.8",
    f"task.reset.cache={WORLDS}",
    "task.reset.refresh=0.3",
]
PRESETS = {
    "dactyl": ["randomization=dactyl"],
    # every range moves outwards after each second episode at its end, however badly it went
    "adr": [
        "randomization=adr",
        "randomization.adr.widen_at=0",
        "randomization.adr.narrow_at=-1",
        "randomization.adr.queue=2",
        "randomization.adr.boundary_probability=1",
    ],
}


def train(directory: Path, preset: str, updates: int, resume: bool = False) -> None:
    overrides = [*SMALL, *PRESETS[preset], f"run={directory}", f"train.steps={updates * WORLDS * HORIZON}"]
    run_training(replace(load("train", TrainJob, overrides), resume=resume))


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(preset: str, tmp_path: Path):
    train(tmp_path / "whole", preset, 2 * N)
    train(tmp_path / "parts", preset, N)
    halfway = newest(tmp_path / "parts")
    train(tmp_path / "parts", preset, 2 * N, resume=True)
    # all that a checkpoint holds: weights, optimizer, normalizers, generators, statistics, simulation, ADR
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert (tmp_path / "whole/policy/weights.safetensors").read_bytes() == (
        tmp_path / "parts/policy/weights.safetensors"
    ).read_bytes()
    if preset == "adr":
        assert (tmp_path / "whole/adr.json").read_bytes() == (tmp_path / "parts/adr.json").read_bytes()
        end = newest(tmp_path / "whole")
        assert str(end["collector"]["env"]["adr"]) != str(halfway["collector"]["env"]["adr"])
