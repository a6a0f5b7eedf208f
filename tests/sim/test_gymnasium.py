"""The Gymnasium environments: by Gymnasium's checkers, and against ``ReorientEnv`` to the bit."""

import itertools
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import flatten
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space, iterate
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from inhand.gymnasium import make, make_vec
from robot.goal import GoalConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig
from tests.sim.cpu import cpu

SHORT = TaskConfig(goal=GoalConfig(time_limit=0.8))
"""Episodes of ten steps, unless the block falls earlier."""


def same(a: object, b: object) -> bool:
    return data_equivalence(a, b, exact=True)


def actions(envs: Any, steps: int) -> list[np.ndarray]:
    envs.action_space.seed(0)
    return [envs.action_space.sample() for _ in range(steps)]


@pytest.mark.parametrize("keywords", [{}, {"randomization": "dactyl", "critic": True, "bins": 11}])
def test_one_world_passes_gymnasiums_checker(keywords):
    env = gymnasium.make("inhand.gymnasium:inhand/ReorientBlock-v0", **keywords).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    # positions and velocities have no bounds
    assert [str(each.message) for each in caught if "infinity" not in str(each.message)] == []


def test_two_worlds_of_one_seed_match():
    check_environments_match(make("dactyl", SHORT), make("dactyl", SHORT), num_steps=25)


