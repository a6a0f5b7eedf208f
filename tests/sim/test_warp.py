"""Physics of MuJoCo Warp against MuJoCo itself, on Warp's CPU device: slow, but the same kernels as on a GPU.

Warp computes in single precision and finds contacts by algorithms of its own, so that a block that lies on its edge may
have one contact more or less; where both find as many, accelerations agree to rounding.
"""

from dataclasses import replace

import cv2
import mujoco
import numpy as np
import pytest
import torch

from randomization.config import RandomizationConfig
from sim.backend import BackendUnavailable, SimConfig, make_physics
from sim.camera import Camera
from sim.env import ReorientEnv
from sim.physics import Physics
from sim.reset import ResetConfig
from sim.task import TaskConfig
from tests.sim.cpu import cpu

pytest.importorskip("mujoco_warp", reason="needs the extra gpu")

import mujoco_warp as mjw

from sim.warp_camera import BatchCamera
from sim.warp_capacity import Capacity, CapacityExceeded, calibrate, least_constraints
from sim.warp_physics import STATE, WarpPhysics

pytestmark = pytest.mark.slow

WORLDS = 200
WARP = SimConfig("warp", "cpu")
POOL = ResetConfig(cache=8)
KERNEL = np.ones((5, 5), np.uint8)


def warp(physics: Physics) -> WarpPhysics:
    assert isinstance(physics, WarpPhysics)
    return physics


@pytest.fixture(scope="module")
def recorded(dactyl: RandomizationConfig) -> ReorientEnv:
    """Worlds on the CPU, each with physics of its own, in the middle of a roll-out of random actions."""
    env = ReorientEnv(TaskConfig(), dactyl, WORLDS, seed=0, threads=1)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        env.step(2.0 * torch.rand(WORLDS, 20, generator=generator) - 1.0)
    return env


@pytest.fixture(scope="module")
def copied(recorded: ReorientEnv) -> WarpPhysics:
    """The same worlds on Warp."""
    ours, everyone = cpu(recorded), torch.arange(WORLDS)
    physics = warp(make_physics(ours.model, WORLDS, 1, WARP))
    for field in (*recorded.randomizer.nominal, "geom_rbound", "geom_aabb", "opt.timestep"):
        physics.expand(field).copy_(ours.expand(field))
    physics.set_const(everyone)
    for name in STATE:
        values = torch.from_numpy(ours.batch.bind(name))
        physics.state[name].copy_(values.view(physics.state[name].shape))
    return physics


def test_accelerations_contacts_and_forces_are_those_of_mujoco(recorded, copied):
    mjw.forward(copied.m, copied.d)
    found = int(copied.d.nacon.numpy()[0])
    contacts = np.bincount(copied.d.contact.worldid.numpy()[:found], minlength=WORLDS)
    forces, accelerations = copied.d.actuator_force.numpy(), copied.d.qacc.numpy()
    same, errors = 0, []
    for world in range(WORLDS):
        model, data = cpu(recorded).batch.get_model(world), cpu(recorded).batch.get_data(world)
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(forces[world], data.actuator_force, atol=2e-6)
        assert abs(contacts[world] - data.ncon) <= 4
        if contacts[world] == data.ncon:
            same += 1
            errors.append(np.abs(accelerations[world] - data.qacc).max() / np.abs(data.qacc).max())
    assert same > 0.6 * WORLDS
    assert np.median(errors) < 1e-4
    assert np.mean(np.array(errors) < 0.01) > 0.8


def test_derived_constants_are_those_of_mujoco(recorded, copied):
    names = "body_subtreemass body_invweight0 dof_invweight0 tendon_invweight0 actuator_acc0 geom_rbound geom_aabb"
    for name in names.split():
        ours = np.stack([getattr(cpu(recorded).batch.get_model(world), name) for world in range(WORLDS)])
        theirs = getattr(copied.m, name).numpy().reshape(ours.shape)
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5 * np.abs(ours).max(), err_msg=name)


def test_a_control_step_leads_to_the_same_measurement(recorded, copied):
    ours = cpu(recorded)
    state = ours.state_dict()
    for physics in (ours, copied):
        physics.push(torch.tensor([[0.5, 0.0, 1.0]]).expand(WORLDS, 3))
        physics.step(4)
    expected, got = ours.measure(), copied.measure()
    ours.load_state_dict(state)
    limits = {"joint_pos": 1e-4, "fingertip_pos": 1e-5, "object_pos": 1e-4, "object_quat": 1e-3, "joint_vel": 5e-3}
    for name, limit in limits.items():
        worst = (got[name] - expected[name]).abs().flatten(1).amax(1)
        assert float(worst.median()) < limit, name
    # contacts that one of the two has not found show in few worlds
    assert float((got["object_pos"] - expected["object_pos"]).norm(dim=1).quantile(0.95)) < 0.002


