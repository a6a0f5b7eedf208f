"""Transitions with other goals than those that were in force (hindsight, Andrychowicz et al. 2017).

How the block moves does not depend on the goal. So every control step that is remembered teaches about any goal: what
it would have earned is computed when it is drawn. Goals in hindsight are those of the law that the block came nearest
to later in the same episode; they are reached often, long before the goals of the task are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policy.replay import TERMINATED, TRUNCATED, Replay
from policy.teacher_config import TeacherConfig
from robot import rotation
from robot.goal import CANDIDATES, first_unreached, nearest_goal, sample_goals
from robot.observation import DERIVED, ObservationContract
from sim.task import RewardConfig


@dataclass(frozen=True)
class Transitions:
    """m transitions over several control steps."""

    measurement: dict[str, Tensor]
    """Every measured field before, (m, *shape), the goal included."""
    action: Tensor
    """(m, actuators)."""
    reward: Tensor
    """Discounted sum over the control steps, (m,)."""
    next_measurement: dict[str, Tensor]
    """After them, with the goal in force then."""
    discount: Tensor
    """Of the value of what comes after, 0 where the episode ended for good, (m,)."""
    weight: Tensor
    """0 for a step after which nothing is known, for the episode was cut there; else 1, (m,)."""


def draw_transitions(
    replay: Replay,
    contract: ObservationContract,
    config: TeacherConfig,
    law: str,
    threshold: float,
    reward: RewardConfig,
    generator: torch.Generator,
) -> Transitions:
    """Draws ``config.batch`` transitions of up to ``config.n_step`` control steps, some with other goals.

    A transition ends early at a goal that is reached: the value of the state there, with a goal drawn anew, stands for
    the rest. It ends before a step that cut the episode, for the state after that step is not kept.

    Args:
        replay: with the quantities ``measured``, ``action`` and ``next_quat``, the block's orientation after the step.
        contract: of what was measured.
        config: how many, how long, and which goals.
        law: of the goals.
        threshold: rotation to go [rad] below which a goal is reached.
        reward: what a step earns.
        generator: of the draws, on the CPU.
    """
    m = config.batch
    world = torch.randint(replay.n, (m,), generator=generator)
    time = torch.randint(replay.oldest, replay.time - config.n_step, (m,), generator=generator)
    kept = replay.read(time, world)
    before = _measured(contract, kept["measured"])
    goal = _relabelled(replay, config, law, threshold, before, time, world, generator)

    running = torch.ones(m, dtype=torch.bool)
    total, steps = torch.zeros(m), torch.zeros(m, dtype=torch.int64)
    discount, reached_goal = torch.ones(m), torch.zeros(m, dtype=torch.bool)
    distance = rotation.distance(goal, before["object_quat"])
    known = replay.end(time, world) != TRUNCATED
    for ahead in range(config.n_step):
        end = replay.end(time + ahead, world)
        running &= end != TRUNCATED
        now = rotation.distance(goal, replay.read_one("next_quat", time + ahead, world))
        reached, terminated = now < threshold, end == TERMINATED
        earned = reward.of(distance - now, now, reached, terminated)
        total += torch.where(running, config.gamma**ahead * earned, 0.0)
        steps += running
        discount *= torch.where(running, config.gamma * ~terminated, 1.0)
        reached_goal |= running & reached
        running &= ~(reached | terminated)
        distance = now

    after = _measured(contract, replay.read_one("measured", time + steps, world))
    fresh = sample_goals(law, CANDIDATES * m, generator).view(m, CANDIDATES, 4)
    fresh, _ = first_unreached(fresh, after["object_quat"], threshold)
    after["goal_quat"] = torch.where(reached_goal.unsqueeze(1), fresh, goal)
    before["goal_quat"] = goal
    return Transitions(before, kept["action"], total, after, discount, known.float())


def _measured(contract: ObservationContract, vector: Tensor) -> dict[str, Tensor]:
    """Without fields that follow from others: they would be those of the goal that was in force."""
    return {name: value for name, value in contract.split(vector).items() if name not in DERIVED}


def _relabelled(
    replay: Replay,
    config: TeacherConfig,
    law: str,
    threshold: float,
    before: dict[str, Tensor],
    time: Tensor,
    world: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """A goal for each step: that in force, one in hindsight or a random one; never one that is reached already."""
    m = len(time)
    ahead = torch.randint(config.hindsight_steps, (m,), generator=generator)
    later = (time + ahead).clamp(max=replay.time - 1)
    same_episode = replay.start(later, world) == replay.start(time, world)
    achieved = nearest_goal(law, rotation.normalize(replay.read_one("next_quat", later, world)))
    share = torch.rand(m, generator=generator)
    other = torch.where(share.unsqueeze(1) < config.hindsight, achieved, sample_goals(law, m, generator))
    use = share < torch.where(same_episode, config.hindsight, 0.0)
    use |= (share >= config.hindsight) & (share < config.hindsight + config.random_goals)
    use &= rotation.distance(other, before["object_quat"]) >= threshold
    return torch.where(use.unsqueeze(1), other, before["goal_quat"])
