"""A training run with automatic domain randomization in the real simulation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inhand.training import TrainJob, run_training
from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.progress import Row, read_progress
from policy.train import TrainConfig
from randomization.adr import ADRConfig
from randomization.config import RandomizationConfig
from randomization.terms import PhysicsTerm

PER_UPDATE = 8 * 20
TERMS = {
    "mass": PhysicsTerm(["body_mass", "body_inertia"], "adr_factor(1)", of="object", per="group"),
    "gravity": PhysicsTerm(["opt.gravity"], "adr_jitter(1)", apply="add"),
}


def job(directory: Path, updates: int, **adr) -> TrainJob:
    return TrainJob(
        run=str(directory),
        physics_threads=1,
        # every end of a range moves outwards after each second episode, however badly it went
        randomization=RandomizationConfig(
            "grown", physics=TERMS, adr=ADRConfig(widen_at=0.0, narrow_at=-1.0, queue=2, **adr)
        ),
        train=TrainConfig(
            steps=updates * PER_UPDATE,
            num_envs=8,
            horizon=20,
            threads=1,
            network=NetworkConfig(hidden=16, lstm=16),
            ppo=PPOConfig(minibatches=2, epochs=1),
        ),
    )


def ranges(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name.startswith("adr/")} for row in rows]


@pytest.mark.slow
def test_ranges_grow_are_written_and_drawn_and_a_resumed_run_is_the_same_to_the_bit(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(job(whole, 8))
    run_training(job(parts, 3))
    run_training(replace(job(parts, 8), resume=True))
    rows = ranges(read_progress(whole))
    assert rows == ranges(read_progress(parts))
    assert (whole / "adr.json").read_bytes() == (parts / "adr.json").read_bytes()
    assert (whole / "adr.png").stat().st_size > 5000

    last = json.loads((whole / "adr.json").read_text())
    assert set(last) == {"physics.mass", "physics.gravity.sd"}
    assert last["physics.mass"][0] < 0.0 < last["physics.mass"][1]
    assert last["physics.gravity.sd"][0] == 0.0 < last["physics.gravity.sd"][1]
    for name, (low, high) in last.items():
        assert (rows[-1][f"adr/{name}/low"], rows[-1][f"adr/{name}/high"]) == (low, high)
    assert (rows[-1]["adr/entropy"] or 0.0) > (rows[0]["adr/entropy"] or 0.0)

    again = tmp_path / "again"
    run_training(job(again, 1, ranges=str(whole / "adr.json"), frozen=True))
    assert json.loads((again / "adr.json").read_text()) == last
    with pytest.raises(ValueError, match=r"adr\.frozen|adr\.ranges"):
        run_training(replace(job(again, 2), resume=True))