@pytest.mark.parametrize("keywords", [{}, {"critic": True, "bins": 11}])
def test_a_batch_keeps_to_its_spaces_and_says_when_it_resets(keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gymnasium.make_vec("inhand.gymnasium:inhand/ReorientBlock-v0", num_envs=3, task=SHORT, **keywords)
    assert isinstance(envs.unwrapped, type(make_vec(1)))
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.observation_space == batch_space(envs.single_observation_space, 3)
    assert envs.action_space == batch_space(envs.single_action_space, 3)
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    ended = 0
    for action in actions(envs, 25):
        observation, reward, terminated, truncated, info = envs.step(action)
        assert observation in envs.observation_space
        assert reward.shape == terminated.shape == truncated.shape == (3,)
        assert reward.dtype == np.float32 and terminated.dtype == truncated.dtype == np.bool_
        if (terminated | truncated).any():
            assert same(info["_final_obs"], terminated | truncated)
            for final, over in zip(info["final_obs"], terminated | truncated, strict=True):
                assert final in envs.single_observation_space if over else final is None
                ended += over
    assert ended >= 6


@pytest.mark.parametrize("critic", [False, True])
def test_a_batch_of_one_is_what_gymnasium_makes_of_one_world(critic):
    theirs = SyncVectorEnv([lambda: make("dactyl", SHORT, critic=critic)], autoreset_mode=AutoresetMode.SAME_STEP)
    ours = make_vec(1, "dactyl", SHORT, critic=critic)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert same(ours.reset(seed=7), theirs.reset(seed=7))
    ended = 0
    for action in actions(ours, 22):
        observation, reward, terminated, truncated, info = ours.step(action)
        expected, their_reward, *their_ends, their_info = theirs.step(action)
        assert same(observation, expected) and same(info, their_info)
        assert same(reward.astype(float), their_reward)
        assert same([terminated, truncated], their_ends)
        ended += int((terminated | truncated)[0])
    assert ended >= 2


@pytest.mark.parametrize("bins", [0, 11])
def test_a_batch_is_reorient_env_to_the_bit(bins):
    envs = make_vec(4, "dactyl", SHORT, bins=bins, critic=True)
    plain = ReorientEnv(envs.task, envs.randomization, 4, seed=3, threads=1)
    observation, info = envs.reset(seed=3)
    expected = plain.reset()
    ended = 0
    for action in actions(envs, 25):
        for row, fields in enumerate(iterate(envs.observation_space, observation)):
            # flattened, a dictionary of fields is what the network reads
            np.testing.assert_array_equal(flatten(envs.policy_space, fields["policy"]), expected.policy[row])
            np.testing.assert_array_equal(flatten(envs.state_space, fields["critic"]), expected.critic[row])
        assert same(envs.state(), observation["critic"])
        unit = torch.from_numpy(action)
        step = plain.step(plain.action_contract.from_bins(unit) if bins else unit)
        observation, reward, terminated, truncated, info = envs.step(action)
        expected = step.observation
        np.testing.assert_array_equal(reward, step.reward)
        np.testing.assert_array_equal(terminated, step.terminated)
        np.testing.assert_array_equal(truncated, step.truncated)
        np.testing.assert_array_equal(info["successes"], plain.goals.successes)
        np.testing.assert_array_equal(info["goal_distance"], plain.goals.distance)
        for row in step.done.nonzero().flatten().tolist():
            final = info["final_obs"][row]
            np.testing.assert_array_equal(flatten(envs.state_space, final["critic"]), step.final_critic[row])
            assert info["final_info"]["successes"][row] == step.successes[row]
            ended += 1
    assert ended >= 8


def test_the_last_observation_is_what_the_sensors_of_that_episode_read():
    envs = make_vec(32, "dactyl", SHORT, critic=True)
    before, _ = envs.reset(seed=0)
    while True:
        observation, *_, truncated, info = envs.step(np.zeros((32, 20), np.float32))
        if truncated.sum() > 16:
            break
        before = observation
    last = [info["final_obs"][row] for row in truncated.nonzero()[0]]

    def error(policy: np.ndarray, critic: np.ndarray) -> np.ndarray:
        return policy - critic

    earlier = error(before["policy"]["object_pos"], before["critic"]["object_pos"])[truncated]
    at_end = np.array([error(each["policy"]["object_pos"], each["critic"]["object_pos"]) for each in last])
    after = error(observation["policy"]["object_pos"], observation["critic"]["object_pos"])[truncated]
    # 5 mm stay for an episode, 1 mm is fresh at each step
    assert 0.0002 < np.median(np.abs(at_end - earlier)) < 0.002 < np.median(np.abs(after - at_end))


def test_seeds_begin_again_and_resets_go_on():
    envs = make_vec(2, "dactyl")
    first, second = envs.reset(seed=5), envs.reset()
    assert not same(first, second)
    assert same(envs.reset(seed=5), first) and same(envs.reset(), second)
    assert not same(envs.reset(seed=6), first)
    assert not same(make_vec(2).reset(), make_vec(2).reset())


def test_one_world_goes_on_with_the_episode_that_its_batch_began():
    env, envs = make(task=SHORT, critic=True), make_vec(1, task=SHORT, critic=True)
    env.reset(seed=1)
    envs.reset(seed=1)
    hold = np.zeros(20, np.float32)
    for _ in range(9):
        env.step(hold)
        envs.step(hold[None])
    last, *_, truncated, _ = env.step(hold)
    begun, *_, infos = envs.step(hold[None])
    assert truncated and same(last, infos["final_obs"][0]) and same(env.state(), last["critic"])
    with pytest.raises(ResetNeeded, match="episode has ended"):
        env.step(hold)
    first, info = env.reset()
    assert same(first, next(iterate(envs.observation_space, begun))) and same(env.state(), first["critic"])
    assert info["successes"] == 0
    assert not same(env.reset()[0], first)


def test_a_world_that_diverges_ends_with_numbers_all_the_same():
    envs = make_vec(2, "dactyl", critic=True)
    envs.reset(seed=0)
    cpu(envs.worlds).batch.bind("qvel")[0, 3] = np.nan
    observation, reward, terminated, _, info = envs.step(np.zeros((2, 20), np.float32))
    assert terminated.tolist() == [True, False] and reward[0] == 0.0
    assert observation in envs.observation_space and info["final_obs"][0] in envs.single_observation_space


def test_gymnasiums_wrappers_read_a_batch():
    envs = DictInfoToList(RecordEpisodeStatistics(make_vec(3, "dactyl", SHORT)))
    plain = make_vec(3, "dactyl", SHORT)
    envs.reset(seed=2)
    plain.reset(seed=2)
    returns, checked = np.zeros(3), 0
    for action in actions(plain, 25):
        _, reward, terminated, truncated, _ = plain.step(action)
        *_, infos = envs.step(action)
        returns += reward
        for row in (terminated | truncated).nonzero()[0]:
            assert infos[row]["episode"]["r"] == pytest.approx(returns[row])
            assert infos[row]["final_obs"] in plain.single_observation_space
            assert infos[row]["final_info"]["goal_distance"] > 0.0
            returns[row] = 0.0
            checked += 1
    assert checked >= 6


def test_what_cannot_be_is_refused_by_name():
    envs = make_vec(2, bins=11)
    with pytest.raises(ResetNeeded):
        envs.step(envs.action_space.sample())
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset()
    with pytest.raises(ValueError, match=r"shape \(20,\); allowed: \(2, 20\)"):
        envs.step(np.zeros(20, int))
    with pytest.raises(ValueError, match="whole numbers from 0 to 10"):
        envs.step(np.full((2, 20), 11))
    with pytest.raises(ValueError, match="whole numbers from 0 to 10"):
        envs.step(np.zeros((2, 20)))
    one = make()
    one.reset()
    with pytest.raises(ValueError, match=r"not finite in worlds \[0\]"):
        one.step(np.full(20, np.nan))
    with pytest.raises(ValueError, match="num_envs is 0"):
        make_vec(0)
    with pytest.raises(ValueError, match="render_mode is 'human'; allowed: rgb_array"):
        make(render_mode="human")


def test_frames_show_the_world_and_at_its_end_how_it_ended():
    env = gymnasium.make("inhand.gymnasium:inhand/ReorientBlock-v0", task=SHORT, render_mode="rgb_array")
    frames = []
    env.reset(seed=0)
    for step in range(10):
        env.step(np.zeros(20, np.float32))
        if step > 6:
            frames.append(env.render())
    env.reset()
    frames.append(env.render())
    changes = [np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames)]
    assert changes[-1] > 2 * max(changes[:-1])
    env.close()
    envs = make_vec(2, render_mode="rgb_array")
    envs.reset(seed=0)
    assert [frame.shape for frame in envs.render() or ()] == [(480, 640, 3)] * 2
    envs.close()
