"""A training run under a curriculum in the real simulation."""

from dataclasses import replace
from pathlib import Path

import pytest

from inhand.training import TrainJob, run_training
from policy.checkpoint import CheckpointError
from policy.curriculum import CurriculumConfig
from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from policy.progress import read_progress
from policy.train import TrainConfig
from randomization.config import RandomizationConfig
from robot.goal import GoalConfig
from sim.task import TaskConfig
from tests.policy.test_train import assert_same_run
from tests.sim.conftest import preset

PER_UPDATE = 4 * 10
CURRICULUM = CurriculumConfig(
    threshold=[[0, 1.0], [6 * PER_UPDATE, 0.4]],
    goal_law=[[0, "parallel"], [2 * PER_UPDATE, "face_up"], [4 * PER_UPDATE, "so3"]],
    gravity=[[0, 0.5], [4 * PER_UPDATE, 1.0]],
    randomization=[[PER_UPDATE, 0.0], [5 * PER_UPDATE, 1.0]],
)


def job(directory: Path, updates: int, randomization: RandomizationConfig, curriculum: CurriculumConfig) -> TrainJob:
    return TrainJob(
        run=str(directory),
        physics_threads=1,
        task=TaskConfig(goal=GoalConfig(time_limit=0.8)),  # episodes of one update at most
        randomization=randomization,
        train=TrainConfig(
            steps=updates * PER_UPDATE,
            num_envs=4,
            horizon=10,
            threads=1,
            network=NetworkConfig(hidden=16, lstm=16),
            ppo=PPOConfig(minibatches=2, epochs=1),
            curriculum=curriculum,
        ),
    )


@pytest.mark.slow
def test_a_run_resumed_in_the_middle_of_a_curriculum_is_the_same_to_the_bit(tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_training(job(whole, 7, preset("dactyl"), CURRICULUM))
    run_training(job(parts, 3, preset("dactyl"), CURRICULUM))
    run_training(replace(job(parts, 7, preset("dactyl"), CURRICULUM), resume=True))
    assert_same_run(whole, parts)
    rows = read_progress(whole)
    assert [row["curriculum/goal_law"] for row in rows] == [0, 0, 1, 1, 2, 2, 2]
    assert [row["curriculum/randomization"] for row in rows] == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 1])
    assert [row["curriculum/gravity"] for row in rows] == pytest.approx([0.5, 0.625, 0.75, 0.875, 1, 1, 1])
    assert [row["curriculum/threshold"] for row in rows] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    with pytest.raises(CheckpointError, match=r"config\.curriculum\.goal_law"):
        run_training(replace(job(parts, 8, preset("dactyl"), replace(CURRICULUM, goal_law=[])), resume=True))


def test_a_share_of_automatic_domain_randomization_is_refused_before_the_run_begins(tmp_path: Path):
    with pytest.raises(ValueError, match="with automatic domain randomization"):
        run_training(job(tmp_path / "run", 1, preset("adr"), CURRICULUM))
    assert not (tmp_path / "run" / "checkpoints").exists()
