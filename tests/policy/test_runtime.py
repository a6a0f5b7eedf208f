"""The runtime: reproducible to the bit, and free of the simulator."""

import grimp
import pytest
import torch

from policy.network import Actor, NetworkConfig
from policy.runtime import NotFinite, PolicyRuntime
from robot.action import ActionContract
from tests.policy.toy import POLICY


def runtime(bins: int = 11) -> PolicyRuntime:
    actor = Actor(POLICY.size, 20, bins, NetworkConfig(), torch.Generator().manual_seed(0))
    actor.head.weight.data *= 100.0
    return PolicyRuntime(actor, POLICY, ActionContract(bins=bins))


def play(policy: PolicyRuntime, sampled: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7) if sampled else None
    state, parts = policy.initial_state(1), []
    for observation in torch.randn(50, 1, POLICY.size, generator=torch.Generator().manual_seed(1)):
        action, state = policy.act(observation, state, generator)
        parts += [action, state.flatten().unsqueeze(0)]
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("bins", [11, 0])
def test_equal_inputs_give_equal_outputs_to_the_bit(bins: int):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for sampled in (False, True):
            assert torch.equal(play(runtime(bins), sampled), play(runtime(bins), sampled))
    finally:
        torch.set_num_threads(threads)


def test_actions_are_those_of_the_most_probable_bins():
    policy = runtime()
    observation = torch.randn(5, POLICY.size)
    action, state = policy.act(observation, policy.initial_state(5))
    logits, expected_state = policy.actor.step(observation, policy.initial_state(5))
    torch.testing.assert_close(action, torch.linspace(-1, 1, 11)[logits.argmax(dim=1)])
    assert torch.equal(state, expected_state)
    assert action.shape == (5, 20) and state.shape == (2, 5, 256)


def test_continuous_actions_are_the_means_or_drawn_around_them():
    policy = runtime(bins=0)
    observation = torch.randn(1, POLICY.size).expand(4_000, -1)
    mean, _ = policy.act(observation, policy.initial_state(4_000))
    output, _ = policy.actor.step(observation, policy.initial_state(4_000))
    torch.testing.assert_close(mean, output[:, 0].tanh())
    drawn, _ = policy.act(observation, policy.initial_state(4_000), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(dim=0), mean[0], atol=0.1, rtol=0.0)
    torch.testing.assert_close(drawn.std(dim=0), 0.2 + output[0, 1].exp().log1p(), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("bins", [11, 0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_acted_on(bad: float, bins: int):
    observation = torch.zeros(2, POLICY.size)
    policy = runtime(bins)
    state = policy.initial_state(2)
    state[1, 1, 3] = bad
    with pytest.raises(NotFinite):
        policy.act(observation, state)
    policy.actor.head.bias.data[7] = bad
    with pytest.raises(NotFinite, match="output"):
        policy.act(observation, policy.initial_state(2))
    policy = runtime(bins)
    observation[1, 0] = float("nan")
    with pytest.raises(NotFinite):
        policy.act(observation, policy.initial_state(2))


def test_on_another_device_it_is_a_copy():
    policy = runtime(bins=11)
    moved = policy.to(torch.device("meta"))
    assert {parameter.device.type for parameter in moved.actor.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in policy.actor.parameters()} == {"cpu"}


def test_it_needs_no_simulator():
    graph = grimp.build_graph("policy", "robot", "sim", include_external_packages=True, cache_dir=None)
    needed = graph.find_upstream_modules("policy.runtime")
    assert not {name for name in needed if name.partition(".")[0] in ("sim", "mujoco")}
    assert not graph.find_modules_that_directly_import("mujoco") & {m for m in graph.modules if m.startswith("policy")}
