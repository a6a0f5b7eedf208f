"""Episodes computed by hand: each reward, goal, success, drop and time limit, with angles by SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from inhand.config import load
from inhand.evaluate import EvalJob
from inhand.training import TrainJob
from robot.goal import GoalConfig
from sim.env import ReorientEnv
from sim.task import RewardConfig, TaskConfig
from sim.vector_env import Step

ABOVE = (0.0, -0.25, 0.32)
ASIDE = (0.4, 0.3, 0.3)
"""Where a block let go falls freely past the hand, lower than a dropped one."""


class Scripted:
    """One world whose block is put into an orientation before each step; it falls a little and does not turn."""

    def __init__(self, none, goal: GoalConfig | None = None, reward: RewardConfig | None = None) -> None:
        task = TaskConfig(goal=goal or GoalConfig(), reward=reward or RewardConfig())
        self.env = ReorientEnv(task, none, 1, seed=0, threads=1)
        self.env.reset()

    def goal(self) -> Rotation:
        return Rotation.from_quat(self.env.goals.quat[0].numpy(), scalar_first=True)

    def block(self) -> Rotation:
        return Rotation.from_quat(self.env.measurement["object_quat"][0].numpy(), scalar_first=True)

    def step(self, block: Rotation, pos: tuple[float, float, float] = ABOVE) -> Step:
        quat = torch.from_numpy(block.as_quat(scalar_first=True)).float()
        self.env.physics.set_block(torch.tensor([0]), torch.tensor([pos]), quat[None])
        self.env.physics.forward(torch.tensor([0]))
        return self.env.step(torch.zeros(1, 20))


def angle(a: Rotation, b: Rotation) -> float:
    return float((a * b.inv()).magnitude())


def off(goal: Rotation, degrees: float) -> Rotation:
    """An orientation that is so far from a goal, about a slanted axis."""
    axis = np.array([1.0, -2.0, 2.0]) / 3.0
    return goal * Rotation.from_rotvec(math.radians(degrees) * axis)


def test_every_reward_of_an_episode(none):
    world = Scripted(none)
    first = world.goal()
    there = angle(first, world.block())
    assert there >= 0.4  # a goal is never reached already

    # 0.4 rad are 22.92 degrees
    script = [(90.0, False), (60.0, False), (75.0, False), (23.0, False), (22.8, True)]
    before = there
    for degrees, reached in script:
        step = world.step(off(first, degrees))
        now = math.radians(degrees)
        assert float(step.reward[0]) == pytest.approx(before - now + 5.0 * reached, abs=2e-4)
        assert int(step.successes[0]) == int(reached)
        assert not step.done.any()
        before = now

    # a new goal is in force: progress counts from the distance at which it was set
    second = world.goal()
    assert angle(first, second) > 1e-3
    before = angle(second, off(first, 22.8))
    assert before >= 0.4
    for degrees in (120.0, 40.0):
        step = world.step(off(second, degrees))
        assert float(step.reward[0]) == pytest.approx(before - math.radians(degrees), abs=2e-4)
        before = math.radians(degrees)

    # a drop: what was gained in the step still counts, 20 are lost, the episode is over
    step = world.step(off(second, 30.0), ASIDE)
    assert float(step.reward[0]) == pytest.approx(math.radians(10.0) - 20.0, abs=2e-4)
    assert step.terminated.all() and not step.truncated.any()
    assert int(step.successes[0]) == 1  # of the episode that ended
    assert world.env.goals.successes.tolist() == [0]


def test_a_block_that_falls_as_it_reaches_its_goal_gets_both(none):
    world = Scripted(none)
    before = angle(world.goal(), world.block())
    step = world.step(off(world.goal(), 10.0), ASIDE)
    assert float(step.reward[0]) == pytest.approx(before - math.radians(10.0) + 5.0 - 20.0, abs=2e-4)
    assert step.terminated.all() and int(step.successes[0]) == 1


def test_rewards_are_weighed_as_configured(none):
    world = Scripted(none, reward=RewardConfig(progress=2.0, goal=7.0, drop=-3.0))
    before = angle(world.goal(), world.block())
    step = world.step(off(world.goal(), 5.0), ASIDE)
    assert float(step.reward[0]) == pytest.approx(2.0 * (before - math.radians(5.0)) + 7.0 - 3.0, abs=4e-4)


def test_proximity_pays_for_what_is_left_to_go_to_the_goal_that_was_in_force(none):
    world = Scripted(none, reward=RewardConfig(progress=0.0, goal=7.0, proximity=0.5))
    away = world.step(off(world.goal(), 90.0))
    assert float(away.reward[0]) == pytest.approx(0.5 / (math.pi / 2 + 0.1), abs=1e-3)
    there = world.step(off(world.goal(), 5.0))
    assert float(there.reward[0]) == pytest.approx(7.0 + 0.5 / (math.radians(5.0) + 0.1), abs=1e-2)


def test_a_reward_of_every_step_adds_to_whatever_else_the_step_earned(none):
    world = Scripted(none, reward=RewardConfig(progress=0.0, goal=7.0, step=-0.25))
    assert float(world.step(off(world.goal(), 90.0)).reward[0]) == pytest.approx(-0.25)
    assert float(world.step(off(world.goal(), 5.0)).reward[0]) == pytest.approx(6.75)


def test_the_sum_of_progress_is_the_way_gone(none):
    """Progress telescopes: over an episode without goals it is the first distance less the last."""
    world = Scripted(none, goal=GoalConfig(threshold=0.01))
    goal, start = world.goal(), angle(world.goal(), world.block())
    turns = np.random.default_rng(0).uniform(5.0, 175.0, 30)
    total = sum(float(world.step(off(goal, degrees)).reward[0]) for degrees in turns)
    assert total == pytest.approx(start - math.radians(turns[-1]), abs=2e-3)


@pytest.mark.parametrize(("seconds", "steps"), [(8.0, 100), (80.0, 1000)])  # training, evaluation
def test_time_limits_count_from_the_last_goal(none, seconds, steps):
    world = Scripted(none, goal=GoalConfig(time_limit=seconds))
    for _ in range(5):
        assert not world.step(off(world.goal(), 90.0)).done.any()
    step = world.step(off(world.goal(), 0.0))
    assert int(step.successes[0]) == 1
    for k in range(steps):
        step = world.step(off(world.goal(), 90.0))
        assert step.truncated.tolist() == [k == steps - 1] and not step.terminated.any()
    assert int(step.successes[0]) == 1


def test_a_drop_in_the_last_step_is_a_drop(none):
    """Learning bootstraps from truncated episodes only: a fallen block has no future."""
    world = Scripted(none, goal=GoalConfig(time_limit=0.24))
    for pos in (ABOVE, ABOVE):
        assert not world.step(off(world.goal(), 90.0), pos).done.any()
    step = world.step(off(world.goal(), 90.0), ASIDE)
    assert step.terminated.all() and not step.truncated.any()


def test_training_gives_eight_seconds_and_evaluation_eighty():
    assert load("train", TrainJob, []).task.goal.time_limit == 8.0
    assert load("eval", EvalJob, ["policy=none"]).goal.time_limit == 80.0
