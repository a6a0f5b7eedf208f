"""Transitions drawn from a made-up past, each against a naive loop over the records."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from policy.hindsight import Transitions, draw_transitions
from policy.teacher_config import TeacherConfig
from robot import rotation
from robot.goal import GOAL_LAWS, nearest_goal
from robot.observation import ObservationContract
from sim.task import RewardConfig
from tests.policy import history
from tests.policy.history import CAPACITY, CONTRACT, GUARD, STEPS, THRESHOLD, WORLDS, Record, angle

REWARD = RewardConfig(progress=1.5, goal=5.0, drop=-3.0, proximity=0.1)
GAMMA = 0.9
NO_HINDSIGHT: dict[str, Any] = {"hindsight": 0.0, "random_goals": 0.0}
ALL_HINDSIGHT: dict[str, Any] = {"hindsight": 1.0, "random_goals": 0.0}
ALL_RANDOM: dict[str, Any] = {"hindsight": 0.0, "random_goals": 1.0}


def draw(
    directory: Path, law: str = "face_up", contract: ObservationContract = CONTRACT, **changes: Any
) -> tuple[Transitions, list[list[Record]], list[Record]]:
    """Transitions, the whole past, and the record with which each transition begins."""
    past = history.past(law)
    replay = history.remember(past, directory, contract)
    config = TeacherConfig(**({"batch": 1500, "n_step": 3, "gamma": GAMMA, "hindsight_steps": 12} | changes))
    drawn = draw_transitions(replay, contract, config, law, THRESHOLD, REWARD, torch.Generator().manual_seed(1))
    places = drawn.measurement["object_pos"].long().tolist()
    return drawn, past, [past[world][time] for time, world, _ in places]


def follow(past: list[list[Record]], first: Record, goal: torch.Tensor, n_step: int) -> dict[str, Any]:
    """What ``n_step`` control steps earn, one by one, and how they end."""
    total, discount, reached = 0.0, 1.0, False
    steps = past[first.world]
    distance, time = angle(goal, first.quat), first.time
    while time < first.time + n_step and steps[time].end != "truncated":
        now = angle(goal, steps[time].next_quat)
        fell, reached = steps[time].end == "terminated", now < THRESHOLD
        total += discount * (1.5 * (distance - now) + 5.0 * reached - 3.0 * fell + 0.1 / (now + 0.1))
        discount *= 0.0 if fell else GAMMA
        time, distance = time + 1, now
        if fell or reached:
            break
    return {"reward": total, "discount": discount, "reached": reached, "after": steps[time]}


@pytest.mark.parametrize("goals", [NO_HINDSIGHT, ALL_HINDSIGHT, ALL_RANDOM, {"hindsight": 0.4, "random_goals": 0.3}])
@pytest.mark.parametrize("n_step", [1, 3, 6])
def test_transitions_are_those_of_a_naive_loop(tmp_path: Path, goals: dict[str, Any], n_step: int):
    drawn, past, firsts = draw(tmp_path, n_step=n_step, **goals)
    ends = {"reached": 0, "fell": 0, "cut": 0, "on": 0}
    for i, first in enumerate(firsts):
        goal = drawn.measurement["goal_quat"][i]
        expected = follow(past, first, goal, n_step)
        assert torch.equal(drawn.measurement["object_quat"][i], first.quat)
        assert torch.equal(drawn.action[i], first.action)
        assert drawn.reward[i].item() == pytest.approx(expected["reward"], abs=1e-4)
        assert drawn.discount[i].item() == pytest.approx(expected["discount"], abs=1e-6)
        # the state after a step that cut the episode is not known
        assert drawn.weight[i].item() == float(first.end != "truncated")
        after = {name: field[i] for name, field in drawn.next_measurement.items()}
        if expected["discount"] > 0.0:
            assert torch.equal(after["object_pos"], expected["after"].measured[:3])
            assert torch.equal(after["object_quat"], expected["after"].quat)
        if expected["reached"]:
            assert angle(after["goal_quat"], after["object_quat"]) >= THRESHOLD - 1e-5
            assert not torch.equal(after["goal_quat"], goal)
        else:
            assert torch.equal(after["goal_quat"], goal)
        fell, known = expected["discount"] == 0.0, drawn.weight[i].item() == 1.0
        ends["reached" if expected["reached"] else "fell" if fell else "on" if known else "cut"] += 1
    assert min(ends.values()) >= 5, ends
    if goals == NO_HINDSIGHT:
        assert torch.equal(drawn.measurement["goal_quat"], torch.stack([first.goal for first in firsts]))


def test_all_steps_are_drawn_that_are_remembered_and_followed_by_enough(tmp_path: Path):
    _, _, firsts = draw(tmp_path, batch=8000, n_step=4)
    oldest = STEPS - CAPACITY + GUARD
    assert {(each.time, each.world) for each in firsts} == {
        (time, world) for time in range(oldest, STEPS - 4) for world in range(WORLDS)
    }


@pytest.mark.parametrize("law", GOAL_LAWS)
def test_goals_in_hindsight_are_nearest_to_what_came_later_in_the_episode(tmp_path: Path, law: str):
    drawn, past, firsts = draw(tmp_path, law, batch=400, **ALL_HINDSIGHT)
    changed, longest = 0, 0
    for goal, first in zip(drawn.measurement["goal_quat"], firsts, strict=True):
        assert angle(goal, first.quat) >= THRESHOLD - 1e-4  # never one that is reached already
        if torch.equal(goal, first.goal):
            continue
        changed += 1
        later = [each for each in past[first.world][first.time : first.time + 12] if each.start == first.start]
        goals = nearest_goal(law, rotation.normalize(torch.stack([each.next_quat for each in later])))
        away = [angle(goal, each) for each in goals]
        assert min(away) < 1e-3
        longest = max(longest, away.index(min(away)))
    assert changed > 150
    assert longest == 11


@pytest.mark.parametrize("law", GOAL_LAWS)
def test_random_goals_follow_the_law(tmp_path: Path, law: str):
    drawn, _, firsts = draw(tmp_path, law, **ALL_RANDOM)
    goals, blocks = drawn.measurement["goal_quat"], drawn.measurement["object_quat"]
    away = rotation.distance(goals, blocks)
    assert away.min() >= THRESHOLD - 1e-4
    assert rotation.distance(nearest_goal(law, goals), goals).max() < 2e-3
    changed = (goals != torch.stack([first.goal for first in firsts])).any(dim=1)
    assert changed.float().mean() > (0.85 if law == "parallel" else 0.95)
    if law == "so3":
        least = THRESHOLD - math.sin(THRESHOLD)
        # angles of uniform rotations, without those that are reached
        assert kstest(away[changed].numpy(), lambda a: (a - np.sin(a) - least) / (math.pi - least)).pvalue > 1e-4


def test_a_share_of_the_batch_has_other_goals(tmp_path: Path):
    drawn, _, firsts = draw(tmp_path, batch=6000, n_step=1, hindsight=0.0, random_goals=0.25)
    kept = (drawn.measurement["goal_quat"] == torch.stack([first.goal for first in firsts])).all(dim=1)
    assert 0.73 < kept.float().mean() < 0.78


def test_nothing_of_the_old_goal_is_left(tmp_path: Path):
    """Whatever the critic's contract holds: what follows from the goal follows from the new one."""
    contract = ObservationContract((*CONTRACT.names, "goal_rel_quat", "object_lattice"))
    plain, _, _ = draw(tmp_path / "plain", **ALL_RANDOM)
    drawn, _, _ = draw(tmp_path / "derived", contract=contract, **ALL_RANDOM)
    seen = ObservationContract(("goal_rel_quat", "goal_rel_matrix", "object_lattice"))
    for ours, truth in ((drawn.measurement, plain.measurement), (drawn.next_measurement, plain.next_measurement)):
        torch.testing.assert_close(seen.vector(ours), seen.vector(truth))
