"""A recording holds what the environment gave, and is given again step by step, and around."""

import numpy as np
import pytest
import torch

from benchmarks.learner import Learner
from benchmarks.replay import Recording, ReplayEnv, record
from policy.network import NetworkConfig
from policy.train_config import TrainConfig
from randomization.config import RandomizationConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig

WORLDS, WARM_UP, STEPS = 3, 2, 4


def worlds() -> ReorientEnv:
    return ReorientEnv(TaskConfig(), RandomizationConfig(), WORLDS, seed=0, threads=1)


@pytest.fixture(scope="module")
def env() -> ReorientEnv:
    return worlds()


@pytest.fixture(scope="module")
def recording(env: ReorientEnv) -> Recording:
    return record(env, WARM_UP, STEPS, seed=5)


def test_it_holds_what_the_same_actions_give_in_the_same_worlds(recording: Recording):
    env, generator = worlds(), torch.Generator().manual_seed(5)
    observation = env.reset()
    for t in range(-WARM_UP, STEPS):
        if t >= 0:
            assert torch.equal(recording.policy[t], observation.policy)
            assert torch.equal(recording.critic[t], observation.critic)
        step = env.step(env.action_contract.from_bins(torch.randint(11, (WORLDS, 20), generator=generator)))
        if t >= 0:
            for name in ("reward", "terminated", "truncated", "final_critic", "successes"):
                assert torch.equal(getattr(recording, name)[t], getattr(step, name))
        observation = step.observation


def test_a_replay_gives_it_again_and_goes_on_with_its_beginning(env: ReorientEnv, recording: Recording):
    replay = ReplayEnv(recording, env)
    assert torch.equal(replay.reset().policy, recording.policy[0])
    for t in [*range(STEPS), *range(STEPS)]:
        step = replay.step(torch.zeros(WORLDS, 20))
        assert torch.equal(step.reward, recording.reward[t])
        assert torch.equal(step.observation.critic, recording.critic[(t + 1) % STEPS])


def test_of_its_ends_only_a_share_is_told():
    ended = torch.ones(50, 40, dtype=torch.bool)
    rest = dict.fromkeys(("policy", "critic", "reward", "final_critic", "successes"), torch.zeros(50, 40))
    thinned = Recording(terminated=ended, truncated=~ended, **rest).with_fewer_ends(0.1)
    assert 0.07 < thinned.terminated.float().mean() < 0.13
    assert not thinned.truncated.any()
    assert thinned.episode_steps == 2000 / int(thinned.terminated.sum())


def test_a_file_of_it_holds_the_same_arrays(recording: Recording, tmp_path):
    recording.save(tmp_path / "recording.npz")
    with np.load(tmp_path / "recording.npz") as arrays:
        assert arrays["terminated"].dtype == bool
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, getattr(recording, name).numpy())


def test_a_learner_learns_from_it(env: ReorientEnv, recording: Recording):
    config = TrainConfig(num_envs=WORLDS, horizon=20, network=NetworkConfig(hidden=16, lstm=16))
    learner = Learner(config, ReplayEnv(recording, env))
    before = [each.clone() for each in learner.actor.parameters()]
    learner.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, learner.actor.parameters(), strict=True))
    # each recorded step was seen equally often
    torch.testing.assert_close(
        learner.actor.trunk.normalizer.mean, recording.policy.double().mean(dim=(0, 1)), rtol=1e-9, atol=1e-12
    )
