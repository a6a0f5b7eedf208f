"""What the difficulty of the worlds changes, and when."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from robot.goal import GoalConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig
from sim.vector_env import Difficulty
from tests.sim.conftest import preset
from tests.sim.cpu import cpu

STILL = torch.zeros(2, 20)
BOTH = torch.arange(2)
FAR = torch.tensor([[0.0, -0.5, 0.3]]).expand(2, 3)
"""Half a metre above the palm."""


def make(randomization, n: int = 2, seed: int = 0, task: TaskConfig | None = None) -> ReorientEnv:
    return ReorientEnv(task or TaskConfig(), randomization, n, seed, threads=1)


def turned(env: ReorientEnv, angle: float) -> torch.Tensor:
    """Orientations so far [rad] from the goals."""
    goals = Rotation.from_quat(env.goals.quat.numpy(), scalar_first=True)
    turns = Rotation.from_rotvec([angle, 0.0, 0.0]) * goals
    return torch.from_numpy(turns.as_quat(scalar_first=True)).float()


def reached(env: ReorientEnv, angle: float) -> list[int]:
    """The successes in one step more with the blocks, in the air, so far [rad] from their goals."""
    env.physics.set_block(BOTH, FAR, turned(env, angle))
    env.physics.forward(BOTH)
    before = env.goals.successes.clone()
    return (env.step(STILL).successes - before).tolist()


def test_the_threshold_decides_from_the_next_step_on_what_is_reached(none):
    env = make(none)
    env.reset()
    assert reached(env, 0.6) == [0, 0]
    env.set_difficulty(Difficulty(threshold=0.8))
    assert reached(env, 0.6) == [1, 1] and reached(env, 0.9) == [0, 0]
    env.set_difficulty(Difficulty(threshold=0.2))
    assert reached(env, 0.3) == [0, 0] and reached(env, 0.1) == [1, 1]
    env.set_difficulty(Difficulty())
    assert reached(env, 0.45) == [0, 0] and reached(env, 0.35) == [1, 1]


def tilted(env: ReorientEnv) -> bool:
    """Whether goals have no face up."""
    up = Rotation.from_quat(env.goals.quat.numpy(), scalar_first=True).inv().apply([0.0, -1.0, 0.0])
    return bool((np.abs(up).max(axis=1) < 0.999).any())


def test_the_law_decides_the_next_goal(none):
    env = make(none)
    env.set_difficulty(Difficulty(goal_law="parallel"))
    env.reset()
    for _ in range(5):
        axes = Rotation.from_quat(env.goals.quat.numpy(), scalar_first=True).as_matrix()
        np.testing.assert_allclose(np.abs(axes).max(axis=2), 1.0, atol=1e-6)
        assert reached(env, 0.1) == [1, 1]
    goals = env.goals.quat.clone()
    env.set_difficulty(Difficulty(goal_law="so3"))
    assert torch.equal(env.goals.quat, goals)
    assert reached(env, 0.1) == [1, 1] and tilted(env)


def test_near_goals_are_nearer_from_the_next_goal_on(none):
    env = make(none, n=64)
    env.reset()
    first = env.goals.distance.clone()
    env.set_difficulty(Difficulty(near=1.0))
    assert torch.equal(env.goals.distance, first)
    env.reset()
    near = env.goals.distance.clone()
    env.set_difficulty(Difficulty())
    env.reset()
    # the nearest of eight, whose mean is far below that of one
    assert near.mean() < 0.75 * min(first.mean(), env.goals.distance.mean())
    assert near.min() >= 0.4
    with pytest.raises(ValueError, match=r"goal near is 1\.5; allowed: 0 to 1"):
        env.set_difficulty(Difficulty(near=1.5))


def fall(env: ReorientEnv) -> np.ndarray:
    """Accelerations [m/s²] at which the blocks fall through free air."""
    env.physics.set_block(BOTH, FAR, torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(2, 4))
    env.physics.forward(BOTH)
    env.physics.step(4)
    return env.physics.measure()["object_linvel"][:, 1].numpy() / (4 * env.physics.model.opt.timestep)  # up is -y


def test_gravity_pulls_from_the_next_episode_on(none):
    env = make(none)
    env.reset()
    np.testing.assert_allclose(fall(env), 9.81, rtol=1e-3)
    env.set_difficulty(Difficulty(gravity=0.3))
    np.testing.assert_allclose(fall(env), 9.81, rtol=1e-3)
    env._reset(torch.tensor([1]))
    np.testing.assert_allclose(fall(env), [9.81, 0.3 * 9.81], rtol=1e-3)
    env.set_difficulty(Difficulty(gravity=0.0))
    env.reset()  # blocks settle without any
    np.testing.assert_allclose(fall(env), 0.0, atol=1e-6)
    env.set_difficulty(Difficulty())
    env.reset()
    np.testing.assert_allclose(fall(env), 9.81, rtol=1e-3)


def test_terms_of_gravity_add_to_the_share_of_it(dactyl):
    env = make(dactyl, 400)
    env.set_difficulty(Difficulty(gravity=0.5, randomization=0.5))
    env.randomize(torch.arange(400))
    gravity = cpu(env).batch.expand("opt.gravity")
    assert stats.kstest(gravity[:, 2], stats.norm(-0.5 * 9.81, 0.5 * 0.4).cdf).pvalue > 0.001
    assert stats.kstest(gravity[:, 0], stats.norm(0.0, 0.5 * 0.4).cdf).pvalue > 0.001


@pytest.mark.parametrize("name", ["dactyl", "extended"])
def test_without_a_share_of_the_randomization_worlds_are_calibrated_and_seen_as_they_are(name):
    env = make(preset(name), 4)
    env.reset()  # of these worlds nothing may remain
    env.set_difficulty(Difficulty(randomization=0.0))
    first = env.reset()
    fields = {field: (cpu(env).batch.expand(field), value) for field, value in env.randomizer.nominal.items()}
    for field, (present, value) in fields.items():
        np.testing.assert_allclose(present, np.broadcast_to(value, present.shape), rtol=1e-12, err_msg=field)
    generator = torch.Generator().manual_seed(1)
    seen = [first] + [env.step(2 * torch.rand(4, 20, generator=generator) - 1).observation for _ in range(10)]
    size = env.policy_contract.size  # the critic, who sees everything as it is, begins with the same fields
    assert env.critic_contract.names[: len(env.policy_contract.names)] == env.policy_contract.names
    for observation in seen:
        torch.testing.assert_close(observation.policy, observation.critic[:, :size], atol=1e-6, rtol=0)


def test_without_a_share_of_the_randomization_worlds_move_as_those_of_no_preset(none):
    """From one state and under the same actions; rounding aside, which contacts blow up."""
    plain, calibrated = make(none), make(preset("extended"))
    calibrated.set_difficulty(Difficulty(randomization=0.0))
    for env in (plain, calibrated):
        env.reset()
    state = cpu(plain).batch.bind("qpos").copy()
    generator, apart = torch.Generator().manual_seed(1), []
    for env in (plain, calibrated):
        env.physics.reset(BOTH)
        cpu(env).batch.bind("qpos")[:] = state
        target = env.physics.joint_target().float()
        env.physics.set_target(target)
        env.physics.remember_target(BOTH)
        env.physics.forward(BOTH)
        env.commanded = target
        env.measurement = env.measure()
        env.path.reset(torch.arange(2), target)
    for _ in range(5):
        action = 0.3 * (2 * torch.rand(2, 20, generator=generator) - 1)
        plain.step(action)
        calibrated.step(action)
        apart.append((plain.measurement["joint_pos"] - calibrated.measurement["joint_pos"]).abs().max())
    assert max(apart) < 1e-5


def test_the_spread_of_the_physics_grows_with_the_share(dactyl):
    spreads = []
    for share in (0.0, 0.5, 1.0):
        env = make(dactyl, 300)
        env.set_difficulty(Difficulty(randomization=share))
        env.randomize(torch.arange(300))
        spreads.append(
            {field: float(cpu(env).batch.expand(field).std(axis=0).sum()) for field in env.randomizer.nominal}
        )
    for field in spreads[0]:
        # the same values of every world add up with rounding
        assert spreads[0][field] == pytest.approx(0.0, abs=1e-9)
        assert spreads[0][field] < spreads[1][field] < spreads[2][field], field


def test_shares_lie_evenly_between_the_mildest_world_and_the_hardest(dactyl):
    n = 400
    env = make(dactyl, n)
    env.set_difficulty(Difficulty(randomization=0.8, mildest=0.2))
    share = env.source.share
    assert isinstance(share, torch.Tensor)
    torch.testing.assert_close(share.sort().values, torch.linspace(0.2, 0.8, n))
    # neighbours, which explore alike, do not all have it easy or hard: each eighth has the mean of all
    torch.testing.assert_close(share.view(8, -1).mean(dim=1), torch.full((8,), 0.5), atol=0.02, rtol=0)
    env.randomize(torch.arange(n))
    gravity = cpu(env).batch.expand("opt.gravity")[:, 0]
    assert stats.kstest(gravity / (0.4 * share.numpy()), stats.norm.cdf).pvalue > 0.001
    env.set_difficulty(Difficulty(randomization=0.5, mildest=0.5))
    assert env.source.share == 0.5


def test_the_default_difficulty_changes_no_bit():
    actions = 2 * torch.rand(12, 4, 20, generator=torch.Generator().manual_seed(2)) - 1
    task = TaskConfig(goal=GoalConfig(time_limit=0.4))
    untouched, touched = (make(preset("extended"), 4, task=task) for _ in range(2))
    touched.set_difficulty(Difficulty(0.8, "so3", 0.5, 0.5))
    touched.set_difficulty(Difficulty())
    assert torch.equal(untouched.reset().policy, touched.reset().policy)
    for action in actions:
        a, b = untouched.step(action), touched.step(action)
        assert torch.equal(a.observation.policy, b.observation.policy) and torch.equal(a.reward, b.reward)


def test_worlds_saved_in_the_middle_of_a_curriculum_go_on_to_the_bit():
    task = TaskConfig(goal=GoalConfig(time_limit=0.8))
    actions = 2 * torch.rand(30, 4, 20, generator=torch.Generator().manual_seed(2)) - 1
    first, second = (make(preset("extended"), 4, seed, task) for seed in (0, 9))
    rising = [Difficulty(0.8 - 0.02 * k, "face_up" if k < 18 else "so3", 0.4 + 0.02 * k, k / 30) for k in range(30)]
    first.set_difficulty(rising[0])
    first.reset()
    second.reset()
    for k in range(15):
        first.set_difficulty(rising[k])
        first.step(actions[k])
    second.load_state_dict(first.state_dict())
    ended = 0
    for k in range(15, 30):
        seen = []
        for env in (first, second):
            env.set_difficulty(rising[k])
            seen.append(env.step(actions[k]))
        a, b = seen
        ended += int(a.done.sum())
        assert torch.equal(a.observation.policy, b.observation.policy)
        assert torch.equal(a.observation.critic, b.observation.critic)
        assert torch.equal(a.reward, b.reward) and torch.equal(a.done, b.done)
    assert ended


def test_what_makes_no_sense_is_refused(none):
    with pytest.raises(ValueError, match=r"difficulty gravity is 1\.5; allowed: 0 to 1"):
        Difficulty(gravity=1.5)
    with pytest.raises(ValueError, match=r"difficulty mildest is 0\.6; allowed: 0 to the share .* 0\.5"):
        Difficulty(randomization=0.5, mildest=0.6)
    with pytest.raises(ValueError, match=r"randomization is 0\.5 in the mildest world; with automatic"):
        make(preset("adr")).set_difficulty(Difficulty(mildest=0.5))
    env = make(none)
    with pytest.raises(ValueError, match="goal law is 'sideways'"):
        env.set_difficulty(Difficulty(goal_law="sideways"))
    with pytest.raises(ValueError, match=r"randomization is 0\.5 in the mildest world; with automatic domain"):
        make(preset("adr")).set_difficulty(Difficulty(randomization=0.5))
