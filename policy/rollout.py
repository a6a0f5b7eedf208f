"""Collecting roll-outs: the actor steps n worlds, recurrent states and time limits handled as PPO needs it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from policy.experience import Rollout
from policy.network import Actor, Critic
from sim.vector_env import Observation, VectorEnv


@dataclass(frozen=True)
class _Cut:
    """Worlds whose episodes a step truncated: what the critic would have seen next, and its state then."""

    ids: Tensor
    observation: Tensor
    state: Tensor


class Collector:
    """Steps the worlds under the actor; keeps observations and recurrent states from one roll-out to the next."""

    def __init__(
        self,
        env: VectorEnv,
        observation: Observation,
        actor: Actor,
        critic: Critic,
        chunk: int,
        generator: torch.Generator,
        greedy: Tensor | None = None,
        persistence: float = 0.0,
    ) -> None:
        """Begins where an episode starts in every world.

        Args:
            env: the worlds.
            observation: what their ``reset`` returned.
            actor: draws the actions.
            critic: values the observations.
            chunk: length of backpropagation [control steps].
            generator: of the actions; on the networks' device.
            greedy: worlds in which the most probable actions are taken instead, (n,) bool; PPO cannot learn from them.
            persistence: correlation of the noise of successive actions, below 1.
        """
        self.env = env
        self.actor = actor
        self.critic = critic
        self.chunk = chunk
        self.generator = generator
        self.greedy = greedy
        self.persistence = persistence
        n = env.num_envs
        self.observation = observation
        self.starts = torch.ones(n, dtype=torch.bool, device=observation.policy.device)
        self.actor_state = actor.initial_state(n)
        self.critic_state = critic.initial_state(n)
        self.noise = self._white_noise()
        """Standard normal, (n, actuators): which quantiles of the actor's distributions were taken."""

    @torch.no_grad()
    def collect(self, horizon: int) -> Rollout:
        """Acts for ``horizon`` control steps, a multiple of the chunk length.

        Raises:
            FloatingPointError: if the simulation returns a value that is not finite.
        """
        buffers: dict[str, Tensor] = {}
        actor_states, critic_states, cuts = [], [], []
        for t in range(horizon):
            if t % self.chunk == 0:
                actor_states.append(self.actor_state)
                critic_states.append(self.critic_state)
            cuts.append(self._step(partial(_record, buffers, horizon, t)))
        # the state stays as it is: the next roll-out values this observation again, with the weights of then
        last_value, _ = self.critic.step(self.observation.critic, self.critic_state)
        rollout = Rollout(
            **buffers,
            last_value=last_value,
            final_value=self._final_value(cuts),
            actor_state=torch.stack(actor_states),
            critic_state=torch.stack(critic_states),
        )
        _require_finite(rollout)
        return rollout

    def _step(self, record: Callable[..., None]) -> "_Cut":
        observation = self.observation
        output, actor_state = self.actor.step(observation.policy, self.actor_state)
        value, critic_state = self.critic.step(observation.critic, self.critic_state)
        distribution = self.actor.distribution(output)
        self.noise = self.persistence * self.noise + (1.0 - self.persistence**2) ** 0.5 * self._white_noise()
        action = distribution.quantile(torch.special.ndtr(self.noise))
        if self.greedy is not None:
            action = torch.where(self.greedy.unsqueeze(1), distribution.mode(), action)
        record(policy=observation.policy, critic=observation.critic, starts=self.starts, action=action, value=value)
        step = self.env.step(self.env.action_contract.unit(action))

        record(reward=step.reward, terminated=step.terminated, truncated=step.truncated, successes=step.successes)
        ids = (step.truncated & ~step.terminated).nonzero().squeeze(-1)
        cut = _Cut(ids, step.final_critic[ids], critic_state[:, ids])

        going_on = ~step.done.unsqueeze(-1)
        self.actor_state = actor_state * going_on
        self.critic_state = critic_state * going_on
        self.observation, self.starts = step.observation, step.done
        return cut

    def _white_noise(self) -> Tensor:
        shape = self.env.num_envs, self.env.action_contract.size
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def _final_value(self, cuts: list["_Cut"]) -> Tensor:
        """Values of what was cut off, (T, n); one pass for all of them is much faster than one per step."""
        final_value = torch.zeros(len(cuts), self.env.num_envs, device=self.starts.device)
        time = torch.cat([torch.full_like(cut.ids, t) for t, cut in enumerate(cuts)])
        observation = torch.cat([cut.observation for cut in cuts])
        state = torch.cat([cut.state for cut in cuts], dim=1)
        if len(time):
            final_value[time, torch.cat([cut.ids for cut in cuts])], _ = self.critic.step(observation, state)
        return final_value

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, but the networks and the generator."""
        return {
            "policy": self.observation.policy,
            "critic": self.observation.critic,
            "starts": self.starts,
            "actor_state": self.actor_state,
            "critic_state": self.critic_state,
            "noise": self.noise,
            "env": self.env.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        device = self.starts.device
        self.observation = Observation(state["policy"].to(device), state["critic"].to(device))
        self.starts = state["starts"].to(device)
        self.actor_state = state["actor_state"].to(device)
        self.critic_state = state["critic_state"].to(device)
        self.noise = state["noise"].to(device)
        self.env.load_state_dict(state["env"])


def _record(buffers: dict[str, Tensor], horizon: int, t: int, **values: Tensor) -> None:
    """Copies the values of step ``t`` at once, so that the simulation may use its own buffers again."""
    for name, value in values.items():
        if name not in buffers:
            buffers[name] = value.new_empty(horizon, *value.shape)
        buffers[name][t] = value


def _require_finite(rollout: Rollout) -> None:
    for name in ("policy", "critic", "reward", "final_value"):
        finite = getattr(rollout, name).isfinite()
        if not finite.all():
            where = (~finite).nonzero()[0].tolist()
            raise FloatingPointError(
                f"the simulation returned a {name} value that is not finite: step {where[0]} of the roll-out, "
                f"world {where[1]}" + (f", entry {where[2]}" if len(where) > 2 else "")
            )
