"""The gradient of the whole PPO loss, through LSTM, resets and both heads, against finite differences in float64."""

from dataclasses import replace

import pytest
import torch

from policy.experience import Sequences
from policy.network import Actor, Critic, NetworkConfig
from policy.ppo import PPO
from policy.ppo_config import PPOConfig

STEPS, COLUMNS, ACTUATORS = 5, 7, 2
STEP = 1e-6
CONFIG = PPOConfig(bf16=False, entropy=0.03, clip=0.05, max_grad_norm=1e9)


def batch(bins: int, width: int, generator: torch.Generator) -> Sequences:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shape = (STEPS, COLUMNS, ACTUATORS)
    return Sequences(
        policy=random(STEPS, COLUMNS, 3),
        critic=random(STEPS, COLUMNS, 5),
        starts=torch.rand(STEPS, COLUMNS, generator=generator) < 0.3,
        action=torch.randint(bins, shape, generator=generator) if bins else random(*shape),
        advantage=random(STEPS, COLUMNS),
        target=random(STEPS, COLUMNS),
        actor_state=random(2, COLUMNS, width),
        critic_state=random(2, COLUMNS, width),
    )


@pytest.mark.parametrize("bins", [3, 0])
@pytest.mark.parametrize("embedding", [0, 4])
def test_the_gradient_of_the_loss_equals_finite_differences(bins, embedding):
    generator = torch.Generator().manual_seed(0)
    network = NetworkConfig(hidden=6, lstm=4, embedding=embedding, action_std=0.9)
    actor = Actor((1, 2), ACTUATORS, bins, network, generator).double()
    critic = Critic((2, 3), network, generator).double()
    for parameter in (*actor.parameters(), *critic.parameters()):
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    ppo = PPO(actor, critic, CONFIG, generator)
    for group in ppo.optimizer.param_groups:
        group["lr"] = 0.0  # the weights are moved here only
    sequences = batch(bins, network.lstm, generator)
    old = ppo._aims(sequences)
    for parameter in actor.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)

    def loss() -> float:
        metrics = ppo._minibatch(sequences, old, with_actor=True, with_critic=True)
        return (metrics["policy_loss"] + metrics["value_loss"] - CONFIG.entropy * metrics["entropy"]).item()

    assert 0.1 < ppo._minibatch(sequences, old, with_actor=True, with_critic=True)["clip_fraction"] < 0.9
    gradients = [p.grad.clone() for p in (*actor.parameters(), *critic.parameters()) if p.grad is not None]
    parameters = [*actor.parameters(), *critic.parameters()]
    assert len(gradients) == len(parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat = parameter.data.view(-1)
        for i in torch.randperm(len(flat), generator=generator)[:6].tolist():
            before = flat[i].item()
            ends = []
            for value in (before + STEP, before - STEP):
                flat[i] = value
                ends.append(loss())
            flat[i] = before
            assert gradient.view(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / (2.0 * STEP), rel=1e-5, abs=1e-8)


def test_an_entropy_weight_of_zero_leaves_the_rest_of_the_gradient():
    def gradient(entropy: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        network = NetworkConfig(hidden=6, lstm=4)
        actor, critic = Actor(3, ACTUATORS, 3, network, generator), Critic(5, network, generator)
        ppo = PPO(actor.double(), critic.double(), replace(CONFIG, entropy=entropy), generator)
        sequences = batch(3, network.lstm, generator)
        ppo._minibatch(sequences, ppo._aims(sequences), with_actor=True, with_critic=True)
        return torch.cat([p.grad.flatten() for p in actor.parameters() if p.grad is not None])

    torch.testing.assert_close(gradient(0.0), gradient(1e-12))
