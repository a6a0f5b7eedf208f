"""The task as an environment: what it measures, ends and starts anew (rewards: see test_episode.py)."""

import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from randomization.config import RandomizationConfig
from robot import hand, rotation
from robot.action import ActionContract
from robot.goal import GoalConfig
from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv
from sim.scene import SceneConfig, build_model
from sim.task import TaskConfig
from tests.sim.cpu import cpu


def make(randomization, n: int = 2, task: TaskConfig | None = None, seed: int = 0) -> ReorientEnv:
    return ReorientEnv(task or TaskConfig(), randomization, n, seed, threads=1)


def hold(env: ReorientEnv) -> torch.Tensor:
    return torch.zeros(env.num_envs, 20)


def test_measurements_are_those_of_the_present_state():
    physics = CpuPhysics(build_model(), 2, threads=1)
    physics.set_target(torch.rand(2, 20))
    physics.step(37)
    measured = physics.measure()
    for world in range(2):
        model, data = physics.model, physics.batch.get_data(world)
        mujoco.mj_forward(model, data)
        base = data.body("rh_forearm")
        to_base = base.xmat.reshape(3, 3).T
        tips = np.array([to_base @ (data.site(name).xpos - base.xpos) for name in hand.FINGERTIP_MARKERS])
        np.testing.assert_allclose(measured["fingertip_pos"][world], tips, atol=1e-6)
        block = data.body("block")
        np.testing.assert_allclose(measured["object_pos"][world], to_base @ (block.xpos - base.xpos), atol=1e-6)
        turned = Rotation.from_matrix(to_base @ block.xmat.reshape(3, 3))
        ours = Rotation.from_quat(measured["object_quat"][world].numpy(), scalar_first=True)
        assert (turned * ours.inv()).magnitude() < 1e-5
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, block.id, velocity, 0)
        np.testing.assert_allclose(measured["object_angvel"][world], to_base @ velocity[:3], atol=1e-5)
        np.testing.assert_allclose(measured["object_linvel"][world], to_base @ velocity[3:], atol=1e-5)
        np.testing.assert_allclose(
            measured["joint_pos"][world], [data.joint(n).qpos[0] for n in hand.JOINT_NAMES], atol=1e-6
        )


ABOVE = (0.0, -0.25, 0.32)
ASIDE = (0.4, 0.3, 0.3)


def place_block(env: ReorientEnv, quat: torch.Tensor, pos: tuple[float, float, float] = ABOVE) -> None:
    """Holds world 0's block in the air; in one control step it falls a few centimetres and does not turn."""
    env.physics.set_block(torch.tensor([0]), torch.tensor([pos]), quat)
    env.physics.forward(torch.tensor([0]))


def test_a_drop_costs_twenty_and_ends_the_episode(none):
    env = make(none)
    env.reset()
    place_block(env, env.measurement["object_quat"][:1], ASIDE)
    step = env.step(hold(env))
    assert step.terminated.tolist() == [True, False] and not step.truncated.any()
    assert float(step.reward[0]) == pytest.approx(-20.0, abs=1e-3)  # it fell without turning
    # the world has been reset within the step, the critic's last sight of the old one is kept
    height = slice(15 + 1, 15 + 2)
    assert float(step.final_critic[0, height]) > 0.1 > float(step.observation.critic[0, height])
    assert int(env.goals.successes[0]) == 0


def test_the_last_of_fifty_goals_ends_the_episode(none):
    env = make(none, task=TaskConfig(goal=GoalConfig(max_successes=50)))
    env.reset()
    for k in range(50):
        place_block(env, env.goals.quat[:1])
        step = env.step(hold(env))
        assert int(step.successes[0]) == k + 1
        assert bool(step.truncated[0]) == (k == 49)


def test_policy_sees_noise_and_critic_does_not(dactyl, none):
    clean, noisy = make(none), make(dactyl)
    for env, same in ((clean, True), (noisy, False)):
        observation = env.reset()
        # both contracts begin with fingertips and block position
        assert torch.equal(observation.policy[:, :18], observation.critic[:, :18]) == same
        exact = env.physics.measure()
        torch.testing.assert_close(observation.critic[:, :15], exact["fingertip_pos"].flatten(1))


