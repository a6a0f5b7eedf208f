"""TD3 with distributional twin critics: the off-policy learner of the teacher.

Fujimoto et al. 2018, with the critics of Bellemare et al. 2017 (C51), layer norm in them, and the actor itself, not a
slow copy, in the target, as FastTD3 (Seo et al. 2025) has it.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from policy import parallel
from policy.allocator import keep_freed_memory
from policy.network import Actor
from policy.precision import has_bf16
from policy.teacher_config import TeacherConfig
from policy.value_distribution import ValueDistribution


class QNetwork(nn.Sequential):
    """Logits (m, atoms) of the return, of normalized observations and unit actions (m, inputs)."""

    def __init__(self, inputs: int, width: int, atoms: Tensor, generator: torch.Generator) -> None:
        layers: list[nn.Module] = []
        for size in (inputs, width):
            linear = nn.Linear(size, width)
            nn.init.orthogonal_(linear.weight, 2.0**0.5, generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LayerNorm(width), nn.ReLU()]
        head = nn.Linear(width, len(atoms))
        nn.init.zeros_(head.weight)
        # returns near zero: with all atoms as probable, a block that is held would be worth their mean at first
        head.bias.data.copy_(-0.5 * atoms.square())
        super().__init__(*layers, head)


class TD3:
    """Actor, twin critics, their targets and optimizers; the actor's mode is the deterministic policy."""

    def __init__(self, actor: Actor, config: TeacherConfig, weights: torch.Generator) -> None:
        """``weights`` draws the critics', on the CPU; they come to the actor's device."""
        keep_freed_memory()
        self.actor = actor
        self.config = config
        device = actor.head.weight.device
        inputs = len(actor.trunk.normalizer.mean) + actor.actuators
        self.values = ValueDistribution(config.lowest, config.highest, config.atoms, device)
        atoms = self.values.atoms.cpu()
        critics = [QNetwork(inputs, config.critic_width, atoms, weights) for _ in range(2)]
        self.critics = nn.ModuleList(critics).to(device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(actor.parameters(), config.learning_rate, fused=True)
        self.critic_optimizer = torch.optim.Adam(self.critics.parameters(), config.learning_rate, fused=True)
        self.updates = 0
        self._bf16 = config.bf16 and has_bf16(device)

    def act(self, observation: Tensor) -> Tensor:
        """The policy's unit actions (m, actuators), of observations (m, inputs)."""
        output, _ = self.actor.step(observation, self.actor.initial_state(len(observation)))
        return self.actor.distribution(output).mode()

    def update(
        self,
        *,
        observation: Tensor,
        action: Tensor,
        reward: Tensor,
        next_observation: Tensor,
        discount: Tensor,
        weight: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """One update of the critics and, every ``actor_period``, of the actor; returns metrics.

        The arguments are the fields of ``policy.hindsight.Transitions``, the observations (m, inputs); ``generator``,
        on the CPU, draws the noise of the target's actions.
        """
        config = self.config
        normalizer = self.actor.trunk.normalizer
        seen = normalizer(observation)
        with torch.no_grad(), self._autocast():
            noise = config.target_noise * torch.randn(action.shape, generator=generator).to(action.device)
            limit = 2.5 * config.target_noise
            next_action = (self.act(next_observation) + noise.clamp(-limit, limit)).clamp(-1.0, 1.0)
            next_inputs = torch.cat((normalizer(next_observation), next_action), dim=1)
            logits = torch.stack([target(next_inputs) for target in self.targets]).float()
            # of the two distributions, that of the lower mean
            lower = self.values.mean(logits).argmin(dim=0)
            chosen = logits[lower, torch.arange(len(lower), device=lower.device)].softmax(dim=-1)
            goal = self.values.project(chosen, reward, discount)
        with self._autocast():
            inputs = torch.cat((seen, action), dim=1)
            logits = torch.stack([critic(inputs) for critic in self.critics]).float()
        cross_entropy = -(goal * logits.log_softmax(dim=-1)).sum(dim=-1)
        # the weight of a mean rank, so that the mean of the ranks' gradients is that of all transitions
        critic_loss = (cross_entropy * weight).sum() / parallel.mean(weight.sum()).clamp(min=1.0)
        _descend(critic_loss, self.critics, self.critic_optimizer)
        with torch.no_grad():
            for slow, fast in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                slow.lerp_(fast, config.tau)
        metrics = {"critic_loss": critic_loss.detach(), "value": (goal @ self.values.atoms).mean()}
        self.updates += 1
        if self.updates % config.actor_period == 0:
            metrics |= self._update_actor(observation, seen)
        return metrics

    def _update_actor(self, observation: Tensor, seen: Tensor) -> dict[str, Tensor]:
        for parameter in self.critics.parameters():
            parameter.requires_grad_(False)
        with self._autocast():
            output, _ = self.actor.step(observation, self.actor.initial_state(len(observation)))
            action = self.actor.distribution(output).mode()
            inputs = torch.cat((seen, action), dim=1)
            logits = torch.stack([critic(inputs) for critic in self.critics])
        # what goes into the tanh is kept small: at its ends there is no gradient, and noise changes nothing
        bend = output[:, 0].float().square().mean()
        loss = self.config.action_penalty * bend - self.values.mean(logits).mean()
        _descend(loss, self.actor, self.actor_optimizer)
        for parameter in self.critics.parameters():
            parameter.requires_grad_(True)
        return {"actor_loss": loss.detach(), "saturation": (action.detach().abs() > 0.98).float().mean()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.values.atoms.device.type, torch.bfloat16, enabled=self._bf16)

    def state_dict(self) -> dict[str, Any]:
        """All that is learnt, the actor aside."""
        return {
            "critics": dict(self.critics.state_dict()),
            "targets": dict(self.targets.state_dict()),
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        self.critics.load_state_dict(state["critics"])
        self.targets.load_state_dict(state["targets"])
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.updates = state["updates"]


def _descend(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step of the mean of all ranks' gradients."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parallel.average_gradients(list(network.parameters()))
    optimizer.step()
