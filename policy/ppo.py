"""Proximal policy optimization of a recurrent actor and critic (Schulman et al. 2017; settings of D18 Table 10)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policy import parallel
from policy.advantage import generalized_advantage
from policy.allocator import keep_freed_memory
from policy.experience import Rollout, Sequences
from policy.network import Actor, Critic


@dataclass(frozen=True)
class PPOConfig:
    """How the networks are updated from a roll-out.

    Raises:
        ValueError: if a value is out of its range.
    """

    gamma: float = 0.998
    """Discount per control step."""

    lam: float = 0.95
    """Lambda of generalized advantage estimation."""

    clip: float = 0.2
    """The probability ratio earns nothing beyond 1 ± clip."""

    entropy: float = 0.01
    """Weight of the entropy bonus [per nat, summed over the actuators]."""

    learning_rate: float = 3e-4
    """Adam's step size for the actor, the first one if it adapts."""

    critic_learning_rate: float = 3e-4
    """Adam's step size for the critic; always fixed."""

    target_kl: float = 0.0
    """If positive, the actor's learning rate adapts to keep the KL divergence of an update near this [nat]."""

    min_learning_rate: float = 5e-5
    """Lower bound of an adapting learning rate."""

    max_learning_rate: float = 2e-3
    """Upper bound of an adapting learning rate."""

    epochs: int = 3
    """Passes over a roll-out (R19 Table 14: a sample is used 3 times)."""

    minibatches: int = 4
    """Parts of a pass, drawn anew for every pass."""

    chunk: int = 10
    """Control steps of truncated backpropagation through time; the horizon is a multiple."""

    max_grad_norm: float = 1.0
    """Gradients, of the actor and of the critic separately, are scaled down to this norm."""

    bf16: bool = True
    """Compute the update, never the roll-out, in bfloat16 where the processor has it: more than twice as fast."""

    def __post_init__(self) -> None:
        for name in ("gamma", "lam"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"ppo {name} is {getattr(self, name)}; allowed: 0 to 1")
        for name in ("clip", "learning_rate", "critic_learning_rate", "min_learning_rate", "max_grad_norm"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"ppo {name} is {getattr(self, name)}; it must be positive")
        for name in ("entropy", "target_kl"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"ppo {name} is {getattr(self, name)}; it must not be negative")
        for name in ("epochs", "minibatches", "chunk"):
            if getattr(self, name) < 1:
                raise ValueError(f"ppo {name} is {getattr(self, name)}; 1 or more are needed")
        if self.max_learning_rate < self.min_learning_rate:
            raise ValueError(
                f"ppo max_learning_rate is {self.max_learning_rate}, below min_learning_rate {self.min_learning_rate}"
            )


