"""Training and evaluation where tensors lie on another device than the CPU (``tests/elsewhere.py``).

Physics is MuJoCo Warp's on its CPU device, whose arrays are handed over as tensors of that device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from inhand.config import load
from inhand.evaluate import EvalJob, run_evaluation
from inhand.training import TrainJob, run_training
from policy import parallel
from policy.checkpoint import find
from policy.checkpoint import load as load_checkpoint
from randomization.config import RandomizationConfig
from randomization.terms import PhysicsTerm
from robot import rotation
from sim.backend import SimConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig
from sim.term_draws import draw_all
from tests.elsewhere import DEVICE, Elsewhere, elsewhere, waits

pytest.importorskip("mujoco_warp", reason="needs the extra gpu")

import warp as wp

pytestmark = pytest.mark.slow

WARP = ["sim.backend=warp", "sim.device=cpu", "sim.contacts=48", "sim.constraints=192"]
SMALL = ["train.num_envs=8", "train.horizon=10", "train.threads=1", "train.ppo.minibatches=2", "task.reset.cache=8"]
SMALL += ["train.network.hidden=32", "train.network.lstm=32"]
TEACHER = ["algo=teacher", "train.teacher.warmup=100", "train.teacher.replay=3000", "train.teacher.guard=500"]
TEACHER += ["train.teacher.batch=32", "train.teacher.critic_width=32"]


@contextmanager
def away(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, Warp's arrays lie elsewhere."""
    to_torch, from_torch = wp.to_torch, wp.from_torch
    with elsewhere(patch), patch.context() as inside:
        inside.setattr(wp, "to_torch", lambda array: Elsewhere(to_torch(array)))
        inside.setattr(wp, "from_torch", lambda tensor, **types: from_torch(tensor.held, **types))
        inside.setattr(wp, "device_to_torch", lambda device: DEVICE)
        yield


def job(run: Path, *overrides: str) -> TrainJob:
    return load("train", TrainJob, [*WARP, f"run={run}", *overrides, *SMALL])


def test_what_a_gpu_refuses_is_refused(monkeypatch: pytest.MonkeyPatch):
    with elsewhere(monkeypatch):
        here, there = torch.arange(6.0).view(2, 3), torch.arange(6.0, device=DEVICE).view(2, 3)
        with pytest.raises(RuntimeError, match=r"shape \(2, 3\) lies on cpu"):
            _ = there + here
        with pytest.raises(RuntimeError, match="is indexed by one that lies elsewhere"):
            here[torch.tensor([1], device=DEVICE)]
        with pytest.raises(RuntimeError, match="the generator on"):
            torch.rand(2, device=DEVICE, generator=torch.Generator())
        with pytest.raises(RuntimeError, match="the generator on"):
            torch.rand(2, generator=torch.Generator(DEVICE))
        with pytest.raises(RuntimeError):
            there.numpy()
        waits.clear()
        # what it does not refuse
        assert ((there + torch.tensor(1.0))[torch.tensor([1])].cpu() == torch.tensor([[4.0, 5.0, 6.0]])).all()
        there[0] = here[1]
        assert there.tolist() == [[3.0, 4.0, 5.0]] * 2
        assert len(there[there > 3.5]) == 4
        assert waits == {"aten._to_copy.default": 2, "aten.copy_.default": 1, "aten.index.Tensor": 1}


def test_what_a_rank_gives_to_another_leaves_its_device(monkeypatch: pytest.MonkeyPatch):
    with elsewhere(monkeypatch):
        there = torch.ones(2, device=DEVICE)
        part = parallel.to_cpu({"a": [there, 1], "b": ("x", {2: there})})
        assert [type(each) for each in (part["a"][0], part["b"][1][2])] == [torch.Tensor] * 2
        assert (part["a"][1], part["b"][0]) == (1, "x")


