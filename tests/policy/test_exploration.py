"""Held noise: its strength, how long it is held, and resume."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import chisquare, kstest

from policy.exploration import HeldNoise

LONGEST = 6


def drawn(std: torch.Tensor, steps: int, actuators: int = 2, longest: int = LONGEST, seed: int = 0) -> torch.Tensor:
    """(steps, n, actuators)."""
    noise = HeldNoise(std, actuators, longest, torch.Generator().manual_seed(seed))
    return torch.stack([noise.step() for _ in range(steps)])


def holds(noise: torch.Tensor) -> list[int]:
    """How long each value of one world, (steps,), was held; the last, which is cut off, left out."""
    starts = [0] + [t for t in range(1, len(noise)) if noise[t] != noise[t - 1]]
    return [later - earlier for earlier, later in pairwise(starts)]


def test_each_world_has_its_own_strength_and_the_noise_is_normal():
    std = torch.tensor([0.0, 0.2, 0.6])
    noise = drawn(std, 8000)
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


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_state_goes_on_exactly(steps: int):
    std = torch.linspace(0.6, 0.0, 8)
    first, second = (HeldNoise(std, 2, LONGEST, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    for _ in range(steps):
        first.step()
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    for _ in range(20):
        assert torch.equal(first.step(), second.step())
