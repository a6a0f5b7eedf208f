"""The teacher's learner against FastTD3's formulas written plainly."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from policy.network import Actor
from policy.td3 import TD3
from tests.policy.teaching import NETWORK, SMALL

INPUTS, ACTUATORS, M = 3, 4, 64
CONFIG = replace(SMALL, target_noise=0.0, actor_period=1, tau=0.25, action_penalty=0.7, learning_rate=1e-3)


def learner(config) -> TD3:
    generator = torch.Generator().manual_seed(0)
    td3 = TD3(Actor(INPUTS, ACTUATORS, 0, NETWORK, generator), config, generator)
    for network in (td3.actor, td3.critics, td3.targets):  # heads begin at zero; the twins have to differ
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return td3


def batch() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        "observation": torch.randn(M, INPUTS, generator=draw),
        "action": 2.0 * torch.rand(M, ACTUATORS, generator=draw) - 1.0,
        "reward": torch.randn(M, generator=draw),
        "next_observation": torch.randn(M, INPUTS, generator=draw),
        "discount": 0.9 * (torch.rand(M, generator=draw) > 0.2),
        "weight": (torch.rand(M, generator=draw) > 0.4).float(),
    }


def test_one_update_is_that_of_the_formulas():
    td3, data = learner(CONFIG), batch()
    atoms, spacing = td3.values.atoms, td3.values.spacing
    old_critics, old_targets = copy.deepcopy(td3.critics), copy.deepcopy(td3.targets)
    with torch.no_grad():
        after = torch.cat((data["next_observation"], td3.act(data["next_observation"])), dim=1)
        twins = [target(after).softmax(1) for target in old_targets]
        means = [twin @ atoms for twin in twins]
        assert 0.1 < (means[0] < means[1]).float().mean() < 0.9  # either is the lower somewhere
        total = 0.0
        for i in range(M):
            lower = twins[0][i] if means[0][i] < means[1][i] else twins[1][i]
            moved = (data["reward"][i] + data["discount"][i] * atoms).clamp(atoms[0], atoms[-1])
            goal = ((1.0 - (moved - atoms.unsqueeze(1)).abs() / spacing).clamp(min=0.0) * lower).sum(1)
            for critic in old_critics:
                inputs = torch.cat((data["observation"][i], data["action"][i])).unsqueeze(0)
                total -= float(data["weight"][i] * (goal * critic(inputs)[0].log_softmax(0)).sum())
    metrics = td3.update(**data, generator=torch.Generator())
    assert metrics["critic_loss"].item() == pytest.approx(total / float(data["weight"].sum()), rel=1e-4)
    for slow, before, fast in zip(
        td3.targets.parameters(), old_targets.parameters(), td3.critics.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, 0.75 * before + 0.25 * fast)


def test_the_actor_climbs_what_the_critics_expect_and_keeps_out_of_the_bend_of_its_tanh():
    td3, data = learner(CONFIG), batch()
    before = copy.deepcopy(td3.actor)
    metrics = td3.update(**data, generator=torch.Generator())
    with torch.no_grad():
        output, _ = before.step(data["observation"], before.initial_state(M))
        inputs = torch.cat((data["observation"], output[:, 0].tanh()), dim=1)
        worth = torch.stack([critic(inputs).softmax(1) @ td3.values.atoms for critic in td3.critics]).mean()
    assert metrics["actor_loss"].item() == pytest.approx(float(0.7 * output[:, 0].square().mean() - worth), rel=1e-4)


def test_the_actions_of_the_targets_are_disturbed():
    plain, noisy = learner(CONFIG), learner(replace(CONFIG, target_noise=0.4))
    losses = [
        each.update(**batch(), generator=torch.Generator().manual_seed(0))["critic_loss"] for each in (plain, noisy)
    ]
    assert losses[0] != losses[1]
