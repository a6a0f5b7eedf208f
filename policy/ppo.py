"""Proximal policy optimization of a recurrent actor and critic (Schulman et al. 2017; settings of D18 Table 10)."""

import torch
from torch import Tensor

from policy import parallel
from policy.distribution import Distribution
from policy.experience import Sequences
from policy.learner import Learner


def clipped_loss(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate loss: -mean(min(r A, clamp(r, 1 - clip, 1 + clip) A)) with r = exp(log_ratio)."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage).mean()


class PPO(Learner):
    """Learns from what the policy's own actions earned."""

    @torch.no_grad()
    def _aims(self, sequences: Sequences) -> Tensor:
        """The parameters of the roll-out's distributions, (L, m, k, actuators), before the update changes them.

        They are computed here and not taken from the roll-out, so that the ratio of probabilities holds nothing but the
        change of the weights: neither the rounding of bfloat16 nor another order of summation.
        """
        parts = []
        for part in self._parts(sequences):
            with self._autocast():
                output = self.actor.sequence(part.policy, part.actor_state, part.starts)
            parts.append(self.actor.distribution(output).parameters)
        return torch.cat(parts, dim=1)

    def _actor_loss(self, new: Distribution, batch: Sequences, aims: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        old = type(new)(aims)
        log_ratio = new.log_prob(batch.action) - old.log_prob(batch.action)
        _, center, variance = parallel.moments(batch.advantage.flatten())
        advantage = (batch.advantage - center.float()) / (variance.sqrt().float() + 1e-8)
        policy_loss = clipped_loss(log_ratio, advantage, config.clip)
        entropy = new.entropy().mean()
        loss = policy_loss
        if config.entropy > 0.0:  # a weight of zero would still cost its gradient
            loss = loss - config.entropy * entropy
        with torch.no_grad():
            kl = old.kl(new).mean()
            clipped = ((log_ratio.exp() - 1.0).abs() > config.clip).float().mean()
        return loss, {
            "policy_loss": policy_loss.detach(),
            "entropy": entropy.detach(),
            "kl": kl,
            "clip_fraction": clipped,
        }
