"""What a roll-out leaves to learn from."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rollout:
    """T control steps of n worlds, time first; recurrent states at the start of each of the K = T / L chunks."""

    policy: Tensor
    """Observations of the actor, (T, n, p)."""
    critic: Tensor
    """Observations of the critic, (T, n, c)."""
    starts: Tensor
    """The observation is the first of an episode, (T, n) bool."""
    bins: Tensor
    """Chosen classes, (T, n, actuators) int64."""
    reward: Tensor
    """(T, n)."""
    value: Tensor
    """The critic's value of the observation acted on, (T, n)."""
    terminated: Tensor
    """(T, n) bool."""
    truncated: Tensor
    """(T, n) bool."""
    final_value: Tensor
    """Value of the observation before the reset where truncated, else 0, (T, n)."""
    last_value: Tensor
    """Value of the observation after the last step, (n,)."""
    successes: Tensor
    """Successes in the episode so far, (T, n) int64."""
    actor_state: Tensor
    """(K, 2, n, width)."""
    critic_state: Tensor
    """(K, 2, n, width)."""
