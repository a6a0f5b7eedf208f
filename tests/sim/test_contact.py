"""Contact as physics: a block at rest stays, and one on a slope slides when its friction says so."""

import numpy as np
import pytest
import torch

from benchmarks import fidelity
from robot import rotation
from robot.goal import sample_goals
from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv
from sim.scene import PALM_CENTER, SceneConfig, build_model, build_spec
from sim.task import TaskConfig
from tests.sim.cpu import cpu

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
    n, ids = 24, torch.arange(24)
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
    n, ids = 24, torch.arange(24)
    env = ReorientEnv(TaskConfig(), type(dactyl)(name="physics", physics=terms), n, seed=0, threads=1)
    env.randomizer.reset(ids)
    physics, generator = cpu(env), torch.Generator().manual_seed(0)
    sizes = torch.from_numpy(physics.batch.expand("geom_size")[:, physics.model.geom("block").id, 1]).float()
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


@pytest.mark.parametrize("heading", fidelity.FLAT_HEADINGS)
def test_a_block_begins_to_slide_at_its_friction_angle(heading):
    friction = np.array(fidelity.FLAT_FRICTION)
    held = fidelity.slid(build_spec(SceneConfig()), 0.95 * friction, friction, heading)
    slid = fidelity.slid(build_spec(SceneConfig()), 1.05 * friction, friction, heading)
    assert np.abs(held).max() < 0.0005
    # Coulomb's a = g (sin - mu cos) brings it 11 to 30 mm far
    assert slid.min() > 0.007