def clipped_loss(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate loss: -mean(min(r A, clamp(r, 1 - clip, 1 + clip) A)) with r = exp(log_ratio)."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage).mean()


class PPO:
    """The learner: both networks and their optimizer."""

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
        self._bf16 = config.bf16 and _has_bf16(generator.device)
        self.optimizer = torch.optim.Adam(groups, eps=1e-5, fused=True)

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Improves both networks; returns the metrics, means over all minibatches of the update and over all ranks.

        With several ranks, each gives the roll-out of its own worlds, all of one size; what comes out is what one rank
        with all of these worlds would give, but for the order of summation and of the samples.
        """
        config = self.config
        advantage = generalized_advantage(
            rollout.reward,
            rollout.value,
            rollout.last_value,
            rollout.terminated,
            rollout.truncated,
            rollout.final_value,
            config.gamma,
            config.lam,
        )
        returns = advantage + rollout.value
        unexplained = _variance(returns - rollout.value) / _variance(returns).clamp(min=1e-12)
        self.critic.normalizer.update(returns.unsqueeze(-1))
        target = self.critic.normalizer(returns.unsqueeze(-1)).squeeze(-1)
        sequences = Sequences.cut(rollout, advantage, target)
        old_parameters = self._parameters(sequences)

        metrics: list[dict[str, Tensor]] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(sequences), generator=self.generator, device=self.generator.device)
            metrics += [
                self._minibatch(sequences.select(ids), old_parameters.index_select(1, ids))
                for ids in order.tensor_split(config.minibatches)
            ]
        table = parallel.mean(torch.stack([torch.stack(list(each.values())) for each in metrics]).mean(dim=0))
        means = dict(zip(metrics[0], table.tolist(), strict=True))
        means["explained_variance"] = 1.0 - unexplained.item()
        means["learning_rate"] = float(self.optimizer.param_groups[0]["lr"])
        return means

    @torch.no_grad()
    def _parameters(self, sequences: Sequences) -> Tensor:
        """Those of the distributions of the roll-out's policy, (L, m, k, actuators), before the update changes it.

        It is computed here and not taken from the roll-out, so that the ratio of probabilities holds nothing but the
        change of the weights: neither the rounding of bfloat16 nor another order of summation.
        """
        parts = []
        for ids in torch.arange(len(sequences), device=sequences.starts.device).tensor_split(self.config.minibatches):
            part = sequences.select(ids)
            with self._autocast():
                output = self.actor.sequence(part.policy, part.actor_state, part.starts)
            parts.append(self.actor.distribution(output).parameters)
        return torch.cat(parts, dim=1)

    def _minibatch(self, batch: Sequences, old_parameters: Tensor) -> dict[str, Tensor]:
        config = self.config
        with self._autocast():
            output = self.actor.sequence(batch.policy, batch.actor_state, batch.starts)
            value = self.critic.sequence(batch.critic, batch.critic_state, batch.starts)
        new = self.actor.distribution(output)
        old = type(new)(old_parameters)
        log_ratio = new.log_prob(batch.action) - old.log_prob(batch.action)
        _, center, variance = parallel.moments(batch.advantage.flatten())
        advantage = (batch.advantage - center.float()) / (variance.sqrt().float() + 1e-8)
        policy_loss = clipped_loss(log_ratio, advantage, config.clip)
        value_loss = 0.5 * (value - batch.target).square().mean()
        entropy = new.entropy().mean()

        loss = policy_loss + value_loss
        if config.entropy > 0.0:  # a weight of zero would still cost its gradient
            loss = loss - config.entropy * entropy
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_gradients([*self.actor.parameters(), *self.critic.parameters()])
        actor_norm = nn.utils.clip_grad_norm_(self.actor.parameters(), config.max_grad_norm, error_if_nonfinite=True)
        critic_norm = nn.utils.clip_grad_norm_(self.critic.parameters(), config.max_grad_norm, error_if_nonfinite=True)
        with torch.no_grad():
            kl = old.kl(new).mean()
            clipped = ((log_ratio.exp() - 1.0).abs() > config.clip).float().mean()
        if config.target_kl > 0.0:
            self._adapt_learning_rate(parallel.mean(kl.clone()).item())
        self.optimizer.step()
        return {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": entropy.detach(),
            "kl": kl,
            "clip_fraction": clipped,
            "actor_grad_norm": actor_norm,
            "critic_grad_norm": critic_norm,
        }

    def _adapt_learning_rate(self, kl: float) -> None:
        """Smaller steps where the policy moved too far, larger where it hardly moved; band and factor of rl_games."""
        group = self.optimizer.param_groups[0]
        if kl > 2.0 * self.config.target_kl:
            group["lr"] = max(group["lr"] / 1.5, self.config.min_learning_rate)
        elif kl < 0.5 * self.config.target_kl:
            group["lr"] = min(group["lr"] * 1.5, self.config.max_learning_rate)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.generator.device.type, torch.bfloat16, enabled=self._bf16)


def _variance(values: Tensor) -> Tensor:
    return parallel.moments(values.flatten())[2]


def _has_bf16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 natively; emulated, it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("bf16"))
