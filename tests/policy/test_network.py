"""The recurrent networks: one pass over a sequence is the same as step by step, whatever resets lie in it."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import inhand
from policy.network import Actor, Critic, NetworkConfig, Trunk


def trunk(memory: bool = True) -> Trunk:
    return Trunk(4, 16, 8, memory, torch.Generator().manual_seed(0))


@settings(deadline=None, max_examples=60)
@given(
    steps=st.integers(1, 12),
    n=st.integers(1, 9),
    chance=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    memory=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_sequence_equals_its_steps(steps, n, chance, memory, seed):
    generator = torch.Generator().manual_seed(seed)
    network = trunk(memory)
    observation = torch.randn(steps, n, 4, generator=generator)
    starts = torch.rand(steps, n, generator=generator) < chance
    state = torch.randn(network.initial_state(n).shape, generator=generator)
    expected, running = [], state
    for t in range(steps):
        running = torch.where(starts[t].unsqueeze(-1), 0.0, running)
        features, running = network.step(observation[t], running)
        expected.append(features)
    torch.testing.assert_close(
        network.sequence(observation, state, starts), torch.stack(expected), rtol=1e-5, atol=1e-6
    )


def test_gradients_do_not_reach_over_an_episodes_start():
    network = trunk()
    observation = torch.randn(6, 2, 4, requires_grad=True)
    starts = torch.zeros(6, 2, dtype=torch.bool)
    starts[3, 0] = True
    output = network.sequence(observation, network.initial_state(2), starts)[5].sum()
    (gradient,) = torch.autograd.grad(output, observation)
    reached = gradient.abs().sum(dim=-1) > 0.0
    assert reached.T.tolist() == [[False] * 3 + [True] * 3, [True] * 6]


def test_dactyl_has_the_published_number_of_parameters():
    generator = torch.Generator()
    preset = OmegaConf.load(Path(inhand.__file__).parent / "conf" / "network" / "dactyl.yaml")
    network = NetworkConfig(hidden=preset.hidden, lstm=preset.lstm)
    # D18 Table 2: 22 inputs of the policy, 85 of the value; sizes as facts of D18 D.1
    actor, critic = Actor(22, 20, 11, network, generator), Critic(85, network, generator)
    assert sum(p.numel() for p in actor.parameters()) == pytest.approx(3.28e6, rel=2e-3)
    assert sum(p.numel() for p in critic.parameters()) == pytest.approx(3.24e6, rel=2e-3)


def test_weights_come_from_the_generator_alone():
    def weights(seed: int) -> torch.Tensor:
        torch.rand(1)
        actor = Actor(5, 20, 11, NetworkConfig(), torch.Generator().manual_seed(seed))
        return torch.cat([p.flatten() for p in actor.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_an_untrained_actor_explores_evenly():
    actor = Actor(5, 20, 11, NetworkConfig(), torch.Generator().manual_seed(0))
    logits, _ = actor.step(torch.randn(64, 5), actor.initial_state(64))
    assert logits.softmax(dim=1).sub(1 / 11).abs().max() < 0.01


def test_the_critic_speaks_in_units_of_reward():
    critic = Critic(5, NetworkConfig(), torch.Generator().manual_seed(0))
    observation, state, starts = torch.randn(1, 8, 5), critic.initial_state(8), torch.ones(1, 8, dtype=torch.bool)
    critic.normalizer.update(torch.randn(1000, 1) * 30.0 - 12.0)
    normalized = critic.sequence(observation, state, starts)[0]
    value, _ = critic.step(observation[0], state)
    torch.testing.assert_close((value + 12.0) / 30.0, normalized, atol=0.2, rtol=0.2)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"lstm is 0.*positive"):
        NetworkConfig(lstm=0)