def test_an_environment_runs_resumes_and_resets_its_worlds(dactyl):
    def make(seed: int) -> ReorientEnv:
        return ReorientEnv(TaskConfig(reset=POOL), dactyl, 16, seed=seed, sim=WARP)

    env = make(0)
    env.reset()
    assert env.resetter.pool.full
    # a broken world ends its episode without a reward and begins anew; the others do not notice
    env.physics.qvel[3, 0] = float("nan")
    step = env.step(torch.zeros(16, 20))
    assert step.terminated[3]
    assert env.metrics()["diverged"] == 1
    assert step.observation.critic.isfinite().all()
    state = env.state_dict()
    other = make(9)
    other.reset()
    other.load_state_dict(state)
    action = torch.rand(16, 20, generator=torch.Generator().manual_seed(0))
    first, second = env.step(action), other.step(action)
    assert torch.equal(first.observation.policy, second.observation.policy)
    assert torch.equal(first.reward, second.reward)


def test_worlds_that_run_out_of_room_stop_the_run(recorded):
    model = cpu(recorded).model
    needed = calibrate(model)
    assert needed.contacts > int(cpu(recorded).batch.bind("ncon").max())
    least = least_constraints(model)
    assert least + 8 < needed.constraints
    env = ReorientEnv(TaskConfig(reset=POOL), RandomizationConfig(), 16, 0, sim=replace(WARP, constraints=least + 8))
    env.reset()
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(CapacityExceeded, match=rf"sim\.constraints above {least + 8}"):
        for _ in range(40):
            env.step(2.0 * torch.rand(16, 20, generator=generator) - 1.0)
            env.metrics()
    none = ReorientEnv(TaskConfig(reset=POOL), RandomizationConfig(), 16, 0, sim=replace(WARP, contacts=1))
    with pytest.raises(CapacityExceeded, match=r"sim\.contacts above 1"):
        none.reset()  # no block can settle, and that is why
    with pytest.raises(ValueError, match=f"sim constraints is {least - 1}"):
        make_physics(model, 1, 1, replace(WARP, constraints=least - 1))
    Capacity(8, 8).require(0)
    with pytest.raises(CapacityExceeded, match=r"sim\.contacts above 9"):
        Capacity(9, 8).require(int(mjw.OverflowType.NARROWPHASE))


def test_what_is_missing_is_named(recorded):
    model = cpu(recorded).model
    with pytest.raises(BackendUnavailable, match="sim device is 'cuda:7'; here are cpu"):
        make_physics(model, 1, 1, SimConfig("warp", "cuda:7"))
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailable, match="finds no CUDA device"):
            make_physics(model, 1, 1, SimConfig("warp"))
    with pytest.raises(ValueError, match="bvh_aabb cannot differ"):
        make_physics(model, 1, 1, WARP).expand("bvh_aabb")
    with pytest.raises(ValueError, match="reset cache is 0"):
        ReorientEnv(TaskConfig(reset=ResetConfig(cache=0)), RandomizationConfig(), 8, seed=0, sim=WARP)
    with pytest.raises(ValueError, match="sim backend is 'gpu'; allowed: cpu, warp"):
        SimConfig("gpu")


def test_cameras_see_the_block_as_mujoco_draws_it():
    env = ReorientEnv(TaskConfig(reset=POOL), RandomizationConfig(), 4, seed=0, sim=WARP)
    env.reset()
    size, cameras = 160, ("camera2", "camera0")
    pictures = BatchCamera(warp(env.physics), size, size, cameras).render().numpy()
    assert pictures.shape == (4, 2, size, size, 3)
    model = env.physics.model
    data = mujoco.MjData(model)
    with Camera(model, size, size) as camera:
        for world in range(4):
            data.qpos[:] = env.physics.qpos[world].numpy()
            mujoco.mj_forward(model, data)
            for name, got in zip(cameras, pictures[world], strict=True):
                expected = camera.render(data, name)
                ours, theirs = (cv2.cvtColor(picture, cv2.COLOR_RGB2HSV).astype(float) for picture in (expected, got))
                painted = ours[..., 1] > 120
                block = cv2.erode(cv2.morphologyEx(painted.astype(np.uint8), cv2.MORPH_CLOSE, KERNEL), KERNEL) > 0
                assert block.sum() > 200
                # the faces have the colours that they shall have
                apart = np.abs(ours[..., 0] - theirs[..., 0])
                hue = np.minimum(apart, 180.0 - apart)[block & painted & (theirs[..., 1] > 120)]
                assert np.mean(hue < 12) > 0.9
                # and white letters where they shall be
                assert np.corrcoef(ours[..., 1][block], theirs[..., 1][block])[0, 1] > 0.7
    with pytest.raises(ValueError, match="camera 'camera9' is none of the model's"):
        BatchCamera(warp(env.physics), size, size, ["camera9"])
