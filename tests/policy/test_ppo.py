"""The update: its loss by hand, its learning rate, and what it makes of a roll-out."""

import math

import pytest
import torch

from policy.experience import Rollout
from policy.network import Actor, Critic, NetworkConfig
from policy.ppo import PPO, clipped_loss
from policy.ppo_config import PPOConfig
from policy.precision import has_bf16
from policy.rollout import Collector
from tests.policy.toy import CRITIC, POLICY, CountdownEnv, GaussianEnv, ToyEnv


def learner(config: PPOConfig, env: ToyEnv | None = None) -> tuple[PPO, Collector]:
    generator = torch.Generator().manual_seed(0)
    env = env or ToyEnv(32)
    bins = env.action_contract.bins
    # all bins are equally probable at first
    network = NetworkConfig(hidden=32, lstm=16, action_std=100.0 if bins else 0.9)
    actor, critic = Actor(POLICY.size, 20, bins, network, generator), Critic(CRITIC.size, network, generator)
    return PPO(actor, critic, config, generator), Collector(env, env.reset(), actor, critic, config.chunk, generator)


def test_clipped_loss_by_hand():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage = torch.tensor([2.0, -2.0, 2.0, -2.0, 3.0])
    # gains are capped at 1.2 A, losses at 0.8 A; the pessimistic side is never cut
    expected = -(1.2 * 2.0 - 1.5 * 2.0 + 0.5 * 2.0 - 0.8 * 2.0 + 1.1 * 3.0) / 5
    assert clipped_loss(ratio.log(), advantage, 0.2).item() == pytest.approx(expected, rel=1e-5)


needs_bf16 = pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this processor computes no bfloat16")


@pytest.mark.parametrize("bf16", [False, pytest.param(True, marks=needs_bf16)])
def test_the_first_gradient_is_that_of_the_plain_policy_gradient(bf16):
    ppo, collector = learner(PPOConfig(epochs=1, minibatches=1, bf16=bf16, learning_rate=1e-12))
    metrics = ppo.update(collector.collect(20))
    # nothing has moved yet: all ratios are one, so the loss is minus the mean of normalized advantages
    assert abs(metrics["policy_loss"]) < 1e-6
    assert metrics["kl"] < 1e-6
    assert metrics["clip_fraction"] == 0.0
    assert metrics["entropy"] == pytest.approx(20 * math.log(11), rel=1e-2)
    assert metrics["actor_grad_norm"] > 0.0


def test_the_critic_learns_its_own_returns_and_the_actor_keeps_its_advantages():
    def update(critic_lam: float) -> tuple[PPO, Collector, Rollout]:
        config = PPOConfig(epochs=1, minibatches=1, bf16=False, gamma=0.9, lam=0.3, critic_lam=critic_lam)
        ppo, collector = learner(config)
        rollout = collector.collect(20)
        ppo.update(rollout)
        return ppo, collector, rollout

    ppo, _, rollout = update(critic_lam=1.0)
    returns = torch.empty_like(rollout.reward)
    ahead = rollout.last_value
    for t in reversed(range(20)):
        ahead = torch.where(rollout.truncated[t], rollout.final_value[t], ahead).masked_fill(rollout.terminated[t], 0.0)
        returns[t] = ahead = rollout.reward[t] + 0.9 * ahead
    # nothing but these returns has ever gone into the normalizer of the critic's targets
    assert ppo.critic.normalizer.mean.item() == pytest.approx(returns.mean().item(), rel=1e-4)
    assert ppo.critic.normalizer.var.item() == pytest.approx(returns.var(correction=0).item(), rel=1e-4)

    other, _, _ = update(critic_lam=0.3)
    for one, same in zip(ppo.actor.parameters(), other.actor.parameters(), strict=True):
        assert torch.equal(one, same)
    assert any(not torch.equal(a, b) for a, b in zip(ppo.critic.parameters(), other.critic.parameters(), strict=True))


@needs_bf16
def test_bfloat16_learns_the_same():
    def first_step(bf16: bool) -> torch.Tensor:
        ppo, collector = learner(PPOConfig(epochs=1, minibatches=1, bf16=bf16, max_grad_norm=1e9))
        ppo.update(collector.collect(20))
        return torch.cat([p.grad.flatten() for p in ppo.actor.parameters() if p.grad is not None])

    exact, rounded = first_step(False), first_step(True)
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > 0.99


