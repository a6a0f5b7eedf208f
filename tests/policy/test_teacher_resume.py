"""Runs of the teacher, resumed and killed to the bit, and begun with another."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from policy import artefact, checkpoint
from policy.checkpoint import CheckpointError
from policy.teacher import TeacherRun
from policy.train import train
from tests.policy.teaching import HORIZON, NETWORK, WORLDS, config, run
from tests.policy.test_train import assert_same_run, flatten, newest
from tests.policy.turning import TurningEnv

N = 8
"""Updates of five control steps, of which forty are remembered: in 2 N updates all are overwritten."""


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path: Path):
    run(tmp_path / "whole", config(2 * N))
    run(tmp_path / "parts", config(N))
    halfway = newest(tmp_path / "parts")
    # another seed for the worlds: all of their state has to come from the checkpoint
    run(tmp_path / "parts", config(2 * N), resume=True, seed=99)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    before, after = flatten(halfway), flatten(newest(tmp_path / "whole"))
    changed = {path for path, leaf in after.items() if before.get(path) != leaf}
    parts = "actor.trunk.normalizer actor.head learner.critics learner.targets learner.actor_optimizer"
    own = "replay exploration generator observation start env episodes greedy_episodes"
    for part in [*parts.split(), "learner.critic_optimizer", *(f"ranks.0.{part}" for part in own.split())]:
        assert any(path.startswith(f".{part}") for path in changed), part


def test_a_run_killed_long_after_its_checkpoint_goes_on_from_there_to_the_bit(tmp_path: Path):
    run(tmp_path / "whole", config(2 * N))
    run(tmp_path / "killed", config(N))
    lost = TeacherRun(config(2 * N), TurningEnv(WORLDS, 7, lost=0.02), tmp_path / "killed" / "replay" / "0")
    lost.load_state_dict(newest(tmp_path / "killed"))
    lost.env.load_state_dict(TurningEnv(WORLDS, 8).state_dict())  # what it wrote after the checkpoint is different
    while not lost.must_save:  # more would not be written before another checkpoint
        lost.update()
    assert lost.updates == N + 3
    run(tmp_path / "killed", config(2 * N), resume=True, seed=99)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_checkpoint_is_written_before_what_it_needs_is_overwritten(tmp_path: Path):
    run(tmp_path, config(2 * N))
    saved = [int(path.stem) for path in checkpoint.find(tmp_path / "checkpoints")]
    # fifteen control steps are guarded, three updates
    assert saved == [0, 3, 6, 9, 12, 15, 16]


def test_a_run_begins_with_what_another_teacher_has_learnt_and_with_its_own_learning_rate(tmp_path: Path):
    run(tmp_path / "other", config(4))
    # before its warm-up is over, a run learns nothing
    run(tmp_path / "new", config(1, {"warmup": 1000, "learning_rate": 7e-5}), init=tmp_path / "other")
    old, new = newest(tmp_path / "other"), newest(tmp_path / "new")
    for name, weight in old["actor"].items():
        assert torch.equal(weight, new["actor"][name]) == ("normalizer" not in name), name
    for name in ("actor_optimizer", "critic_optimizer"):
        assert [group["lr"] for group in new["learner"][name]["param_groups"]] == [7e-5]
        assert flatten(old["learner"][name]["state"]) == flatten(new["learner"][name]["state"])
    for name in ("critics", "targets", "updates"):
        assert flatten(old["learner"][name]) == flatten(new["learner"][name])
    assert (new["updates"], new["ranks"][0]["replay"]["time"]) == (1, HORIZON)
    for name, value in {"atoms": 12, "critic_width": 17, "highest": 31.0, "lowest": -9.0}.items():
        with pytest.raises(CheckpointError, match=rf"config\.teacher\.{name}"):
            run(tmp_path / name, config(1, {name: value}), init=tmp_path / "other")


def test_a_teacher_begins_with_no_policy_of_another_kind(tmp_path: Path):
    ppo = config(1, algorithm="ppo", horizon=10)
    train(ppo, TurningEnv(WORLDS), tmp_path / "ppo", console=Console(file=io.StringIO()))
    with pytest.raises(CheckpointError, match="none of a teacher"):
        run(tmp_path / "new", config(1), init=tmp_path / "ppo")


def test_a_teacher_does_not_begin_without_critics(tmp_path: Path):
    env = TurningEnv(WORLDS)
    actor = TeacherRun(config(1), env, tmp_path / "replay").actor
    artefact.save(tmp_path / "policy", actor, env.policy_contract, env.action_contract, NETWORK, {})
    with pytest.raises(CheckpointError, match="brings no critics"):
        run(tmp_path / "new", config(1), init=tmp_path / "policy")
