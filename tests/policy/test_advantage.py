"""Advantages against the definition: an explicit double sum per world, cut at episode ends."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.advantage import generalized_advantage


def naive(reward, value, last_value, terminated, truncated, final_value, gamma, lam):
    """Schulman et al. 2016, equation 16, one world at a time: sum over l of (gamma lam)^l delta_{t+l}."""
    steps, n = reward.shape
    result = torch.zeros(steps, n, dtype=torch.float64)
    for i in range(n):
        delta = []
        for t in range(steps):
            if terminated[t, i]:
                following = 0.0
            elif truncated[t, i]:
                following = final_value[t, i].item()
            else:
                following = value[t + 1, i].item() if t + 1 < steps else last_value[i].item()
            delta.append(reward[t, i].item() + gamma * following - value[t, i].item())
        for t in range(steps):
            for k in range(t, steps):
                result[t, i] += (gamma * lam) ** (k - t) * delta[k]
                if terminated[k, i] or truncated[k, i]:
                    break
    return result.float()


@settings(max_examples=40)
@given(
    steps=st.integers(1, 12),
    n=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    chance=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    gamma=st.sampled_from([0.0, 0.9, 1.0]),
    lam=st.sampled_from([0.0, 0.95, 1.0]),
)
def test_equals_the_definition(steps, n, seed, chance, gamma, lam):
    generator = torch.Generator().manual_seed(seed)
    reward, value, final_value = torch.randn(3, steps, n, generator=generator)
    last_value = torch.randn(n, generator=generator)
    terminated, truncated = torch.rand(2, steps, n, generator=generator) < chance
    arguments = (reward, value, last_value, terminated, truncated, final_value, gamma, lam)
    torch.testing.assert_close(generalized_advantage(*arguments), naive(*arguments), rtol=1e-4, atol=1e-5)


def test_a_drop_earns_nothing_more_and_a_time_limit_keeps_the_value():
    zero, one = torch.zeros(1, 2), torch.ones(1, 2)
    terminated, truncated = torch.tensor([[True, False]]), torch.tensor([[True, True]])
    advantage = generalized_advantage(zero, zero, one[0] * 100, terminated, truncated, one * 7, 0.5, 0.95)
    assert advantage.tolist() == [[0.0, 3.5]]
