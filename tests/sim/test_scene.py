"""The scene as physics: what gravity and contact must do to a block of known size and mass."""

import itertools

import mujoco
import numpy as np
import pytest

from robot.goal import UP_BASE
from sim.scene import CAMERAS, SceneConfig, build_model


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model()


def test_the_block_is_55_mm_and_78_g(model):
    np.testing.assert_allclose(model.geom("block").size, 0.0275)
    assert model.body("block").mass[0] == pytest.approx(0.078)
    # a solid cube: m a² / 6 about every axis
    np.testing.assert_allclose(model.body("block").inertia, 0.078 * 0.055**2 / 6, rtol=1e-6)


def test_the_palm_faces_up(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    up = data.body("rh_forearm").xmat.reshape(3, 3) @ np.array(UP_BASE)
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-12)


def test_a_block_in_the_air_falls_freely(model):
    data = mujoco.MjData(model)
    data.joint("block").qpos[:3] = [0.3, 0.0, 5.0]
    mujoco.mj_step(model, data, nstep=50)
    t = data.time
    # semi-implicit Euler of constant acceleration falls by g t (t + dt) / 2
    assert 5.0 - data.joint("block").qpos[2] == pytest.approx(0.5 * 9.81 * t * (t + model.opt.timestep), rel=1e-9)


def test_the_goal_touches_nothing_and_robot_cameras_do_not_see_it(model):
    from sim.camera import Camera

    goal = model.geom(int(model.body("goal").geomadr[0]))
    assert goal.contype[0] == goal.conaffinity[0] == 0
    data = mujoco.MjData(model)
    robots, peoples = [], []
    with Camera(model, 100, 100) as camera:
        for turn in ([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]):
            data.mocap_quat[0] = turn
            mujoco.mj_forward(model, data)
            robots.append(np.stack([camera.render(data, name) for name in CAMERAS]))
            peoples.append(camera.render(data, "video", show_goal=True))
    np.testing.assert_array_equal(robots[0], robots[1])
    assert (peoples[0] != peoples[1]).any()


def test_every_camera_sees_the_block_and_every_face_looks_different(model):
    from sim.camera import Camera

    data = mujoco.MjData(model)
    faces = [[1, 0, 0, 0], [0.7071, 0.7071, 0, 0], [0.7071, -0.7071, 0, 0], [0, 1, 0, 0], [0.7071, 0, 0.7071, 0],
             [0.7071, 0, -0.7071, 0]]  # fmt: skip
    with Camera(model, 100, 100) as camera:
        for name in CAMERAS:
            pictures = []
            for quat in faces:
                data.joint("block").qpos[3:] = quat
                mujoco.mj_forward(model, data)
                pictures.append(camera.render(data, name).astype(float))
            for i in range(6):
                for j in range(i):
                    assert (np.abs(pictures[i] - pictures[j]).max(axis=-1) > 40).mean() > 0.005


def test_no_two_faces_of_the_block_are_alike_whichever_way_they_are_turned(model):
    texture = model.texture("block")
    start, width = int(texture.adr[0]), int(texture.width[0])
    faces = model.tex_data[start : start + 6 * width * width * 3].reshape(6, width, width, 3).astype(float)
    for one, other in itertools.combinations(faces, 2):
        for quarters in range(4):
            assert np.abs(np.rot90(one, quarters) - other).mean() > 10.0


def test_scene_options_reach_the_model():
    config = SceneConfig(timestep=0.004, integrator="implicitfast", iterations=7, tolerance=1e-6, elliptic=False)
    option = build_model(config).opt
    assert (option.timestep, option.iterations, option.tolerance) == (0.004, 7, 1e-6)
    assert option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert option.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
    with pytest.raises(ValueError, match="integrator is 'rk4'; allowed: euler, implicitfast, discrete"):
        SceneConfig(integrator="rk4")
    with pytest.raises(ValueError, match="timestep is 0"):
        SceneConfig(timestep=0.0)


def test_links_meet_without_friction_and_the_block_with_it(model):
    for name in (model.geom(i).name for i in range(model.ngeom) if model.geom_contype[i]):
        assert model.geom(name).condim[0] == (4 if name == "block" else 1)
