"""Batched roll-outs against the plain use of MuJoCo: one model, one data, one ``mj_step`` after another."""

import copy

import mujoco
import numpy as np
import pytest
import torch

from robot import hand
from sim.env import ReorientEnv
from sim.task import TaskConfig
from tests.sim.cpu import cpu

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""Everything that decides how a simulation goes on."""


def write(model: mujoco.MjModel, fields: dict[str, np.ndarray]) -> None:
    """Gives a model the values of one world, by MuJoCo's names of the fields."""
    for name, value in fields.items():
        owner = model.opt if name.startswith("opt.") else model
        field = name.removeprefix("opt.")
        if np.ndim(getattr(owner, field)):
            getattr(owner, field)[...] = value
        else:
            setattr(owner, field, value.item())


@pytest.mark.parametrize("threads", [1, 2])
def test_roll_outs_equal_a_plain_loop_to_the_bit(dactyl, threads):
    n, steps = 3, 10
    env = ReorientEnv(TaskConfig(), dactyl, n, seed=0, threads=threads)
    physics, substeps = cpu(env), env.task.substeps
    env.reset()
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):  # into the middle of an episode
        env.step(2 * torch.rand(n, 20, generator=generator) - 1)
    fields = {name: values.numpy() for name, values in physics.state_dict()["fields"].items()}
    drawn = {"geom_size", "body_mass", "body_inertia", "geom_friction", "dof_damping", "actuator_gainprm", "jnt_range"}
    assert drawn | {"opt.gravity", "opt.timestep", "actuator_delay"} <= set(fields)
    targets = 1.5 * torch.rand(steps, n, 20, generator=generator)
    pushes = torch.randn(steps, n, 3, generator=generator)

    model = copy.copy(physics.model)
    data = mujoco.MjData(model)
    actuators = [model.actuator(name).id for name in hand.ACTUATOR_NAMES]
    block = model.body("block").id
    expected = np.empty((steps, n, mujoco.mj_stateSize(model, STATE)))
    for world in range(n):
        write(model, {name: values[world] for name, values in fields.items()})
        mujoco.mj_setState(model, data, physics.batch.state[world], STATE)
        for step in range(steps):
            data.ctrl[actuators] = targets[step, world].numpy()
            data.xfrc_applied[block, :3] = model.body_mass[block] * pushes[step, world].numpy()
            for _ in range(substeps):
                mujoco.mj_step(model, data)
            mujoco.mj_getState(model, data, expected[step, world], STATE)

    for step in range(steps):
        physics.set_target(targets[step])
        physics.push(pushes[step])
        physics.step(substeps)
        np.testing.assert_array_equal(physics.batch.state, expected[step])
    assert len(np.unique(expected[-1, :, 1])) == n  # the worlds have not all gone the same way


def test_the_number_of_threads_changes_nothing(dactyl):
    one, two = (ReorientEnv(TaskConfig(), dactyl, 7, seed=3, threads=threads) for threads in (1, 2))
    assert torch.equal(one.reset().policy, two.reset().policy)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        action = 2 * torch.rand(7, 20, generator=generator) - 1
        a, b = one.step(action), two.step(action)
        assert torch.equal(a.observation.policy, b.observation.policy) and torch.equal(a.reward, b.reward)
    np.testing.assert_array_equal(cpu(one).batch.state, cpu(two).batch.state)
