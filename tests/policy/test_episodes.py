"""Episode statistics against a plain loop over every world."""

import torch

from policy.episodes import WINDOW, EpisodeStatistics
from policy.network import Actor, Critic, NetworkConfig
from policy.rollout import Collector
from tests.policy.toy import CRITIC, POLICY, ToyEnv


def test_means_are_those_of_all_episodes_that_ended():
    generator = torch.Generator().manual_seed(0)
    network = NetworkConfig(8, 8)
    actor, critic = Actor(POLICY.size, 20, 11, network, generator), Critic(CRITIC.size, network, generator)
    env = ToyEnv(3)
    collector = Collector(env, env.reset(), actor, critic, 5, generator)
    statistics = EpisodeStatistics(3)
    assert statistics.means() == {"successes": None, "episode_reward": None, "episode_steps": None}

    episodes, running = [], [[0.0, 0] for _ in range(3)]
    for _ in range(4):
        rollout = collector.collect(10)
        statistics.update(rollout.reward, rollout.terminated, rollout.truncated, rollout.successes)
        for t in range(10):
            for i in range(3):
                running[i] = [running[i][0] + rollout.reward[t, i].item(), running[i][1] + 1]
                if rollout.terminated[t, i] or rollout.truncated[t, i]:
                    episodes.append([rollout.successes[t, i].item(), *running[i]])
                    running[i] = [0.0, 0]
    assert 0 < len(episodes) < WINDOW
    expected = torch.tensor(episodes).mean(dim=0)
    torch.testing.assert_close(torch.tensor(list(statistics.means().values())), expected)

    last = collector.collect(10)
    for _ in range(200):
        statistics.update(last.reward, last.terminated, last.truncated, last.successes)
    assert sum(float(sums[0]) for sums in statistics.sums[1:]) < WINDOW
