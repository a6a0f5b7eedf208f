"""Distillation: the student comes to do what a teacher with a known law does, and can be improved from there."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from policy import artefact, checkpoint
from policy.checkpoint import CheckpointError
from policy.distill import TeacherPolicy
from policy.network import Actor, NetworkConfig
from policy.ppo_config import PPOConfig
from policy.runtime import PolicyRuntime
from policy.train import train
from policy.train_config import TrainConfig
from robot.action import ActionContract
from robot.observation import ObservationContract
from tests.policy.test_train import assert_same_run
from tests.policy.toy import CRITIC, POLICY, ToyEnv

GAIN = 2.0
STUDENT = TrainConfig(
    algorithm="distill",
    num_envs=64,
    horizon=20,
    steps=100 * 20 * 64,
    threads=1,
    network=NetworkConfig(hidden=64, lstm=32),
    ppo=PPOConfig(learning_rate=5e-3, epochs=2, minibatches=4, gamma=0.9),
)


def save_teacher(directory: Path, memory: bool = False, names: tuple[str, ...] = POLICY.names) -> Path:
    """The policy tanh(-2 x) for the three actuators that move the point, and 0 for all others."""
    network = NetworkConfig(hidden=6, lstm=6, memory=memory, critic_memory=False)
    contract, action = ObservationContract(names), ActionContract(bins=0)
    actor = Actor(contract.sizes, action.size, 0, network, torch.Generator().manual_seed(0))
    if isinstance(actor.trunk.core, torch.nn.Linear):
        identity = torch.eye(3)
        with torch.no_grad():
            for parameter in actor.parameters():
                parameter.zero_()
            actor.trunk.embed.weight.copy_(torch.cat((identity, -identity)))  # relu(x) and relu(-x)
            actor.trunk.core.weight.copy_(torch.eye(6))
            actor.head.weight[:3] = GAIN * torch.cat((-identity, identity), dim=1)
    artefact.save(directory, actor, contract, action, network, {})
    return directory


def run(directory: Path, config: TrainConfig, teacher: Path, resume: bool = False) -> Actor:
    console = Console(file=io.StringIO())
    return train(config, ToyEnv(64), directory, resume, console, teacher=teacher).actor


def test_the_teacher_is_asked_about_what_the_critic_sees(tmp_path: Path):
    teacher = TeacherPolicy(artefact.load(save_teacher(tmp_path / "t")), CRITIC, torch.device("cpu"))
    seen = torch.randn(5, 7, 6)
    torch.testing.assert_close(teacher.act(seen)[..., :3], (-GAIN * seen[..., :3]).tanh())
    assert not teacher.act(seen)[..., 3:].any()


def test_a_teacher_is_not_asked_about_what_it_never_saw_change(tmp_path: Path):
    contract, action = ObservationContract(("object_angvel", "object_pos")), ActionContract(bins=0)
    network = NetworkConfig(hidden=4, lstm=4, memory=False, critic_memory=False)
    actor = Actor(contract.sizes, action.size, 0, network, torch.Generator().manual_seed(0))
    learnt_in = torch.randn(1000, 6)
    learnt_in[:, :3] = torch.tensor([0.0, 0.25, 0.0])
    actor.trunk.normalizer.update(learnt_in)
    artefact.save(tmp_path / "t", actor, contract, action, network, {})
    policy = TeacherPolicy(artefact.load(tmp_path / "t"), contract, torch.device("cpu"))
    assert policy.act(learnt_in).isfinite().all()
    learnt_in[17, 1] = 0.3
    with pytest.raises(ValueError, match=r"reads object_angvel, which was always 0.25 where it learnt and is 0.3 here"):
        policy.act(learnt_in)


def test_the_student_does_what_the_teacher_would(tmp_path: Path):
    actor = run(tmp_path / "run", STUDENT, save_teacher(tmp_path / "t"))
    policy = PolicyRuntime(actor, POLICY, ToyEnv.action_contract)
    pos = 0.6 * torch.randn(200, 3, generator=torch.Generator().manual_seed(1)).clamp(-1.5, 1.5)
    action, _ = policy.act(pos, policy.initial_state(200))
    error = (action[:, :3] - (-GAIN * pos).tanh()).abs()
    assert error.mean() < 0.1  # classes lie 0.2 apart, so that an action is off by 0.05 on average
    assert action[:, 3:].abs().max() == 0.0


def test_a_distillation_resumes_to_the_bit_and_only_with_its_teacher(tmp_path: Path):
    teacher = save_teacher(tmp_path / "t")
    half, whole = replace(STUDENT, steps=3 * 20 * 64), replace(STUDENT, steps=6 * 20 * 64)
    run(tmp_path / "whole", whole, teacher)
    run(tmp_path / "parts", half, teacher)
    run(tmp_path / "parts", whole, teacher, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    other = save_teacher(tmp_path / "other", names=("object_linvel",))
    with pytest.raises(CheckpointError, match="teacher"):
        run(tmp_path / "parts", replace(whole, steps=7 * 20 * 64), other, resume=True)


def test_ppo_goes_on_from_a_student_its_critic_first(tmp_path: Path):
    run(tmp_path / "student", replace(STUDENT, steps=3 * 20 * 64), save_teacher(tmp_path / "t"))
    ppo = replace(STUDENT.ppo, critic_warmup=2, learning_rate=1e-3)
    for updates, moved in ((3, False), (4, True)):  # the first roll-out only shows what observations look like
        directory = tmp_path / f"finished{updates}"
        config = replace(STUDENT, algorithm="ppo", ppo=ppo, steps=updates * 20 * 64)
        train(config, ToyEnv(64), directory, console=Console(file=io.StringIO()), init=tmp_path / "student")
        before, after = (checkpoint.load_newest(each / "checkpoints") for each in (tmp_path / "student", directory))
        name = "head.weight"
        assert torch.equal(before["actor"][name], after["actor"][name]) != moved
        assert not torch.equal(before["critic"][name], after["critic"][name])


def test_a_teacher_with_a_memory_or_one_that_sees_more_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="the teacher has a memory"):
        run(tmp_path / "a", STUDENT, save_teacher(tmp_path / "t1", memory=True))
    with pytest.raises(ValueError, match="lacks object_angvel"):
        run(tmp_path / "b", STUDENT, save_teacher(tmp_path / "t2", names=("object_angvel",)))


def test_a_teacher_goes_with_distillation_and_nothing_else(tmp_path: Path):
    with pytest.raises(ValueError, match="distillation needs a teacher"):
        train(STUDENT, ToyEnv(64), tmp_path)
    with pytest.raises(ValueError, match="only distill imitates one"):
        run(tmp_path, replace(STUDENT, algorithm="ppo"), save_teacher(tmp_path / "t"))
