"""What an update descends, against the papers' formulas written plainly, world by world and step by step, in float64.

The second pass over a roll-out is looked at: in the first nothing has moved yet, and every ratio is one.
"""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from policy.experience import Rollout
from policy.network import Actor, Critic
from policy.ppo_config import PPOConfig
from tests.policy.test_advantage import naive as naive_advantage
from tests.policy.test_ppo import learner

CONFIG = PPOConfig(
    epochs=1,
    minibatches=1,
    bf16=False,
    learning_rate=5e-3,
    critic_learning_rate=5e-3,
    clip=0.05,
    lam=0.8,
    critic_lam=0.95,
    entropy=0.3,
    max_grad_norm=1e9,
)
HORIZON = 20


class Passes:
    """The state after one pass over a roll-out, and what a second one did."""

    def __init__(self) -> None:
        ppo, collector = learner(CONFIG)
        self.before = copy.deepcopy(ppo.actor)
        self.rollout = collector.collect(HORIZON)
        first = ppo.update(self.rollout)
        self.actor, self.critic = ppo.actor, ppo.critic

        twice, collector = learner(replace(CONFIG, epochs=2))
        both = twice.update(collector.collect(HORIZON))
        self.metrics = {name: 2.0 * both[name] - first[name] for name in first}  # both passes count half
        self.gradients = [
            torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]).double()
            for network in (twice.actor, twice.critic)
        ]


@pytest.fixture(scope="module")
def passes() -> Passes:
    return Passes()


def outputs(network: Actor | Critic, observation: torch.Tensor, states: torch.Tensor, starts: torch.Tensor):
    """What a network makes of a roll-out in float64, every chunk from its stored state, (T, n, ...)."""
    network = copy.deepcopy(network).double()
    result, state = [], states[0].double()
    for t, start in enumerate(starts):
        if t % CONFIG.chunk == 0:
            state = states[t // CONFIG.chunk].double()
        output, state = network.step(observation[t].double(), state * ~start.unsqueeze(-1))
        result.append(output)
    return torch.stack(result)


def choices(actor: Actor, rollout: Rollout) -> torch.Tensor:
    """Probabilities of all bins, (T, n, bins, actuators)."""
    logits = outputs(actor, rollout.policy, rollout.actor_state, rollout.starts).exp()
    return logits / logits.sum(dim=2, keepdim=True)


@torch.no_grad()
def naive(before: Actor, actor: Actor, critic: Critic, rollout: Rollout) -> dict[str, float]:
    """Schulman et al. 2017, equations 7 and 9, with normalized advantages and value targets."""
    ends = (rollout.terminated, rollout.truncated, rollout.final_value)
    advantage, ahead = (
        naive_advantage(rollout.reward, rollout.value, rollout.last_value, *ends, CONFIG.gamma, lam).double()
        for lam in (CONFIG.lam, CONFIG.critic_lam)
    )
    returns = ahead + rollout.value
    target = (returns - returns.mean()) / returns.std(correction=0)
    advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    value = outputs(critic, rollout.critic, rollout.critic_state, rollout.starts)
    value = (value - returns.mean()) / returns.std(correction=0)
    old, new = choices(before, rollout), choices(actor, rollout)
    policy_loss, clipped = 0.0, 0
    for t, i in torch.cartesian_prod(torch.arange(HORIZON), torch.arange(rollout.action.shape[1])).tolist():
        ratio = 1.0
        for actuator, chosen in enumerate(rollout.action[t, i].tolist()):
            ratio *= (new[t, i, chosen, actuator] / old[t, i, chosen, actuator]).item()
        gain = advantage[t, i].item()
        policy_loss -= min(ratio * gain, min(max(ratio, 1.0 - CONFIG.clip), 1.0 + CONFIG.clip) * gain)
        clipped += abs(ratio - 1.0) > CONFIG.clip
    losses = {
        "policy_loss": policy_loss / value.numel(),
        "value_loss": 0.5 * (value - target).square().mean().item(),
        "entropy": -(new * new.log()).sum(dim=(2, 3)).mean().item(),
        "kl": (old * (old / new).log()).sum(dim=(2, 3)).mean().item(),
        "clip_fraction": clipped / value.numel(),
    }
    return losses | {"loss": losses["policy_loss"] + losses["value_loss"] - CONFIG.entropy * losses["entropy"]}


def test_the_losses_are_those_of_the_papers(passes: Passes):
    expected = naive(passes.before, passes.actor, passes.critic, passes.rollout)
    assert 0.05 < expected["clip_fraction"] < 0.95  # both branches of the clipped loss are met
    for name in ("policy_loss", "value_loss", "entropy", "kl"):
        assert passes.metrics[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), name
    assert passes.metrics["clip_fraction"] == pytest.approx(expected["clip_fraction"], abs=2e-3)


@pytest.mark.parametrize("part", [0, 1], ids=["actor", "critic"])
def test_the_gradients_are_finite_differences_of_the_losses(passes: Passes, part: int):
    gradient = passes.gradients[part]
    generator = torch.Generator().manual_seed(0)
    # along the gradient, which is most of it, and anywhere
    noise = torch.randn(len(gradient), generator=generator, dtype=torch.float64)
    for direction in (gradient, noise / len(gradient) ** 0.5 + gradient / gradient.norm()):
        direction = direction / direction.norm()
        high, low = (loss_at(passes, part, step * direction) for step in (1e-4, -1e-4))
        assert (gradient @ direction).item() == pytest.approx((high - low) / 2e-4, rel=2e-3)


def loss_at(passes: Passes, part: int, offset: torch.Tensor) -> float:
    """The loss after one of the networks was moved."""
    networks = copy.deepcopy(passes.actor).double(), copy.deepcopy(passes.critic).double()
    moved = nn.utils.parameters_to_vector(networks[part].parameters()) + offset
    nn.utils.vector_to_parameters(moved, networks[part].parameters())
    return naive(passes.before, networks[0], networks[1], passes.rollout)["loss"]
