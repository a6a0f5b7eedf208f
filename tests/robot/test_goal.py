"""Goal laws and the count of successes, against hand-computed episodes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import chisquare, kstest

from robot import rotation
from robot.goal import (
    GOAL_LAWS,
    UP_BASE,
    GoalConfig,
    GoalTracker,
    dropped,
    first_unreached,
    nearest_goal,
    sample_goals,
)

N = 6000


def up_in_block_frame(goals: torch.Tensor) -> np.ndarray:
    return Rotation.from_quat(goals.numpy(), scalar_first=True).inv().apply(np.array(UP_BASE))


def test_face_up_goals_have_each_face_up_equally_often_and_any_yaw():
    goals = sample_goals("face_up", N, torch.Generator().manual_seed(0))
    up = up_in_block_frame(goals)
    np.testing.assert_allclose(np.sort(np.abs(up), axis=1), np.tile([0, 0, 1], (N, 1)), atol=1e-5)
    face = np.abs(up).argmax(1) * 2 + (up.max(1) > 0.5)
    assert chisquare(np.bincount(face, minlength=6)).pvalue > 0.001
    # yaw: the heading of some block axis that lies in the horizontal plane
    matrices = Rotation.from_quat(goals.numpy(), scalar_first=True).as_matrix()
    lying = np.where(np.abs(up[:, :1]) < 0.5, matrices[:, :, 0], matrices[:, :, 1])
    yaw = np.arctan2(lying[:, 2], lying[:, 0])
    assert kstest(yaw, "uniform", args=(-math.pi, 2 * math.pi)).pvalue > 0.001


def test_parallel_goals_are_the_24_orientations_of_a_cube():
    goals = sample_goals("parallel", N, torch.Generator().manual_seed(0))
    matrices = Rotation.from_quat(goals.numpy(), scalar_first=True).as_matrix()
    rounded = matrices.round()
    np.testing.assert_allclose(matrices, rounded, atol=1e-5)
    kinds, counts = np.unique(rounded.reshape(N, 9), axis=0, return_counts=True)
    assert len(kinds) == 24
    assert chisquare(counts).pvalue > 0.001


def test_so3_goals_are_uniform():
    goals = sample_goals("so3", N, torch.Generator().manual_seed(0))
    angle = rotation.distance(goals, rotation.identity(1)).numpy()
    assert kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.001


@pytest.mark.parametrize("law", GOAL_LAWS)
def test_a_new_goal_is_never_reached_already(law):
    tracker = GoalTracker(GoalConfig(law=law), 2000, torch.Generator().manual_seed(0), 0.08)
    blocks = rotation.random_uniform(2000, torch.Generator().manual_seed(1))
    tracker.reset(torch.arange(2000), blocks)
    assert float(rotation.distance(tracker.quat, blocks).min()) >= 0.4


def turned_from(goal: torch.Tensor, angle: float) -> torch.Tensor:
    return rotation.multiply(rotation.from_axis_angle(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(angle)), goal)


def test_an_episode_by_hand():
    tracker = GoalTracker(GoalConfig(time_limit=0.4, max_successes=2), 1, torch.Generator().manual_seed(0), 0.08)
    ids = torch.tensor([0])
    tracker.reset(ids, rotation.identity(1))
    goal = tracker.quat.clone()
    tracker.distance[0] = rotation.distance(goal, turned_from(goal, 1.0))

    step = tracker.step(turned_from(goal, 0.7))  # 0.3 rad nearer, not there
    assert float(step.progress[0]) == pytest.approx(0.3, abs=1e-5)
    assert not step.reached.any() and not step.timed_out.any()

    step = tracker.step(turned_from(goal, 0.39))  # inside 0.4 rad: reached, a new goal is in force
    assert float(step.progress[0]) == pytest.approx(0.31, abs=1e-5)
    assert step.reached.all() and not step.finished.any()
    assert tracker.successes.tolist() == [1] and tracker.steps.tolist() == [0]
    assert not torch.equal(tracker.quat, goal)

    block = turned_from(tracker.quat, 2.0)
    for k in range(5):  # 0.4 s are 5 steps of 80 ms
        step = tracker.step(block)
        assert bool(step.timed_out[0]) == (k == 4)

    step = tracker.step(tracker.quat.clone())
    assert step.reached.all() and step.finished.all()  # the second of two
    tracker.reset(ids, rotation.identity(1))
    assert tracker.successes.tolist() == [0]


def test_dropped_is_ten_centimetres_below_the_origin():
    # the palm faces up, and up is -y
    blocks = torch.tensor([[0.3, 0.101, 0.3], [0.0, 0.099, 0.0], [0.0, -0.2, 0.3]])
    assert dropped(blocks).tolist() == [True, False, False]


def test_threshold_is_strict():
    tracker = GoalTracker(GoalConfig(), 1, torch.Generator().manual_seed(0), 0.08)
    tracker.reset(torch.tensor([0]), rotation.identity(1))
    assert not tracker.step(turned_from(tracker.quat, 0.401)).reached.any()
    assert tracker.step(turned_from(tracker.quat, 0.399)).reached.all()


def test_state_goes_on_exactly():
    def make(seed: int) -> GoalTracker:
        tracker = GoalTracker(GoalConfig(), 64, torch.Generator().manual_seed(seed), 0.08)
        tracker.reset(torch.arange(64), rotation.identity(64))
        return tracker

    first, second = make(0), make(1)
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())
    for _ in range(3):
        a, b = first.step(first.quat.clone()), second.step(second.quat.clone())
        assert torch.equal(a.progress, b.progress) and torch.equal(first.quat, second.quat)


def test_bad_configuration_is_refused():
    mistakes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"law": "any"}, "so3"),
        ({"threshold": 0.0}, "threshold"),
        ({"max_successes": 0}, "1 or more"),
    )
    for bad, word in mistakes:
        with pytest.raises(ValueError, match=word):
            GoalConfig(**bad)


@pytest.mark.parametrize("law", GOAL_LAWS)
def test_near_goals_are_the_nearest_of_eight(law: str):
    n = 4000
    block = rotation.random_uniform(n, torch.Generator().manual_seed(1))

    def distances(near: float) -> torch.Tensor:
        tracker = GoalTracker(GoalConfig(law=law, near=near), n, torch.Generator().manual_seed(0), 0.08)
        tracker.reset(torch.arange(n), block)
        return tracker.distance

    far, near, half = distances(0.0), distances(1.0), distances(0.5)
    assert near.min() >= 0.4
    assert (near <= far).all()  # the same goals are drawn, and the nearest of them taken
    # of eight independent draws the smallest lies below a fraction q with probability 1 - (1 - q)^8
    quantile = float((far < near.median()).float().mean())
    assert 1 - (1 - quantile) ** 8 == pytest.approx(0.5, abs=0.08)
    assert 0.45 < float((half < far).float().mean()) / float((near < far).float().mean()) < 0.55


def test_a_share_of_near_goals_beyond_one_is_refused():
    with pytest.raises(ValueError, match="goal near"):
        GoalConfig(near=1.5)


def scipy_rotation(quat: torch.Tensor) -> Rotation:
    return Rotation.from_quat(quat.numpy(), scalar_first=True)


@pytest.mark.parametrize("law", GOAL_LAWS)
@pytest.mark.parametrize("near", [False, True])
def test_no_goal_of_a_law_is_nearer_than_the_nearest(law: str, near: bool):
    generator = torch.Generator().manual_seed(2)
    # blocks anywhere, and blocks near a goal
    blocks = sample_goals(law, 60, generator) if near else rotation.random_uniform(60, generator)
    tilt = rotation.from_rotation_vector(0.5 * torch.randn(60, 3, generator=generator))
    blocks = rotation.multiply(tilt, blocks) if near else blocks
    nearest = nearest_goal(law, blocks)
    assert nearest.shape == blocks.shape
    drawn = scipy_rotation(sample_goals(law, 20_000, generator))
    for block, goal in zip(scipy_rotation(blocks), scipy_rotation(nearest), strict=True):
        assert (goal * block.inv()).magnitude() < (drawn * block.inv()).magnitude().min() + 1e-4


@given(st.integers(0, 2**32 - 1), st.sampled_from(GOAL_LAWS))
def test_the_nearest_goal_is_one_of_the_law(seed: int, law: str):
    block = rotation.random_uniform(8, torch.Generator().manual_seed(seed))
    goals = nearest_goal(law, block)
    np.testing.assert_allclose(goals.norm(dim=1), 1.0, atol=1e-5)
    if law == "face_up":
        np.testing.assert_allclose(np.sort(np.abs(up_in_block_frame(goals)), axis=1), [[0, 0, 1]] * 8, atol=1e-5)
    elif law == "parallel":
        cube = Rotation.create_group("O")
        for goal in scipy_rotation(goals):
            assert (goal * cube).magnitude().min() < 1e-3


@given(st.integers(0, 2**32 - 1), st.sampled_from(GOAL_LAWS))
def test_the_goal_nearest_to_a_goal_is_itself(seed: int, law: str):
    goals = sample_goals(law, 8, torch.Generator().manual_seed(seed))
    assert (scipy_rotation(nearest_goal(law, goals)) * scipy_rotation(goals).inv()).magnitude().max() < 1e-3
    # the other quaternion of the same rotation
    assert (scipy_rotation(nearest_goal(law, -goals)) * scipy_rotation(goals).inv()).magnitude().max() < 1e-3


@pytest.mark.parametrize("threshold", [0.4, 2.5, math.pi])
def test_the_first_unreached_goal_or_the_farthest(threshold: float):
    generator = torch.Generator().manual_seed(3)
    drawn = rotation.random_uniform(200 * 8, generator).view(200, 8, 4)
    blocks = rotation.random_uniform(200, generator)
    goals, away = first_unreached(drawn, blocks, threshold)
    fallbacks = 0
    for candidates, block, goal, angle in zip(drawn, blocks, goals, away, strict=True):
        angles = [float((scipy_rotation(c) * scipy_rotation(block).inv()).magnitude()) for c in candidates]
        far = [index for index, each in enumerate(angles) if each >= threshold]
        chosen = far[0] if far else angles.index(max(angles))
        fallbacks += not far
        assert torch.equal(goal, candidates[chosen])
        assert float(angle) == pytest.approx(angles[chosen], abs=1e-4)
    # with all goals reached, and with none
    assert fallbacks == {0.4: 0, math.pi: 200}.get(threshold, fallbacks)
    assert threshold != 2.5 or 0 < fallbacks < 200
