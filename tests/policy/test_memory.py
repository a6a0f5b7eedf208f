"""A task that needs memory: a sign seen once, to be repeated steps later. The whole learner has to be right for it."""

from pathlib import Path

import pytest
from scipy.stats import binomtest

from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from tests.policy.learning import learn, returns
from tests.policy.toy import CueEnv

EPISODES = 2000
PPO = PPOConfig(
    learning_rate=3e-3, critic_learning_rate=3e-3, gamma=0.95, entropy=0.01, epochs=4, minibatches=2, chunk=16
)
"""Chunks end amid episodes, so the sign often has to come through a stored state."""


def repeated(directory: Path, **network: bool) -> int:
    """In how many of the episodes a policy that learnt with such a network repeats the sign."""
    sizes = NetworkConfig(hidden=32, lstm=32, **network)
    actor = learn(CueEnv(64), sizes, PPO, horizon=32, updates=50, seed=0, directory=directory)
    return int((returns(CueEnv(EPISODES, seed=1), actor) > 0.0).sum())


@pytest.mark.slow
def test_the_lstm_remembers_the_sign(tmp_path: Path):
    right = repeated(tmp_path)
    assert binomtest(right, EPISODES, 0.95, alternative="greater").pvalue < 1e-3


@pytest.mark.parametrize("critic_memory", [False, True])
def test_without_memory_it_stays_at_chance(critic_memory: bool, tmp_path: Path):
    right = repeated(tmp_path, memory=False, critic_memory=critic_memory)
    # every memoryless policy is right with a probability of 1/2, independently in every episode
    assert binomtest(right, EPISODES, 0.5).pvalue > 1e-3
