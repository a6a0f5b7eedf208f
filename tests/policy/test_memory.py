"""A task that needs memory: a sign seen once, to be repeated steps later. The whole learner has to be right for it."""

import pytest
import torch

from policy.network import Actor, Critic, NetworkConfig
from policy.ppo import PPO, PPOConfig
from policy.rollout import Collector
from tests.policy.toy import CRITIC, POLICY, CueEnv


def share_right(memory: bool, updates: int) -> float:
    """Share of the episodes of the last roll-out in which the sign was repeated."""
    generator = torch.Generator().manual_seed(0)
    network = NetworkConfig(hidden=32, lstm=32, memory=memory)
    actor, critic = Actor(POLICY.size, 20, 2, network, generator), Critic(CRITIC.size, network, generator)
    env = CueEnv(64)
    config = PPOConfig(
        learning_rate=3e-3, critic_learning_rate=3e-3, gamma=0.95, entropy=1e-3, epochs=4, minibatches=2, chunk=8
    )
    ppo, collector = PPO(actor, critic, config, generator), Collector(env, env.reset(), actor, critic, 8, generator)
    for _ in range(updates):
        ppo.update(collector.collect(32))
    rollout = collector.collect(32)
    return rollout.successes[rollout.terminated].float().mean().item()


@pytest.mark.slow
def test_the_lstm_remembers_the_sign():
    assert share_right(memory=True, updates=25) > 0.95


def test_without_memory_it_stays_at_chance():
    assert share_right(memory=False, updates=25) == pytest.approx(0.5, abs=0.12)