def test_same_seed_same_world(dactyl):
    a, b, c = make(dactyl, seed=5), make(dactyl, seed=5), make(dactyl, seed=6)
    assert torch.equal(a.reset().policy, b.reset().policy)
    assert not torch.equal(b.reset().policy, c.reset().policy)


def test_a_period_that_is_no_multiple_of_the_sub_step_is_refused():
    with pytest.raises(ValueError, match="whole number of sub-steps"):
        TaskConfig(action=ActionContract(period=0.05), scene=SceneConfig(timestep=0.008))


def test_a_diverged_world_is_counted_and_starts_anew(none):
    env = make(none)
    env.reset()
    cpu(env).batch.bind("qvel")[0, 3] = np.nan
    step = env.step(hold(env))
    assert step.terminated.tolist() == [True, False] and env.diverged == 1
    assert float(step.reward[0]) == 0.0
    assert torch.isfinite(step.observation.critic).all()
    assert not env.step(hold(env)).done.any()


@pytest.mark.slow
def test_a_thousand_random_episodes_under_every_randomization(dactyl):
    n = 128
    env = ReorientEnv(TaskConfig(), dactyl, n, seed=0)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    episodes = 0
    while episodes < 1000:
        step = env.step(env.action_contract.from_bins(torch.randint(0, 11, (n, 20), generator=generator)))
        assert torch.isfinite(step.observation.policy).all() and torch.isfinite(step.observation.critic).all()
        assert torch.isfinite(step.reward).all()
        episodes += int(step.done.sum())
    assert env.diverged == 0


def test_measurements_of_the_hand_are_mujocos():
    physics = CpuPhysics(build_model(), 2, threads=1)
    physics.set_target(torch.rand(2, 20))
    physics.step(5)  # it still moves
    measured = physics.measure()
    for world in range(2):
        model, data = physics.model, physics.batch.get_data(world)
        mujoco.mj_forward(model, data)
        speeds = [data.joint(name).qvel[0] for name in hand.JOINT_NAMES]
        assert np.abs(speeds).max() > 0.5
        np.testing.assert_allclose(measured["joint_vel"][world], speeds, atol=1e-5)
        told = [data.actuator(name).ctrl[0] for name in hand.ACTUATOR_NAMES]
        np.testing.assert_allclose(measured["joint_target"][world], told, atol=1e-6)
        to_base = data.body("rh_forearm").xmat.reshape(3, 3).T
        links = model.site_bodyid[[model.site(name).id for name in hand.FINGERTIP_MARKERS]]
        turned = Rotation.from_matrix(to_base @ data.xmat[links].reshape(5, 3, 3))
        ours = Rotation.from_quat(measured["fingertip_quat"][world].numpy(), scalar_first=True)
        assert (turned * ours.inv()).magnitude().max() < 1e-5


def test_a_new_episode_reports_the_targets_that_it_begins_with():
    env = make(RandomizationConfig())
    env.reset()
    env.step(torch.full((2, 20), 0.7))
    env.physics.set_block(torch.tensor([0]), torch.tensor([[0.4, 0.3, 0.3]]), rotation.identity(1))
    env.physics.forward(torch.tensor([0]))
    step = env.step(torch.full((2, 20), 0.7))
    assert step.terminated.tolist() == [True, False]
    told = env.critic_contract.split(step.observation.critic)["joint_target"]
    for world in (0, 1):
        data = cpu(env).batch.get_data(world)
        np.testing.assert_allclose(
            told[world], [data.actuator(name).ctrl[0] for name in hand.ACTUATOR_NAMES], atol=1e-6
        )


def test_a_world_that_breaks_down_has_reached_nothing():
    env = make(RandomizationConfig())
    env.reset()
    start = Rotation.from_quat(env.physics.model.qpos0[-4:], scalar_first=True)  # MuJoCo puts the block there
    base = Rotation.from_quat(env.physics.T_world_base.quat.numpy(), scalar_first=True)
    env.goals.quat[0] = torch.from_numpy((base.inv() * start).as_quat(scalar_first=True)).float()
    env.goals.successes[:] = 3
    cpu(env).batch.bind("qvel")[0, 3] = np.nan
    step = env.step(torch.zeros(2, 20))
    assert step.terminated[0] and step.successes[0] == 3 and step.reward[0] == 0.0
