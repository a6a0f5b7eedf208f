"""How recurrent networks learn from a roll-out: advantages, sequences, minibatches; subclasses give the loss."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from policy import parallel
from policy.advantage import generalized_advantage
from policy.allocator import keep_freed_memory
from policy.distribution import Distribution
from policy.experience import Rollout, Sequences
from policy.network import Actor, Critic
from policy.ppo_config import PPOConfig
from policy.precision import has_bf16


class Learner(ABC):
    """Both networks and their optimizer."""

    def __init__(self, actor: Actor, critic: Critic, config: PPOConfig, generator: torch.Generator) -> None:
        """``generator`` shuffles the minibatches; it is on the networks' device."""
        keep_freed_memory()
        self.actor = actor
        self.critic = critic
        self.config = config
        self.generator = generator
        groups = [
            {"params": list(actor.parameters()), "lr": config.learning_rate},
            {"params": list(critic.parameters()), "lr": config.critic_learning_rate},
        ]
        self._bf16 = config.bf16 and has_bf16(generator.device)
        self.optimizer = torch.optim.Adam(groups, eps=1e-5, fused=True)

    @abstractmethod
    def _aims(self, sequences: Sequences) -> Tensor:
        """What the actor's loss compares its outputs with, (L, m, …), computed once for all passes over a roll-out."""

    @abstractmethod
    def _actor_loss(self, new: Distribution, batch: Sequences, aims: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a minibatch, and metrics."""

    def update(self, rollout: Rollout, critic_only: bool = False) -> dict[str, float]:
        """Improves both networks; returns the metrics, means over all minibatches of the update and over all ranks.

        With several ranks, each gives the roll-out of its own worlds, all of one size; what comes out is what one rank
        with all of these worlds would give, but for the order of summation and of the samples.

        Args:
            rollout: of the actor as it is.
            critic_only: leave the actor as it is.
        """
        config = self.config
        advantage = self._advantage(rollout, config.lam)
        # what the actor needs is little noise, what the critic needs is little bias: each has a lambda of its own
        returns = rollout.value + (
            advantage if config.critic_lam == config.lam else self._advantage(rollout, config.critic_lam)
        )
        unexplained = _variance(returns - rollout.value) / _variance(returns).clamp(min=1e-12)
        self.critic.normalizer.update(returns.unsqueeze(-1))
        target = self.critic.normalizer(returns.unsqueeze(-1)).squeeze(-1)
        sequences = Sequences.cut(rollout, advantage, target)
        aims = self._aims(sequences)

        metrics: list[dict[str, Tensor]] = []
        for epoch in range(config.epochs):
            with_critic = critic_only or epoch < (config.critic_epochs or config.epochs)
            order = torch.randperm(len(sequences), generator=self.generator, device=self.generator.device)
            metrics += [
                self._minibatch(sequences.select(ids), aims.index_select(1, ids), not critic_only, with_critic)
                for ids in order.tensor_split(config.minibatches)
            ]
        if config.target_kl > 0.0 and not critic_only and "kl" in metrics[-1]:
            last_pass = torch.stack([each["kl"] for each in metrics[-config.minibatches :]]).mean()
            self._adapt_learning_rate(parallel.mean(last_pass).item())
        # the first minibatch has all metrics, some of the others have none of the critic's
        columns = [torch.stack([each[name] for each in metrics if name in each]).mean() for name in metrics[0]]
        means = dict(zip(metrics[0], parallel.mean(torch.stack(columns)).tolist(), strict=True))
        means["explained_variance"] = 1.0 - unexplained.item()
        means["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        return means

    def _advantage(self, rollout: Rollout, lam: float) -> Tensor:
        return generalized_advantage(
            rollout.reward,
            rollout.value,
            rollout.last_value,
            rollout.terminated,
            rollout.truncated,
            rollout.final_value,
            self.config.gamma,
            lam,
        )

    def _parts(self, sequences: Sequences) -> list[Sequences]:
        """The sequences in order, in parts as large as a minibatch."""
        order = torch.arange(len(sequences), device=sequences.starts.device)
        return [sequences.select(ids) for ids in order.tensor_split(self.config.minibatches)]

    def _minibatch(self, batch: Sequences, aims: Tensor, with_actor: bool, with_critic: bool) -> dict[str, Tensor]:
        """A step of the actor, of the critic or of both; without a step, the actor is judged all the same."""
        self.optimizer.zero_grad(set_to_none=True)  # what gets no gradient takes no step
        with self._autocast(), torch.set_grad_enabled(with_actor):
            output = self.actor.sequence(batch.policy, batch.actor_state, batch.starts)
        with torch.set_grad_enabled(with_actor):
            loss, metrics = self._actor_loss(self.actor.distribution(output), batch, aims)
        learning = list(self.actor.parameters()) if with_actor else []
        losses = [loss] if with_actor else []
        if with_critic:
            with self._autocast():
                value = self.critic.sequence(batch.critic, batch.critic_state, batch.starts)
            losses.append(0.5 * (value - batch.target).square().mean())
            metrics["value_loss"] = losses[-1].detach()
            learning += self.critic.parameters()
        torch.stack(losses).sum().backward()
        parallel.average_gradients(learning)
        if with_actor:
            metrics["actor_grad_norm"] = self._clip(self.actor)
        if with_critic:
            metrics["critic_grad_norm"] = self._clip(self.critic)
        self.optimizer.step()
        return metrics

    def _clip(self, network: nn.Module) -> Tensor:
        """Scales its gradient down to the allowed norm; returns the norm it had."""
        return nn.utils.clip_grad_norm_(network.parameters(), self.config.max_grad_norm, error_if_nonfinite=True)

    def _adapt_learning_rate(self, kl: float) -> None:
        """Smaller steps where an update moved the policy too far, larger where hardly; band and factor of rl_games.

        Once per update, and by its last pass: judged at every minibatch, as rl_games does, the rate rises in each first
        pass, where the policy is still near to that of the roll-out, and has to fall again in the last.
        """
        group = self.optimizer.param_groups[0]
        if kl > 2.0 * self.config.target_kl:
            group["lr"] = max(group["lr"] / 1.5, self.config.min_learning_rate)
        elif kl < 0.5 * self.config.target_kl:
            group["lr"] = min(group["lr"] * 1.5, self.config.max_learning_rate)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.generator.device.type, torch.bfloat16, enabled=self._bf16)


def _variance(values: Tensor) -> Tensor:
    return parallel.moments(values.flatten())[2]