def test_learning_rate_follows_the_divergence_within_its_bounds():
    config = PPOConfig(target_kl=0.01, learning_rate=3e-4, min_learning_rate=2e-4, max_learning_rate=5e-4)
    ppo, _ = learner(config)
    rates = []
    for kl in (0.015, 0.03, 0.03, 0.001, 0.001, 0.001):
        ppo._adapt_learning_rate(kl)
        rates.append(ppo.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-4, 2e-4, 2e-4, 3e-4, 4.5e-4, 5e-4])
    assert ppo.optimizer.param_groups[1]["lr"] == 3e-4


def test_an_update_changes_the_learning_rate_once_by_what_its_last_pass_meets():
    # such steps lead far away; in the first pass, where nothing has moved yet, the divergence is still small
    ppo, collector = learner(
        PPOConfig(epochs=4, minibatches=2, learning_rate=0.02, max_learning_rate=1.0, target_kl=0.01)
    )
    metrics = ppo.update(collector.collect(20))
    assert metrics["kl"] > 2.0 * 0.01
    assert metrics["learning_rate"] == pytest.approx(0.02 / 1.5)
    assert ppo.update(collector.collect(20), critic_only=True)["learning_rate"] == metrics["learning_rate"]


@pytest.mark.parametrize(("critic_epochs", "passes"), [(0, 3), (1, 1), (2, 2)])
def test_the_critic_learns_in_as_many_passes_as_it_shall(critic_epochs, passes):
    ppo, collector = learner(PPOConfig(epochs=3, minibatches=4, critic_epochs=critic_epochs))
    metrics = ppo.update(collector.collect(20))
    for network, expected in ((ppo.actor, 3 * 4), (ppo.critic, passes * 4)):
        assert {int(ppo.optimizer.state[parameter]["step"]) for parameter in network.parameters()} == {expected}
    assert metrics["value_loss"] > 0.0 and metrics["critic_grad_norm"] > 0.0


def test_more_passes_of_the_critic_than_there_are_are_refused():
    with pytest.raises(ValueError, match="critic_epochs is 4; allowed: 0 to 3"):
        PPOConfig(epochs=3, critic_epochs=4)


def test_the_critic_learns_how_much_is_left():
    # nothing shows the time, so the critic has to count; the return is the number of steps left
    ppo, collector = learner(PPOConfig(epochs=4, critic_learning_rate=3e-3, gamma=1.0), CountdownEnv(32, time_limit=8))
    metrics = [ppo.update(collector.collect(20)) for _ in range(20)]
    assert metrics[0]["explained_variance"] < 0.5
    assert metrics[-1]["explained_variance"] > 0.95
    value = ppo.critic.normalizer.inverse(torch.zeros(1)).item()
    assert value == pytest.approx(4.5, abs=0.5)


@pytest.mark.parametrize("env", [ToyEnv, GaussianEnv])
def test_the_policy_learns_to_push_the_point_to_the_origin(env):
    ppo, collector = learner(PPOConfig(learning_rate=2e-3, gamma=0.9, entropy=1e-3, target_kl=0.02), env(64))
    rewards = []
    for _ in range(40):
        rollout = collector.collect(20)
        rewards.append(rollout.reward.mean().item())
        ppo.update(rollout)
    assert rewards[-1] > rewards[0] + 0.15


def test_the_same_roll_out_teaches_the_same():
    def weights() -> torch.Tensor:
        ppo, collector = learner(PPOConfig())
        ppo.update(collector.collect(20))
        return torch.cat([p.flatten() for p in ppo.actor.parameters()])

    assert torch.equal(weights(), weights())


@pytest.mark.parametrize(
    ("name", "value"), [("gamma", 1.1), ("clip", 0.0), ("entropy", -0.1), ("epochs", 0), ("max_learning_rate", 1e-9)]
)
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=rf"ppo {name} is {value}"):
        PPOConfig(**{name: value})


def test_noise_that_never_changes_is_refused():
    with pytest.raises(ValueError, match=r"persistence is 1\.0; allowed: at least 0, below 1"):
        PPOConfig(persistence=1.0)
