"""The recurrent networks: one pass over a sequence is the same as step by step, whatever resets lie in it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from inhand.config import CONF, load
from inhand.training import TrainJob
from policy import trunk as trunk_module
from policy.network import Actor, Critic, NetworkConfig
from policy.trunk import FieldEmbedding, Trunk

PRESETS = sorted(path.stem for path in (CONF / "network").glob("*.yaml"))


def preset(name: str) -> NetworkConfig:
    """As ``inhand train network=NAME`` composes it."""
    return load("train", TrainJob, [f"network={name}"]).train.network


NETWORKS = {name: preset(name) for name in PRESETS}
TINY = {
    name: replace(network, hidden=16, lstm=8, embedding=6 if network.embedding else 0)
    for name, network in NETWORKS.items()
}


def trunk(name: str = "small") -> Trunk:
    return Trunk((3, 1), TINY[name], TINY[name].memory, torch.Generator().manual_seed(0))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_presets_are_those_that_are_published():
    assert {name: preset(name) for name in PRESETS} == {
        "dactyl": NetworkConfig(hidden=1024, lstm=512),
        "embed_add": NetworkConfig(hidden=2048, lstm=1024, embedding=512),
        "ff": NetworkConfig(hidden=256, lstm=256, memory=False, critic_memory=False),
        "small": NetworkConfig(hidden=256, lstm=256),
    }


@settings(max_examples=120)
@given(
    steps=st.integers(1, 12),
    n=st.sampled_from([1, 2, 3, 9, trunk_module.CELL_BATCH, trunk_module.CELL_BATCH + 1]),
    chance=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    name=st.sampled_from(PRESETS),
    seed=st.integers(0, 1000),
)
def test_a_sequence_equals_its_steps(steps, n, chance, name, seed):
    generator = torch.Generator().manual_seed(seed)
    network = trunk(name)
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
    # D18 Table 2: 22 inputs of the policy, 85 of the value; sizes as facts of D18 D.1
    actor, critic = Actor(22, 20, 11, NETWORKS["dactyl"], generator), Critic(85, NETWORKS["dactyl"], generator)
    assert parameters(actor) == pytest.approx(3.28e6, rel=2e-3)
    assert parameters(critic) == pytest.approx(3.24e6, rel=2e-3)


def test_embed_add_has_the_published_number_of_parameters():
    generator = torch.Generator()
    # R19 Table 13: 267,776 parameters embed its inputs: 478 numbers in 15 fields
    sizes = [31] * 14 + [44]
    config = NETWORKS["embed_add"]
    actor, critic = Actor(sizes, 20, 11, config, generator), Critic(sizes, config, generator)
    for network, published in ((actor, 13_863_132), (critic, 13_638_657)):
        assert parameters(network.trunk.fields) == 267_776
        # torch adds two biases in the LSTM where others have one
        second_bias = network.state_dict()["trunk.core.bias_hh_l0"].numel()
        assert parameters(network) - 267_776 - second_bias == published


def test_fields_are_embedded_each_by_itself_and_added():
    embedding = FieldEmbedding((2, 3), 7, torch.Generator().manual_seed(0))
    weights = torch.Generator().manual_seed(1)
    for parameter in embedding.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=weights)
    observation = torch.randn(4, 5)
    total = torch.zeros(4, 7)
    for i, part in enumerate((observation[:, :2], observation[:, 2:])):
        weight, bias, gain, offset = embedding.layers[i].parameters()
        embedded = part @ weight.T + bias
        deviation = embedded - embedded.mean(dim=1, keepdim=True)
        total += deviation / (deviation.square().mean(dim=1, keepdim=True) + 1e-5).sqrt() * gain + offset
    torch.testing.assert_close(embedding(observation), functional.relu(total))


def test_an_untrained_embedding_tells_how_large_a_field_is():
    embedding = FieldEmbedding((3,), 64, torch.Generator().manual_seed(0))
    direction = torch.tensor([[0.6, 0.0, 0.8]])
    assert (embedding(direction) - embedding(3.0 * direction)).norm() > 0.1 * embedding(direction).norm()


def test_an_embedding_needs_the_sizes_of_the_fields():
    with pytest.raises(ValueError, match="embedding is 6; it needs the size of every observation field"):
        Actor(4, 20, 11, TINY["embed_add"], torch.Generator())


def test_without_memory_nothing_is_kept():
    actor = Actor(4, 20, 11, TINY["ff"], torch.Generator().manual_seed(0))
    critic = Critic(4, TINY["ff"], torch.Generator().manual_seed(0))
    assert actor.initial_state(3).shape == critic.initial_state(3).shape == (2, 3, 0)
    first, second = (actor.step(torch.ones(3, 4), actor.initial_state(3))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_weights_keep_the_names_under_which_checkpoints_hold_them():
    lstm = [f"trunk.core.{kind}_{of}_l0" for kind in ("weight", "bias") for of in ("ih", "hh")]
    normalizer = [f"trunk.normalizer.{name}" for name in ("mean", "var", "count")]
    linear = [f"{layer}.{name}" for layer in ("trunk.embed", "head") for name in ("weight", "bias")]
    assert set(Actor(4, 20, 11, TINY["small"], torch.Generator()).state_dict()) == {*lstm, *normalizer, *linear}


def test_weights_come_from_the_generator_alone():
    def weights(seed: int) -> torch.Tensor:
        torch.rand(1)
        actor = Actor(5, 20, 11, NetworkConfig(), torch.Generator().manual_seed(seed))
        return torch.cat([p.flatten() for p in actor.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("std", [0.3, 0.6])
def test_the_first_actions_have_the_standard_deviation_that_was_asked_for(std: float):
    network = NetworkConfig(action_std=std)
    observation = torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
    actor = Actor(5, 20, 11, network, torch.Generator().manual_seed(0))
    logits, _ = actor.step(observation, actor.initial_state(64))
    unit = torch.linspace(-1.0, 1.0, 11)
    expected = (-0.5 * (unit / std).square()).softmax(dim=0)
    assert logits.softmax(dim=1).sub(expected.view(1, 11, 1)).abs().max() < 0.01
    actor = Actor(5, 20, 0, network, torch.Generator().manual_seed(0))
    output, _ = actor.step(observation, actor.initial_state(64))
    mean, sigma = actor.distribution(output).parameters.unbind(dim=1)
    assert mean.abs().max() < 0.02
    assert sigma.sub(std).abs().max() < 0.02


def test_the_critic_speaks_in_units_of_reward():
    critic = Critic(5, NetworkConfig(), torch.Generator().manual_seed(0))
    observation, state, starts = torch.randn(1, 8, 5), critic.initial_state(8), torch.ones(1, 8, dtype=torch.bool)
    critic.normalizer.update(torch.randn(1000, 1) * 30.0 - 12.0)
    normalized = critic.sequence(observation, state, starts)[0]
    value, _ = critic.step(observation[0], state)
    torch.testing.assert_close((value + 12.0) / 30.0, normalized, atol=0.2, rtol=0.2)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"lstm is 0; allowed: above 0"):
        NetworkConfig(lstm=0)
    with pytest.raises(ValueError, match=r"min_sigma is 0\.0; allowed: above 0"):
        NetworkConfig(min_sigma=0.0)
    with pytest.raises(ValueError, match=r"embedding is -1; allowed: 0 or more"):
        NetworkConfig(embedding=-1)


def test_continuous_actions_cannot_begin_below_the_floor_of_their_standard_deviation():
    network = NetworkConfig(action_std=0.1, min_sigma=0.2)
    with pytest.raises(ValueError, match=r"action_std is 0\.1; .* above min_sigma, 0\.2"):
        Actor(5, 20, 0, network, torch.Generator())
    Actor(5, 20, 11, network, torch.Generator())
