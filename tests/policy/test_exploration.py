"""Exploration: its strength, how long it is held, actuators that do something else, and resume."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import chisquare, kstest

from policy.exploration import Exploration

LONGEST = 6


def exploration(
    strength: torch.Tensor, actuators: int = 2, longest: int = LONGEST, seed: int = 0, random: float = 0.0
) -> Exploration:
    return Exploration(strength, 0.1, random, actuators, longest, torch.Generator().manual_seed(seed))


def drawn(strength: torch.Tensor, steps: int, actuators: int = 2, longest: int = LONGEST) -> torch.Tensor:
    """What becomes of actions of zero, (steps, n, actuators)."""
    explore = exploration(strength, actuators, longest)
    return torch.stack([explore.disturb(torch.zeros(len(strength), actuators)) for _ in range(steps)])


def holds(noise: torch.Tensor) -> list[int]:
    """How long each value of one world, (steps,), was held; the last, which is cut off, left out."""
    starts = [0] + [t for t in range(1, len(noise)) if noise[t] != noise[t - 1]]
    return [later - earlier for earlier, later in pairwise(starts)]


def test_each_world_has_its_own_strength_and_the_noise_is_normal():
    strength = torch.tensor([0.0, 0.5, 1.0])
    std, noise = 0.1 * strength, drawn(strength, 8000)
    assert (noise[:, 0] == 0.0).all()
    for world in (1, 2):
        for actuator in range(2):
            values = noise[:, world, actuator]
            fresh = values[torch.cat((torch.tensor([True]), values[1:] != values[:-1]))]
            assert kstest(fresh.numpy(), "norm", (0.0, std[world].item())).pvalue > 1e-4
    # what is held is no stronger: the mean square over time is the same
    torch.testing.assert_close(noise.square().mean(dim=(0, 2)).sqrt(), std, atol=0.0, rtol=0.05)
    correlation = torch.corrcoef(noise[:, 1:].flatten(1).T) - torch.eye(4)
    assert correlation.abs().max() < 0.08


def test_noise_is_held_for_k_steps_with_probability_proportional_to_one_over_k_squared():
    lengths = [length for world in drawn(torch.ones(40), 500).unbind(1) for length in holds(world[:, 0])]
    assert set(lengths) == set(range(1, LONGEST + 1))
    shares = torch.tensor([1.0 / k**2 for k in range(1, LONGEST + 1)], dtype=torch.float64)
    expected = shares / shares.sum() * len(lengths)
    counts = [lengths.count(k) for k in range(1, LONGEST + 1)]
    assert chisquare(counts, expected.numpy()).pvalue > 1e-4


def test_all_actuators_of_a_world_are_held_together_and_worlds_by_themselves():
    noise = drawn(torch.ones(2), 400, actuators=3)
    changed = noise[1:] != noise[:-1]
    assert torch.equal(changed.any(dim=2), changed.all(dim=2))
    assert not torch.equal(changed[:, 0], changed[:, 1])


def test_without_holding_every_step_is_new():
    noise = drawn(torch.ones(5), 100, longest=1)
    assert (noise[1:] != noise[:-1]).all()


def test_some_actuators_do_something_else_drawn_evenly():
    strength = torch.tensor([0.0, 0.5, 1.0])
    explore = exploration(strength, actuators=4000, longest=1, random=0.3)
    action = explore.disturb(torch.full((3, 4000), 5.0))  # whatever is added, it ends at 1
    other = action < 1.0
    torch.testing.assert_close(other.float().mean(dim=1), 0.3 * strength, atol=0.03, rtol=0.0)
    assert kstest(action[2][other[2]].numpy(), "uniform", (-1.0, 2.0)).pvalue > 1e-4


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_state_goes_on_exactly(steps: int):
    strength, action = torch.linspace(1.0, 0.0, 8), torch.zeros(8, 2)
    first, second = (exploration(strength, seed=seed, random=0.3) for seed in (0, 1))
    for _ in range(steps):
        first.disturb(action)
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    for _ in range(20):
        assert torch.equal(first.disturb(action), second.disturb(action))
