"""Hidden fields against each world's own MuJoCo model, and against smoothing and slack by hand."""

import mujoco
import numpy as np
import torch

from randomization.config import RandomizationConfig
from randomization.terms import PhysicsTerm
from robot import hand
from robot.frames import Pose
from robot.observation import FIELDS, HIDDEN
from sim.env import ReorientEnv
from sim.puppet import base_pose
from sim.reset import ResetConfig
from sim.task import TaskConfig
from tests.sim.cpu import cpu

N = 3
PHYSICS = {
    "size": PhysicsTerm(["geom_size"], "uniform(0.9, 1.1)", of="object"),
    "mass": PhysicsTerm(["body_mass", "body_inertia"], "uniform(0.5, 1.5)", of="object"),
    "friction": PhysicsTerm(["geom_friction"], "uniform(0.7, 1.3)", of="all", per="group"),
    "damping": PhysicsTerm(["dof_damping"], "log_uniform(0.3, 3.0)", of="robot"),
    "gain": PhysicsTerm(["actuator_gainprm", "actuator_biasprm"], "log_uniform(0.75, 1.5)", of="robot"),
    "limits": PhysicsTerm(["jnt_range"], "normal(0, 0.05)", of="robot", apply="add"),
    "gravity": PhysicsTerm(["opt.gravity"], "normal(0, 0.4)", apply="add"),
}


def make(randomization: RandomizationConfig, names: tuple[str, ...] = HIDDEN) -> ReorientEnv:
    task = TaskConfig(reset=ResetConfig(cache=0))
    task.critic_observation += names
    return ReorientEnv(task, randomization, N, seed=0, threads=1)


def truth(env: ReorientEnv, model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """What a model says of itself, by names."""
    motors = [model.actuator(name) for name in hand.ACTUATOR_NAMES]
    joints = [model.joint(name) for name in hand.JOINT_NAMES]
    T_world_base: Pose = base_pose(env.physics.model)
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, T_world_base.quat.numpy())
    block = model.geom(int(model.body("block").geomadr[0]))
    return {
        "actuator_gain": np.array([motor.gainprm[0] for motor in motors]),
        "joint_damping": np.array([joint.damping[0] for joint in joints]),
        "joint_range": np.array([joint.range for joint in joints]),
        "object_size": block.size,
        "object_mass": model.body("block").mass,
        "object_friction": block.friction[:1],
        "gravity": matrix.reshape(3, 3).T @ model.opt.gravity,
    }


def test_parameters_are_those_of_each_worlds_model():
    plain, env = make(RandomizationConfig()), make(RandomizationConfig(physics=PHYSICS))
    for each in (plain, env):
        each.reset()
        for world in range(N):
            for name, value in truth(each, cpu(each).batch.get_model(world)).items():
                np.testing.assert_allclose(each.measurement[name][world], value, rtol=1e-6, err_msg=name)
    for name in truth(env, env.physics.model):
        values = env.measurement[name]
        assert values.dtype == torch.float32
        assert values.shape == (N, *FIELDS[name].shape)
        assert not torch.allclose(values[0], values[1]), f"{name} does not tell the worlds apart"
        assert torch.equal(plain.measurement[name][0], plain.measurement[name][1])


def test_a_new_episode_tells_of_its_own_physics_and_of_no_past_action():
    env = make(RandomizationConfig(physics=PHYSICS))
    env.reset()
    env.step(torch.ones(N, hand.NUM_ACTUATORS))
    before = {name: env.measurement[name].clone() for name in ("object_mass", "smoothed_action")}
    env._reset(torch.tensor([1]))
    for name, values in before.items():
        assert torch.equal(env.measurement[name][[0, 2]], values[[0, 2]])
        assert not torch.equal(env.measurement[name][1], values[1])
    assert torch.equal(env.measurement["smoothed_action"][1], torch.zeros(hand.NUM_ACTUATORS))


def test_the_smoothed_action_keeps_three_tenths_of_the_last():
    env = make(RandomizationConfig())
    env.reset()
    expected = torch.zeros(N, hand.NUM_ACTUATORS)
    for action in torch.tensor([1.0, -0.5, 0.25]):
        env.step(action.expand(N, hand.NUM_ACTUATORS))
        expected = 0.3 * expected + 0.7 * action
        torch.testing.assert_close(env.measurement["smoothed_action"], expected)
        torch.testing.assert_close(env.measurement["motor_target"], env.measurement["joint_target"])


def test_nothing_is_measured_that_nobody_asks_for():
    env = make(RandomizationConfig(), ("gravity",))
    assert set(HIDDEN) & set(env.measurement) == {"gravity"}
