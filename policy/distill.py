"""Distillation: the student acts, the teacher says what it would have done (DAgger, Ross et al. 2011).

The student sees what the robot would measure, noise and delays included, and has its memory; the teacher sees the clean
state of the same worlds. The student's own critic learns the value of the student, as PPO's does, so that PPO can go on
from here.
"""

import torch
from torch import Tensor

from policy.artefact import Artefact
from policy.distribution import Distribution
from policy.experience import Sequences
from policy.learner import Learner
from policy.network import Actor, Critic
from policy.normalizer import EPSILON, never_changed
from policy.ppo_config import PPOConfig
from robot.observation import ObservationContract

GREEDY_EVERY = 2
"""Every second world shows the student where its most probable actions lead, by which it is judged in the end; in the
others it draws its actions, and learns to find back from where they lead."""
CHANGED = EPSILON**0.5
"""What was constant in training has changed by more than this: one standard deviation, whose floor it is."""


class TeacherPolicy:
    """A trained policy, asked what it would do in states that a critic sees."""

    def __init__(self, artefact: Artefact, critic_contract: ObservationContract, device: torch.device) -> None:
        """Raises ValueError if the policy has a memory, or reads what the critic does not see."""
        if artefact.actor.trunk.state_width:
            raise ValueError("the teacher has a memory; only a policy without can judge single states (algo=teacher)")
        for name in artefact.policy_contract.names:
            if name not in critic_contract.names:
                raise ValueError(f"task.critic_observation lacks {name}, which the teacher reads")
        self.actor = artefact.actor.to(device)
        self.contract = artefact.policy_contract
        self.action_contract = artefact.action_contract
        self.critic_contract = critic_contract
        known = self.actor.trunk.normalizer
        self._constant = never_changed(known.var, known.count).nonzero().squeeze(-1)
        """Columns of its observation that never changed while it learnt."""
        self._constant_value = known.mean[self._constant].float()

    @torch.no_grad()
    def act(self, critic: Tensor) -> Tensor:
        """Its unit actions (..., actuators), of observations of the critic (..., c).

        Raises:
            ValueError: if something changes that never changed while the teacher learnt: one standard deviation of it
                is next to nothing, so that it would drown all that the teacher knows.
        """
        seen = self.contract.vector(self.critic_contract.split(critic.flatten(0, -2)))
        change = (seen[:, self._constant] - self._constant_value).abs()
        if (change > CHANGED).any():
            world, place = divmod(int(change.argmax()), change.shape[1])
            at = int(self._constant[place])
            field = [field.name for field in self.contract.fields for _ in range(field.size)][at]
            raise ValueError(
                f"the teacher reads {field}, which was always {self._constant_value[place]:.3g} where it learnt and is "
                f"{seen[world, at]:.3g} here; teach it without this field, or in worlds of the same preset "
                "(curriculum=mixed for all shares of it)"
            )
        output, _ = self.actor.step(seen, self.actor.initial_state(len(seen)))
        action = self.action_contract.unit(self.actor.distribution(output).mode())
        return action.unflatten(0, critic.shape[:-1])


class Distiller(Learner):
    """Learns to do what a teacher does."""

    def __init__(
        self, actor: Actor, critic: Critic, config: PPOConfig, generator: torch.Generator, teacher: TeacherPolicy
    ) -> None:
        super().__init__(actor, critic, config, generator)
        self.teacher = teacher

    @torch.no_grad()
    def _aims(self, sequences: Sequences) -> Tensor:
        """The teacher's unit actions, (L, m, actuators)."""
        return self.teacher.act(sequences.critic)

    def _actor_loss(self, new: Distribution, batch: Sequences, aims: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = new.cross_entropy(aims).mean()
        with torch.no_grad():
            entropy = new.entropy().mean()
        return loss, {"imitation_loss": loss.detach(), "entropy": entropy}
