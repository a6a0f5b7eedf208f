"""The projection of value distributions against a naive double loop."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy.value_distribution import ValueDistribution

LOWEST, HIGHEST, ATOMS = -2.0, 6.0, 17
SPACING = 0.5

rewards = st.floats(-20.0, 20.0, width=32)
discounts = st.floats(0.0, 1.0, width=32)
seeds = st.integers(0, 2**32 - 1)


def values() -> ValueDistribution:
    return ValueDistribution(LOWEST, HIGHEST, ATOMS)


def random_probabilities(seed: int, n: int = 1) -> torch.Tensor:
    return (3.0 * torch.randn(n, ATOMS, generator=torch.Generator().manual_seed(seed))).softmax(dim=1)


def naive(probabilities: list[float], reward: float, discount: float) -> list[float]:
    """Every atom gives to every other what lies within one spacing of its new value (C51, eq. 7)."""
    projected = [0.0] * ATOMS
    for j in range(ATOMS):
        value = min(max(reward + discount * (LOWEST + SPACING * j), LOWEST), HIGHEST)
        for i in range(ATOMS):
            projected[i] += max(0.0, 1.0 - abs(value - (LOWEST + SPACING * i)) / SPACING) * probabilities[j]
    return projected


@given(seeds, st.lists(st.tuples(rewards, discounts), min_size=1, max_size=5))
def test_the_projection_is_that_of_a_double_loop_and_sums_to_one(seed: int, shifts: list[tuple[float, float]]):
    probabilities = random_probabilities(seed, len(shifts))
    reward, discount = torch.tensor(shifts).unbind(1)
    projected = values().project(probabilities, reward, discount)
    expected = [naive(row, r, d) for row, (r, d) in zip(probabilities.tolist(), shifts, strict=True)]
    torch.testing.assert_close(projected, torch.tensor(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(projected.sum(dim=1), torch.ones(len(shifts)))
    assert (projected >= 0.0).all()


@given(seeds, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_mean_is_kept_where_nothing_lies_beyond_the_ends(seed: int, discount: float, place: float):
    # the ends of the shifted atoms lie anywhere between the ends of the atoms
    reward = (1.0 - discount) * (LOWEST + place * (HIGHEST - LOWEST))
    probabilities = random_probabilities(seed)
    projected = values().project(probabilities, torch.tensor([reward]), torch.tensor([discount]))
    atoms = torch.linspace(LOWEST, HIGHEST, ATOMS)
    before, after = ((each * atoms).sum().item() for each in (probabilities, projected))
    assert after == pytest.approx(reward + discount * before, abs=1e-4)


@given(seeds, st.floats(LOWEST, HIGHEST))
def test_nothing_to_come_leaves_the_reward(seed: int, reward: float):
    projected = values().project(random_probabilities(seed), torch.tensor([reward]), torch.zeros(1))
    place = (reward - LOWEST) / SPACING
    torch.testing.assert_close(projected.sum(), torch.tensor(1.0))
    for i, share in enumerate(projected[0].tolist()):
        assert share == pytest.approx(max(0.0, 1.0 - abs(place - i)), abs=1e-4)


@pytest.mark.parametrize(("reward", "end"), [(100.0, -1), (-100.0, 0)])
def test_returns_beyond_the_ends_count_as_the_ends(reward: float, end: int):
    projected = values().project(random_probabilities(0, 3), torch.full((3,), reward), torch.tensor([0.0, 0.5, 1.0]))
    expected = torch.zeros(3, ATOMS)
    expected[:, end] = 1.0
    torch.testing.assert_close(projected, expected)


def test_a_reward_of_one_spacing_moves_all_by_one_atom_and_the_last_stays():
    probabilities = random_probabilities(1)
    projected = values().project(probabilities, torch.tensor([SPACING]), torch.ones(1))[0]
    torch.testing.assert_close(projected[1:-1], probabilities[0, :-2], atol=1e-5, rtol=0)
    assert projected[0].item() == pytest.approx(0.0, abs=1e-5)
    torch.testing.assert_close(projected[-1], probabilities[0, -2:].sum(), atol=1e-5, rtol=0)


def test_the_mean_of_logits_is_that_of_their_softmax():
    logits = 2.0 * torch.randn(2, 3, ATOMS, generator=torch.Generator().manual_seed(2))
    means = values().mean(logits)
    assert means.shape == (2, 3)
    for index in ((0, 0), (1, 2)):
        weights = [math.exp(logit) for logit in logits[index].tolist()]
        expected = sum(weight * (LOWEST + SPACING * i) for i, weight in enumerate(weights)) / sum(weights)
        assert means[index].item() == pytest.approx(expected, abs=1e-5)
    assert values().mean(logits.bfloat16()).dtype == torch.float32
