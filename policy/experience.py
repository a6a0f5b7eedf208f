"""What a roll-out leaves to learn from, and how it is cut into sequences."""

from dataclasses import dataclass, fields

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
    action: Tensor
    """What the policy chose, (T, n, actuators): classes (int64) or values (float32)."""
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


@dataclass(frozen=True)
class Sequences:
    """A roll-out cut into m chunks of L steps that are learnt from independently; m is the second dimension of all."""

    policy: Tensor
    critic: Tensor
    starts: Tensor
    action: Tensor
    advantage: Tensor
    target: Tensor
    """Normalized value targets, (L, m)."""
    actor_state: Tensor
    critic_state: Tensor

    @classmethod
    def cut(cls, rollout: Rollout, advantage: Tensor, target: Tensor) -> "Sequences":
        """Cuts a roll-out at the steps at which its recurrent states were kept."""
        chunks = len(rollout.actor_state)

        def time_first(x: Tensor) -> Tensor:
            return x.unflatten(0, (chunks, -1)).transpose(0, 1).flatten(1, 2)

        def state(x: Tensor) -> Tensor:
            return x.transpose(0, 1).flatten(1, 2)

        return cls(
            policy=time_first(rollout.policy),
            critic=time_first(rollout.critic),
            starts=time_first(rollout.starts),
            action=time_first(rollout.action),
            advantage=time_first(advantage),
            target=time_first(target),
            actor_state=state(rollout.actor_state),
            critic_state=state(rollout.critic_state),
        )

    def __len__(self) -> int:
        return self.starts.shape[1]

    def select(self, ids: Tensor) -> "Sequences":
        """The sequences ``ids``."""
        return Sequences(**{field.name: getattr(self, field.name).index_select(1, ids) for field in fields(self)})
