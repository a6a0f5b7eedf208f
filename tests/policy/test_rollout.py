"""Roll-outs against a world-by-world replay of the same observations."""

import pytest
import torch

from policy.experience import Sequences
from policy.network import Actor, Critic, NetworkConfig
from policy.rollout import Collector
from sim.vector_env import Step
from tests.policy.toy import CRITIC, POLICY, ToyEnv

CONFIG = NetworkConfig(hidden=16, lstm=8)


class RecordingEnv(ToyEnv):
    """Keeps every step it returns."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.history: list[Step] = []

    def step(self, action: torch.Tensor) -> Step:
        self.history.append(super().step(action))
        return self.history[-1]


def collector(env: ToyEnv, chunk: int = 5) -> Collector:
    generator = torch.Generator().manual_seed(0)
    actor, critic = Actor(POLICY.size, 20, 11, CONFIG, generator), Critic(CRITIC.size, CONFIG, generator)
    critic.normalizer.update(torch.tensor([[-3.0], [5.0]]))
    return Collector(env, env.reset(), actor, critic, chunk, generator)


@torch.no_grad()
def test_greedy_worlds_get_the_most_probable_actions_and_the_others_drawn_ones():
    env = ToyEnv(400)
    collect = collector(env)
    collect.greedy = torch.arange(400) % 2 == 0
    rollout = collect.collect(5)
    output = collect.actor.sequence(rollout.policy, rollout.actor_state[0], rollout.starts)
    mode = collect.actor.distribution(output).mode()
    assert torch.equal(rollout.action[:, ::2], mode[:, ::2])
    drawn, probable = rollout.action[:, 1::2], collect.actor.distribution(output).parameters[:, 1::2].exp().mean((0, 1))
    for k in range(11):
        torch.testing.assert_close((drawn == k).float().mean((0, 1)), probable[k], atol=0.06, rtol=0)


@pytest.mark.parametrize("persistence", [0.0, 0.8])
@torch.no_grad()
def test_noise_that_lasts_leaves_every_action_its_distribution(persistence):
    collect = collector(ToyEnv(2_000))
    collect.persistence = persistence
    noise = []
    for _ in range(5):
        rollout = collect.collect(5)  # from one roll-out to the next it goes on
        noise.append(collect.noise.flatten())
        output = collect.actor.sequence(rollout.policy, rollout.actor_state[0], rollout.starts)
        probable = collect.actor.distribution(output).parameters.exp().mean((0, 1))
        for k in range(11):
            torch.testing.assert_close((rollout.action == k).float().mean((0, 1)), probable[k], atol=0.04, rtol=0)
    noise = torch.stack(noise)
    torch.testing.assert_close(noise.var(dim=1), torch.ones(5), atol=0.03, rtol=0)
    correlation = torch.corrcoef(noise)
    for apart in range(1, 5):
        expected = torch.full((5 - apart,), persistence ** (5 * apart))
        torch.testing.assert_close(correlation.diagonal(apart), expected, atol=0.03, rtol=0)


@torch.no_grad()
def test_values_equal_those_of_one_world_at_a_time():
    env = RecordingEnv(6)
    collect = collector(env)
    critic, first = collect.critic, collect.observation
    rollout = collect.collect(30)
    assert rollout.truncated.any() and rollout.terminated.any()
    for i in range(6):
        state, observation = critic.initial_state(1), first.critic[i : i + 1]
        for t, step in enumerate(env.history):
            value, state = critic.step(observation, state)
            torch.testing.assert_close(rollout.value[t, i], value[0])
            expected = 0.0
            if step.truncated[i]:
                expected = critic.step(step.final_critic[i : i + 1], state)[0].item()
            assert rollout.final_value[t, i].item() == pytest.approx(expected, abs=1e-5)
            if step.done[i]:
                state = critic.initial_state(1)
            observation = step.observation.critic[i : i + 1]
        torch.testing.assert_close(rollout.last_value[i], critic.step(observation, state)[0][0])


@torch.no_grad()
def test_chunks_give_the_values_of_the_roll_out_again():
    collect = collector(ToyEnv(6))
    collect.collect(10)
    rollout = collect.collect(30)
    sequences = Sequences.cut(rollout, rollout.value, rollout.reward)
    assert len(sequences) == 6 * 6
    normalized = collect.critic.sequence(sequences.critic, sequences.critic_state, sequences.starts)
    value = collect.critic.normalizer.inverse(normalized.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(value, sequences.advantage, rtol=1e-5, atol=1e-5)
    some = sequences.select(torch.tensor([3, 0]))
    assert torch.equal(some.target, sequences.target[:, [3, 0]])


def test_starts_mark_the_first_observation_of_an_episode():
    collect = collector(ToyEnv(4))
    rollout = collect.collect(20)
    assert rollout.starts[0].all()
    assert torch.equal(rollout.starts[1:], (rollout.terminated | rollout.truncated)[:-1])
    again = collect.collect(5)
    assert torch.equal(again.starts[0], rollout.terminated[-1] | rollout.truncated[-1])
    assert torch.equal(again.actor_state[0][:, again.starts[0]], torch.zeros(2, int(again.starts[0].sum()), 8))


def test_a_simulation_that_fails_is_named():
    class Broken(ToyEnv):
        def step(self, action: torch.Tensor) -> Step:
            step = super().step(action)
            step.reward[2] = float("nan")
            return step

    with pytest.raises(FloatingPointError, match=r"reward.*step 0.*world 2"):
        collector(Broken(4)).collect(5)
