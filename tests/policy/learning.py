"""Whole learning runs in small worlds, and what came of them."""

import io
from pathlib import Path

import torch
from rich.console import Console

from policy.network import Actor, NetworkConfig
from policy.ppo_config import PPOConfig
from policy.runtime import PolicyRuntime
from policy.train import TrainConfig, train
from sim.vector_env import VectorEnv


def learn(
    env: VectorEnv, network: NetworkConfig, ppo: PPOConfig, horizon: int, updates: int, seed: int, directory: Path
) -> Actor:
    """The policy that a training run of so many updates leaves."""
    config = TrainConfig(
        seed=seed,
        num_envs=env.num_envs,
        horizon=horizon,
        steps=updates * horizon * env.num_envs,
        checkpoint_minutes=60.0,
        threads=1,
        network=network,
        ppo=ppo,
    )
    return train(config, env, directory, console=Console(file=io.StringIO())).actor


def returns(env: VectorEnv, actor: Actor) -> torch.Tensor:
    """Sum of the rewards of one episode in every world, (n,), under the most probable actions."""
    policy = PolicyRuntime(actor, env.policy_contract, env.action_contract)
    observation, state = env.reset(), policy.initial_state(env.num_envs)
    total, going_on = torch.zeros(env.num_envs), torch.ones(env.num_envs, dtype=torch.bool)
    while going_on.any():
        action, state = policy.act(observation.policy, state)
        step = env.step(action)
        total += step.reward * going_on
        going_on &= ~step.done
        observation = step.observation
    return total
