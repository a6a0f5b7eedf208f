"""Evaluation against scripted episodes and D18's own table."""

import io

import pytest
import torch
from rich.console import Console

from policy.evaluate import Evaluation, evaluate, table
from policy.network import Actor, NetworkConfig
from policy.runtime import PolicyRuntime
from robot.action import ActionContract
from sim.vector_env import Observation, Step
from tests.policy.toy import CRITIC, POLICY, ToyEnv

D18_BLOCK = Evaluation((50, 41, 29, 27, 14, 12, 6, 4, 4, 1))


class ScriptedEnv(ToyEnv):
    """World i succeeds at every step and plays episodes of ``lengths[i]`` steps, the later ones ever longer; those of
    even numbers end in a drop, the others because time is up."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__(len(lengths))
        self.length = torch.tensor(lengths)
        self.steps = 0

    def reset(self) -> Observation:
        return self._observe()

    def step(self, action: torch.Tensor) -> Step:
        self.steps += 1
        self.successes = self.successes + 1
        done = self.successes >= self.length
        successes = self.successes.clone()
        self.successes = self.successes * ~done
        self.length = torch.where(done, 2 * self.length + 1, self.length)
        odd = torch.arange(len(done)) % 2 == 1
        rewards = torch.zeros(len(done))
        return Step(self._observe(), rewards, done & ~odd, done & odd, self._observe().critic, successes)


def policy(bins: int = 11) -> PolicyRuntime:
    actor = Actor(POLICY.size, 20, bins, NetworkConfig(8, 8), torch.Generator().manual_seed(0))
    return PolicyRuntime(actor, POLICY, ActionContract(bins=bins))


def test_each_world_counts_with_its_first_episode_only():
    env = ScriptedEnv([3, 1, 12, 5, 2])
    evaluation = evaluate(policy(), env, console=Console(file=io.StringIO()))
    assert evaluation.successes == (3, 1, 12, 5, 2)
    assert evaluation.dropped == 3
    assert env.steps == 12


def test_the_generator_alone_decides_sampled_actions():
    def play(seed: int) -> tuple[int, ...]:
        quiet = Console(file=io.StringIO())
        return evaluate(policy(), ToyEnv(32), torch.Generator().manual_seed(seed), quiet).successes

    assert play(1) == play(1) != play(2)


def test_statistics_are_those_d18_prints():
    # D18 Table 3, block (state) on the robot: 18.8 ± 17.1, median 13
    assert f"{D18_BLOCK.mean:.1f} ± {D18_BLOCK.sd:.1f}, {D18_BLOCK.median:g}" == "18.8 ± 17.1, 13"
    assert Evaluation((7,)).sd == 0.0


def test_json_and_table():
    assert D18_BLOCK.as_json(plant="mujoco", randomization="dactyl", goal_law="so3", policy="outputs/policy") == {
        "trials": 10,
        "mean": 18.8,
        "sd": pytest.approx(17.0802, abs=1e-4),
        "median": 13.0,
        "ci95_low": D18_BLOCK.ci95[0],
        "ci95_high": D18_BLOCK.ci95[1],
        "dropped": None,
        "successes": [50, 41, 29, 27, 14, 12, 6, 4, 4, 1],
        "plant": "mujoco",
        "randomization": "dactyl",
        "goal_law": "so3",
        "policy": "outputs/policy",
    }
    output = io.StringIO()
    Console(file=output, width=120).print(table({"block (state)": D18_BLOCK}))
    assert "block (state)" in output.getvalue()
    assert "18.8 ± 17.1" in output.getvalue()
    assert "10.2 to 30.3" in output.getvalue()
    assert "50, 41, 29, 27, 14, 12, 6, 4, 4, 1" in output.getvalue()


def test_a_policy_for_another_simulation_is_refused():
    with pytest.raises(ValueError, match=r"the policy acts by.*bins=5"):
        evaluate(policy(bins=5), ToyEnv(2))
    other = PolicyRuntime(policy().actor, CRITIC, ActionContract())
    with pytest.raises(ValueError, match="the policy reads"):
        evaluate(other, ToyEnv(2))
