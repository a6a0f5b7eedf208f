"""A foreign task with a known threshold, the velocities hidden: they have to be remembered from where things were.

160 000 steps are enough; a policy without memory stays at a tenth of the threshold, however long it learns.
"""

from pathlib import Path

import gymnasium
import pytest
import torch

from policy.network import NetworkConfig
from policy.ppo_config import PPOConfig
from tests.policy.cartpole import TASK, HiddenCartPole
from tests.policy.learning import learn, returns


@pytest.mark.slow
def test_the_lstm_solves_cartpole_without_velocities(tmp_path: Path):
    network = NetworkConfig(hidden=32, lstm=32)
    ppo = PPOConfig(
        gamma=0.99,
        entropy=0.0,
        learning_rate=3e-3,
        max_learning_rate=3e-3,
        critic_learning_rate=3e-3,
        target_kl=0.01,
        epochs=4,
        chunk=16,
    )
    actor = learn(HiddenCartPole(32, seed=0), network, ppo, horizon=64, updates=80, seed=0, directory=tmp_path)
    threshold = gymnasium.spec(TASK).reward_threshold
    assert threshold is not None
    assert returns(HiddenCartPole(100, seed=1000), actor).mean() >= threshold


def test_an_episode_that_is_cut_shows_what_came_last():
    """The protocol's time limit, against a single world of Gymnasium's own."""
    worlds, alone = HiddenCartPole(2, seed=5), gymnasium.make(TASK)
    first, _ = alone.reset(seed=5)
    assert worlds.reset().critic[0, [0, 3, 1, 4]].tolist() == first.tolist()
    while True:
        step = worlds.step(torch.ones(2, 1))
        seen, reward, ended, cut, _ = alone.step(1)
        assert step.final_critic[0, [0, 3, 1, 4]].tolist() == seen.tolist()
        assert (step.reward[0], step.terminated[0], step.truncated[0]) == (reward, ended, cut)
        if ended:
            break
    assert abs(step.final_critic[0, 1]) > 0.2 > abs(step.observation.critic[0, 1])