@pytest.mark.parametrize(
    "overrides",
    [
        ["algo=gpu"],
        ["randomization=adr"],
        ["randomization=extended", "curriculum=gentle", "task.action.bins=0"],
        TEACHER,
    ],
    ids=["gpu", "adr", "extended", "teacher"],
)
def test_a_run_learns_and_resumes(overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with away(monkeypatch):
        run_training(job(tmp_path / "run", *overrides, "train.steps=160"))
    with away(monkeypatch):
        assert run_training(job(tmp_path / "run", *overrides, "train.steps=240", "resume=true")).control_steps == 240
    weights = load_checkpoint(find(tmp_path / "run" / "checkpoints")[-1])["actor"]
    assert all(value.isfinite().all() for value in weights.values())


def test_the_fields_of_a_preset_that_learns_are_drawn_there(monkeypatch: pytest.MonkeyPatch):
    preset = RandomizationConfig(physics={"damping": PhysicsTerm(["dof_damping"], "adr_factor(1)", of="robot")})
    with away(monkeypatch):
        sim = SimConfig("warp", "cpu", contacts=48, constraints=192)
        drawn = draw_all(preset, TaskConfig(), 8, 0, sim=sim)["physics.damping"]
    assert drawn.numel() >= 8 and float(drawn.log().std()) > 0.3  # of exponents in [-1, 1]
    assert float(drawn.log().abs().max()) <= 1.0 + 1e-6


def test_a_chain_leads_to_a_policy_that_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mixed = ["curriculum=mixed", "train.steps=160"]
    with away(monkeypatch):
        run_training(job(tmp_path / "teacher", *TEACHER, *mixed))
        run_training(job(tmp_path / "student", "algo=distill", f"teacher={tmp_path}/teacher/policy", *mixed))
        run_training(
            job(tmp_path / "finished", "algo=finish", f"init={tmp_path}/student", "train.ppo.critic_warmup=0", *mixed)
        )
        policy = f"policy={tmp_path}/finished/policy"
        short = ["trials=4", "goal.time_limit=0.8", "reset.cache=8", "sample=true", f"video={tmp_path}/trial.mp4"]
        evaluation, clip = run_evaluation(load("eval", EvalJob, [*WARP, policy, *short]))
        assert len(evaluation.successes) == 4
        assert clip is not None
        assert clip.moments[0].joint_pos.numpy().shape == (24,)  # what draws it is on the CPU


def test_worlds_are_the_same_elsewhere_and_a_step_hardly_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here = worlds(tmp_path)
    for _ in range(3):
        here.step(torch.zeros(8, 20))
    expected = here.step(torch.zeros(8, 20)).observation
    with away(monkeypatch):
        there = worlds(tmp_path)
        for _ in range(3):
            there.step(torch.zeros(8, 20, device=DEVICE))
        waits.clear()
        step = there.step(torch.zeros(8, 20, device=DEVICE))
        assert not (step.terminated | step.truncated).any()
        assert sum(waits.values()) <= 5, waits
        assert not [name for name in waits if "copy" in name], waits
        np.testing.assert_array_equal(step.observation.critic.cpu().numpy(), expected.critic.numpy())
        np.testing.assert_array_equal(step.observation.policy.cpu().numpy(), expected.policy.numpy())
        np.testing.assert_array_equal(there.physics.qpos.cpu().numpy(), here.physics.qpos.numpy())
        where = torch.tensor([0], device=DEVICE)
        there.physics.set_block(where, torch.tensor([[0.4, 0.3, 0.3]]).to(DEVICE), rotation.identity(1).to(DEVICE))
        there.physics.forward(where)
        waits.clear()
        assert there.step(torch.zeros(8, 20, device=DEVICE)).terminated.tolist() == [True] + [False] * 7
        assert sum(waits.values()) <= 6, waits  # but for the solver of frames, which waits unseen


def worlds(run: Path) -> ReorientEnv:
    """Eight under the preset ``dactyl``, at the beginning of their episodes."""
    made = job(run)
    env = ReorientEnv(made.task, made.randomization, 8, seed=0, threads=1, sim=made.sim)
    env.reset()
    return env
