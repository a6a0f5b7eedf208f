"""Generalized advantage estimation (Schulman et al. 2016)."""

import torch
from torch import Tensor


def generalized_advantage(
    reward: Tensor,
    value: Tensor,
    last_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    final_value: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Advantages (T, n) of T steps of n worlds that are reset as soon as their episode ends.

    After a terminated step nothing is earned. After a truncated one the episode would have gone on: the value of the
    observation before the reset stands for what was cut off. No advantage reaches over an episode's end.

    Args:
        reward: (T, n).
        value: of the observation acted on, (T, n).
        last_value: of the observation after the last step, (n,).
        terminated: the step ended the episode for good, (T, n) bool; outweighs ``truncated``.
        truncated: the step was the last before a limit, (T, n) bool.
        final_value: of the observation before the reset, (T, n); read only where truncated.
        gamma: discount per step.
        lam: weight of longer estimates, 0 to 1.
    """
    next_value = torch.cat((value[1:], last_value.unsqueeze(0)))
    next_value = torch.where(truncated, final_value, next_value).masked_fill(terminated, 0.0)
    delta = reward + gamma * next_value - value
    carry = gamma * lam * ~(terminated | truncated)
    advantage = torch.empty_like(delta)
    running = torch.zeros_like(last_value)
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + carry[t] * running
        advantage[t] = running
    return advantage
