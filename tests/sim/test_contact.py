"""Contact as physics: a block at rest stays, and one on a slope slides when its friction says so."""

import math

import mujoco
import numpy as np
import pytest
import torch
from mujoco.batch import Batch
from scipy.spatial.transform import Rotation

from robot import rotation
from robot.goal import UP_BASE, sample_goals
from sim.env import ReorientEnv, TaskConfig
from sim.physics import CpuPhysics
from sim.puppet import base_pose
from sim.scene import PALM_CENTER, SceneConfig, build_model, build_spec

HALF_EDGE = 0.0275
CLEAR_OF_THUMB = -0.010
"""Across the palm [m], where the block lies on the palm alone."""


def on_the_palm(m: int, height: float, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Positions (m, 3) of blocks whose lower faces touch the palm, in the base frame."""
    pos = torch.tensor(PALM_CENTER) + spread * (2 * torch.rand(m, 3, generator=generator) - 1)
    pos[:, 0] += CLEAR_OF_THUMB
    pos[:, 1] = PALM_CENTER[1] - height  # up is -y
    return pos


def deepest(physics: CpuPhysics) -> float:
    """The deepest penetration [m] in any world."""
    worlds = [physics.batch.get_data(i) for i in range(physics.n)]
    return max(-min(data.contact.dist, default=0.0) for data in worlds)


@pytest.mark.parametrize("law", ["parallel", "face_up"])
def test_a_block_at_rest_stays_for_ten_seconds(law):
    n, ids = 24, np.arange(24)
    physics = CpuPhysics(build_model(), n, threads=1)
    generator = torch.Generator().manual_seed(0)
    quat = sample_goals(law, n, generator)
    physics.set_block(ids, on_the_palm(n, HALF_EDGE, 0.004, generator), quat)
    physics.forward(ids)
    second = round(1.0 / physics.model.opt.timestep)
    physics.step(second)
    start = now = physics.measure()
    for _ in range(10):
        physics.step(second)
        assert deepest(physics) < 0.001
        now = physics.measure()
        assert float((now["object_pos"] - start["object_pos"]).norm(dim=1).max()) < 0.001
    assert float(rotation.distance(now["object_quat"], start["object_quat"]).max()) < 0.01
    assert not physics.diverged().any()


def test_a_block_at_rest_stays_in_worlds_with_their_own_physics(dactyl):
    terms = {name: term for name, term in dactyl.physics.items() if name != "joint_limits"}  # a bent hand is no table
    assert len(terms) < len(dactyl.physics)
    n, ids = 24, np.arange(24)
    env = ReorientEnv(TaskConfig(), type(dactyl)(name="physics", physics=terms), n, seed=0, threads=1)
    env.randomizer.reset(ids)
    physics, generator = env.physics, torch.Generator().manual_seed(0)
    sizes = torch.from_numpy(physics.expand("geom_size")[:, physics.model.geom("block").id, 1]).float()
    pos = on_the_palm(n, 0.0, 0.004, generator)
    pos[:, 1] -= sizes
    physics.set_block(ids, pos, sample_goals("face_up", n, generator))
    physics.forward(ids)
    second = round(1.0 / physics.model.opt.timestep)
    physics.step(2 * second)
    start = physics.measure()["object_pos"]
    physics.step(10 * second)
    assert float((physics.measure()["object_pos"] - start).norm(dim=1).max()) < 0.001
    assert deepest(physics) < 0.001


FRICTION = (0.3, 0.5, 0.7, 0.9, 1.1, 1.3)
FLAT = 0.010
"""Half the height [m] of a block so flat that it slides before it topples, whatever its friction here."""


def rigid_hand() -> mujoco.MjModel:
    """The default scene with a hand that does not give way, and a flat block in place of the cube."""
    spec = build_spec(SceneConfig())
    for part in (*spec.actuators, *spec.tendons, *(joint for joint in spec.joints if joint.name != "block")):
        spec.delete(part)
    spec.geom("block").size[1] = FLAT
    return spec.compile()


def sliding(slope: np.ndarray, friction: np.ndarray, heading: float, seconds: float) -> np.ndarray:
    """How far [m] blocks slid, each in a world with its own friction and its own slope (tangent)."""
    model = rigid_hand()
    base = base_pose(model)
    worlds = Batch(model, nsim=len(slope), nthread=1)
    worlds.expand("geom_friction")[:, :, 0] = friction[:, None]
    pos = on_the_palm(1, FLAT, 0.0, torch.Generator()).double()
    worlds.bind("qpos")[:, :3] = base.apply(pos).numpy()
    worlds.bind("qpos")[:, 3:] = base.quat.numpy()
    ahead = np.array([math.cos(heading), 0.0, math.sin(heading)])  # in the palm's plane
    angle = np.arctan(slope)[:, None]
    down = -np.array(UP_BASE)
    to_world = Rotation.from_quat(base.quat.numpy(), scalar_first=True)
    moved = np.empty(0)
    for pull, time in ((np.tile(down, (len(slope), 1)), 0.5), (np.sin(angle) * ahead + np.cos(angle) * down, seconds)):
        worlds.expand("opt.gravity")[:] = 9.81 * to_world.apply(pull)
        start = worlds.bind("qpos")[:, :3].copy()
        worlds.step(nstep=round(time / model.opt.timestep))
        moved = worlds.bind("qpos")[:, :3] - start
    return moved @ to_world.apply(ahead)


@pytest.mark.parametrize("heading", [-0.5 * math.pi, -0.4 * math.pi])
def test_a_block_begins_to_slide_at_its_friction_angle(heading):
    friction = np.array(FRICTION)
    held = sliding(0.95 * friction, friction, heading, 0.4)
    slid = sliding(1.05 * friction, friction, heading, 0.4)
    assert np.abs(held).max() < 0.0005
    # Coulomb's a = g (sin - mu cos) brings it 11 to 20 mm far
    assert slid.min() > 0.005
