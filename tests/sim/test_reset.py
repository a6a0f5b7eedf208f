"""First states: settled on the palm, from the cache as without it, and resumed to the bit."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from robot import hand, rotation
from robot.goal import UP_BASE
from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv
from sim.reset import HOME, ResetConfig, Resetter, draw_first_state
from sim.scene import PALM_CENTER, build_model
from sim.settled import CANDIDATES, SettledPool
from sim.task import TaskConfig
from tests.sim.cpu import cpu

SOON = 1e-9
"""A share of fresh resets that never comes up: once the pool is full, every state comes from it."""


def make(randomization, n: int, seed: int = 0, **reset: Any) -> ReorientEnv:
    return ReorientEnv(TaskConfig(reset=ResetConfig(**reset)), randomization, n, seed, threads=1)


def settling_time(env: ReorientEnv) -> np.ndarray:
    """For how long [s] each world was simulated in its reset."""
    return cpu(env).batch.bind("time").reshape(-1).copy()


def penetration(env: ReorientEnv) -> np.ndarray:
    """How deep [m] anything is inside anything else, in each world."""
    worlds = [cpu(env).batch.get_data(i) for i in range(env.num_envs)]
    return np.array([-min(data.contact.dist, default=0.0) for data in worlds])


def test_the_block_is_let_go_touching_nothing(dactyl):
    env = make(dactyl, 64)
    ids = torch.arange(64)
    env.randomizer.reset(ids)
    first = draw_first_state(
        ResetConfig(), env.physics.block_half_diagonal(torch.arange(64)), torch.Generator().manual_seed(0)
    )
    env.physics.set_joints(ids, first.joint_pos)
    env.physics.set_block(ids, first.object_pos, first.object_quat)
    env.physics.forward(ids)
    deepest = penetration(env)
    assert (deepest > 0.001).mean() < 0.05  # a wrist far off its home may still lift the palm that high


@pytest.mark.parametrize("cache", [0, 64])
def test_an_episode_begins_with_the_block_at_rest_on_the_palm(dactyl, cache):
    env = make(dactyl, 64, cache=cache, refresh=SOON)
    env.reset()
    env.reset()
    expected = ResetConfig().cache_settle_time if cache else ResetConfig().settle_time
    assert settling_time(env).min() == pytest.approx(expected, abs=0.02)
    assert float(env.measurement["object_linvel"].norm(dim=1).max()) < 0.2
    assert float(env.measurement["object_pos"][:, 1].max()) < -0.02
    deepest = penetration(env)
    assert np.quantile(deepest, 0.9) < 0.004
    limits, joints = env.physics.joint_range(torch.arange(64)), env.measurement["joint_pos"]
    assert float((limits[..., 0] - joints).max()) < 0.1 and float((joints - limits[..., 1]).max()) < 0.1


def poses(env: ReorientEnv) -> dict[str, np.ndarray]:
    pos, quat = env.measurement["object_pos"].numpy(), env.measurement["object_quat"].numpy()
    turned = Rotation.from_quat(quat, scalar_first=True)
    up = turned.inv().apply(np.array(UP_BASE))
    return {
        "angle": turned.magnitude(),
        "face up": np.argmax(np.abs(up), axis=1) * 2 + (up.sum(1) > 0),
        "flatness": np.abs(up).max(axis=1),
        "height": -pos[:, 1],
        "across": pos[:, 0],
        "along": pos[:, 2],
    }


def test_states_from_the_cache_are_distributed_as_without_it(dactyl):
    n = 320
    plain, cached = make(dactyl, n, cache=0), make(dactyl, n, seed=1, cache=n, refresh=SOON)
    for env in (plain, cached, cached):
        env.reset()
    assert (settling_time(cached) < 0.2).mean() > 0.98  # from the pool, but where nothing of it fits
    ours, theirs = poses(cached), poses(plain)
    for name, values in theirs.items():
        assert np.asarray(stats.ks_2samp(ours[name], values))[1] > 0.001, name


def test_a_share_of_resets_is_fresh_and_renews_the_pool(none):
    env = make(none, 4, cache=8, refresh=0.3)
    env.reset()
    env.reset()
    fresh = 0
    for _ in range(60):
        before = env.resetter.pool.added
        env.reset()
        added = env.resetter.pool.added - before
        assert added in (0, 4)  # all worlds of a call alike
        assert (settling_time(env).min() > 0.3) == (added == 4)
        fresh += added == 4
    assert 0.001 < stats.binom.cdf(fresh, 60, 0.3) < 0.999


def test_the_newest_states_are_kept():
    pool = SettledPool(4)
    for value in range(10):
        assert pool.full == (value >= 4)
        pool.add({"joint_pos": torch.full((1, 24), float(value)), "joint_target": torch.zeros(1, 20),
                  "object_pos": torch.zeros(1, 3), "object_quat": rotation.identity(1)})  # fmt: skip
    assert sorted(pool.states.joint_pos[:, 0].tolist()) == [6.0, 7.0, 8.0, 9.0]
    many = torch.arange(20.0)[:, None].expand(20, 24)
    pool.add({"joint_pos": many, "joint_target": torch.zeros(20, 20), "object_pos": torch.zeros(20, 3),
              "object_quat": rotation.identity(20)})  # fmt: skip
    assert sorted(pool.states.joint_pos[:, 0].tolist()) == [16.0, 17.0, 18.0, 19.0]


def limits(m: int) -> torch.Tensor:
    return torch.tensor([[joint.lower, joint.upper] for joint in hand.JOINTS]).expand(m, 24, 2).clone()


def test_a_state_is_drawn_with_the_cube_brought_into_itself():
    pool = SettledPool(1)
    quat = rotation.random_uniform(1, torch.Generator().manual_seed(0))
    pool.add({"joint_pos": torch.full((1, 24), 0.1), "joint_target": torch.zeros(1, 20),
              "object_pos": torch.zeros(1, 3), "object_quat": quat})  # fmt: skip
    drawn = pool.draw(limits(2000), torch.Generator().manual_seed(1)).object_quat
    relative = Rotation.from_quat(quat.numpy(), scalar_first=True).inv() * Rotation.from_quat(
        drawn.numpy(), scalar_first=True
    )
    np.testing.assert_allclose(relative.as_matrix(), relative.as_matrix().round(), atol=1e-5)
    counts = np.unique(relative.as_matrix().round().reshape(-1, 9), axis=0, return_counts=True)[1]
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > 0.001


def test_hands_get_states_that_their_joint_limits_allow():
    pool = SettledPool(2)
    home = torch.zeros(24) + 0.1
    bent = home.clone()
    bent[hand.JOINT_NAMES.index("rh_FFJ3")] = 1.0
    both = torch.stack([home, bent])
    pool.add({"joint_pos": both, "joint_target": hand.actuator_pos(both), "object_pos": torch.zeros(2, 3),
              "object_quat": rotation.identity(2)})  # fmt: skip
    tight = limits(500)
    tight[:, hand.JOINT_NAMES.index("rh_FFJ3"), 1] = 0.5
    drawn = pool.draw(tight, torch.Generator().manual_seed(0))
    bent_share = (drawn.joint_pos[:, hand.JOINT_NAMES.index("rh_FFJ3")] > 0.5).float().mean()
    assert float(bent_share) < 5 * 0.5**CANDIDATES
    assert float(drawn.joint_target[:, [a.name for a in hand.ACTUATORS].index("rh_A_FFJ3")].max()) <= 0.5


def test_a_resumed_run_draws_the_same_states_to_the_bit(dactyl, tmp_path):
    first, second = make(dactyl, 6, cache=6, refresh=0.5), make(dactyl, 6, seed=9, cache=6, refresh=0.5)
    for _ in range(3):
        first.reset()
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    for _ in range(6):
        assert torch.equal(first.reset().critic, second.reset().critic)
        np.testing.assert_array_equal(settling_time(first), settling_time(second))


def test_a_pool_of_another_size_is_refused():
    with pytest.raises(ValueError, match="keeps 4 settled states, this one 8"):
        SettledPool(8).load_state_dict(SettledPool(4).state_dict())


@pytest.mark.parametrize(
    ("settled_speed", "ghost", "fault"), [(1e-12, False, "it moves in 2"), (0.2, True, "it lies below the palm in 2")]
)
def test_what_keeps_a_block_from_settling_is_named(settled_speed, ghost, fault):
    model = build_model()
    if ghost:  # it falls through the hand
        block = model.geom("block").id
        model.geom_contype[block] = model.geom_conaffinity[block] = 0
    physics = CpuPhysics(model, 3, threads=1)
    config = ResetConfig(max_retries=2, settled_speed=settled_speed)
    resetter = Resetter(config, physics, torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError, match=rf"did not settle in worlds \[0, 2\]: after 3 tries, .*{fault}"):
        resetter.reset(torch.tensor([0, 2]))


def test_a_reset_leaves_other_worlds_alone(dactyl):
    env = make(dactyl, 5, cache=5, refresh=0.5)
    env.reset()
    before = cpu(env).batch.state.copy()
    for _ in range(4):
        env.resetter.reset(torch.tensor([1, 3]))
    np.testing.assert_array_equal(cpu(env).batch.state[[0, 2, 4]], before[[0, 2, 4]])


def test_bad_configuration_is_refused():
    mistakes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"cache": -1}, "cache is -1"),
        ({"refresh": 0.0}, "refresh is 0.0"),
        ({"refresh": 1.5}, "refresh is 1.5"),
        ({"settle_time": 0.0}, "settle_time"),
        ({"position_noise": -0.1}, "position_noise"),
        ({"max_retries": -1}, "max_retries"),
    )
    for bad, word in mistakes:
        with pytest.raises(ValueError, match=word):
            ResetConfig(**bad)


def test_first_states_are_drawn_as_they_are_described():
    n, config = 4000, ResetConfig()
    first = draw_first_state(config, torch.full((n,), 0.0476), torch.Generator().manual_seed(0))
    home = np.array([HOME.get(name, 0.0) for name in hand.JOINT_NAMES])
    width = np.array([joint.upper - joint.lower for joint in hand.JOINTS])
    assert stats.kstest(((first.joint_pos.numpy() - home) / width).ravel(), stats.norm(0, 0.03).cdf).pvalue > 0.001
    torch.testing.assert_close(first.joint_target, hand.actuator_pos(first.joint_pos))
    off = first.object_pos.numpy() - np.array(PALM_CENTER) + [0.0, 0.0476 + 0.005, 0.0]  # up is -y
    assert stats.kstest(off.ravel(), stats.norm(0, 0.005).cdf).pvalue > 0.001
    angle = Rotation.from_quat(first.object_quat.numpy(), scalar_first=True).magnitude()
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.001
