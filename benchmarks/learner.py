"""Our learner, step by step: a roll-out and what is learnt from it, as in ``policy.train`` but without its files."""

import torch

from policy.network import Actor, Critic
from policy.ppo import PPO
from policy.rollout import Collector
from policy.train_config import TrainConfig
from sim.vector_env import VectorEnv


class Learner:
    """Recurrent PPO in an environment."""

    def __init__(self, config: TrainConfig, env: VectorEnv) -> None:
        generator = torch.Generator().manual_seed(config.seed)
        action = env.action_contract
        self.horizon = config.horizon
        self.actor = Actor(env.policy_contract.sizes, action.size, action.bins, config.network, generator)
        self.critic = Critic(env.critic_contract.sizes, config.network, generator)
        self.collector = Collector(
            env, env.reset(), self.actor, self.critic, config.ppo.chunk, generator, persistence=config.ppo.persistence
        )
        self.ppo = PPO(self.actor, self.critic, config.ppo, generator)

    @property
    def parameters(self) -> int:
        """Weights and biases of both networks."""
        return sum(each.numel() for network in (self.actor, self.critic) for each in network.parameters())

    def step(self) -> None:
        """One roll-out and its update."""
        rollout = self.collector.collect(self.horizon)
        self.ppo.update(rollout)
        self.actor.trunk.normalizer.update(rollout.policy)
        self.critic.trunk.normalizer.update(rollout.critic)
