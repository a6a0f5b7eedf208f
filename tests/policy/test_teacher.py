"""The teacher in a world whose shortest ways are known, and what it cannot learn from."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from policy.progress import read_progress
from policy.replay import ENDED
from policy.runtime import PolicyRuntime
from policy.teacher import TeacherRun
from policy.teacher_config import TeacherConfig
from policy.train import train
from policy.train_config import TrainConfig
from robot.action import ActionContract
from robot.observation import ObservationContract
from sim.task import RewardConfig
from tests.policy.teaching import HORIZON, NETWORK, WORLDS, config
from tests.policy.toy import GaussianEnv
from tests.policy.turning import REACH, TurningEnv, steps_per_goal, straight


@pytest.mark.slow
def test_it_learns_the_shortest_way_to_every_goal(tmp_path: Path):
    worlds, steps = 256, 60
    best = steps_per_goal(env := TurningEnv(worlds, 5), lambda _: straight(env), steps)
    generator = torch.Generator().manual_seed(0)
    anyhow = steps_per_goal(
        TurningEnv(worlds, 5), lambda _: 2.0 * torch.rand(worlds, 20, generator=generator) - 1.0, steps
    )
    assert 6.0 < best < 8.0 and anyhow > 50.0 * best

    teacher = TeacherConfig(
        gamma=0.9,
        batch=256,
        replay=64 * 2000,
        guard=64 * 200,
        warmup=64 * 20,
        hindsight=0.7,
        lowest=-5.0,
        highest=25.0,
        atoms=51,
        critic_width=64,
        learning_rate=2e-3,
        actor_period=4,
        bf16=False,
    )
    network = replace(NETWORK, hidden=64, lstm=64)
    settings = config(1, num_envs=64, horizon=20, steps=24 * 20 * 64, network=network)
    env = TurningEnv(64)
    actor = train(replace(settings, teacher=teacher), env, tmp_path, console=Console(file=io.StringIO())).actor
    policy = PolicyRuntime(actor, env.policy_contract, env.action_contract)
    learnt = steps_per_goal(
        TurningEnv(worlds, 5), lambda seen: policy.act(seen, policy.initial_state(worlds))[0], steps
    )
    assert learnt < 1.3 * best
    # the worlds without exploration show it during the run
    assert (read_progress(tmp_path)[-1]["greedy_successes"] or 0.0) > 2.0


def test_the_straight_way_takes_as_many_steps_as_the_angle_needs():
    env = TurningEnv(200, 2)
    env.reset()
    expected = ((env.goals.distance - env.task.goal.threshold) / REACH).floor() + 1
    taken, going_on = torch.zeros(200), torch.ones(200, dtype=torch.bool)
    for _ in range(12):
        taken += going_on
        going_on &= env.step(straight(env)).successes == 0
    assert torch.equal(taken, expected)


def test_what_is_remembered_is_what_happened(tmp_path: Path):
    teacher = TeacherRun(config(1), TurningEnv(WORLDS, 1, lost=0.1), tmp_path)
    for _ in range(4):
        teacher.update()
    replay, world = teacher.replay, torch.arange(WORLDS)
    ends = []
    for time in range(19):
        now, later = torch.full_like(world, time), torch.full_like(world, time + 1)
        ended, start = replay.end(now, world), replay.start(now, world)
        ends += ended.tolist()
        following = teacher.contract.split(replay.read(later, world)["measured"])["object_quat"]
        assert torch.equal((replay.read_one("next_quat", now, world) == following).all(dim=1), ended == 0)
        assert torch.equal(replay.start(later, world), torch.where(ended > 0, time + 1, start))
    assert set(ends) == {0, 1}


def test_a_step_after_which_nothing_is_known_teaches_nothing(tmp_path: Path):
    teacher = TeacherRun(config(1), TurningEnv(WORLDS, 1, diverging=0.1), tmp_path)
    for _ in range(6):
        teacher.update()
    assert all(bool(value.isfinite().all()) for value in teacher.actor.state_dict().values())
    replay, world = teacher.replay, torch.arange(WORLDS)
    ends = torch.cat([replay.end(torch.full_like(world, time), world) for time in range(19)])
    assert set(ends.tolist()) == {0, ENDED.index("truncated")}


def refused(directory: Path, word: str, settings: TrainConfig, env: Any = None, **attributes: Any) -> None:
    env = env or TurningEnv(WORLDS)
    for name, value in attributes.items():
        setattr(env, name, value)
    with pytest.raises(ValueError, match=word):
        TeacherRun(settings, env, directory / "replay")
    assert not (directory / "replay").exists()


def test_what_a_teacher_cannot_learn_from_is_refused_by_name(tmp_path: Path):
    refused(tmp_path, "11 bins", config(1), action_contract=ActionContract())
    refused(tmp_path, "no memory", config(1, network=replace(NETWORK, memory=True)))
    refused(tmp_path, "lacks object_quat", config(1), critic_contract=ObservationContract(("goal_quat",)))
    refused(tmp_path, "lacks goal_quat", config(1), critic_contract=ObservationContract(("object_quat",)))
    seen = ObservationContract(("goal_rel_matrix", "joint_pos"))
    refused(tmp_path, "lacks joint_pos", config(1), policy_contract=seen)
    refused(tmp_path, "GaussianEnv has none", config(1), GaussianEnv(WORLDS))
    refused(tmp_path, "guard is 32 control steps, 4 of each world", config(1, {"guard": WORLDS * 4}))
    refused(tmp_path, "leaves 3 of each", config(1, {"guard": WORLDS * 37}))
    dear = replace(TurningEnv(WORLDS).task, reward=RewardConfig(drop=-15.0))
    refused(tmp_path, r"a drop earns -15.0 .*train\.teacher\.lowest=", config(1), task=dear)


def test_learning_waits_until_enough_is_known(tmp_path: Path):
    teacher = TeacherRun(config(1, {"warmup": 0}), TurningEnv(WORLDS), tmp_path)
    teacher.update()
    assert teacher.learner.updates == HORIZON - 3  # the three steps of a return have to follow the first
