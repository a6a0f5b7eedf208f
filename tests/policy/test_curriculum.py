"""Schedules of a curriculum, and how they are written."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhand.config import UsageError, load
from inhand.training import TrainJob
from policy.curriculum import CurriculumConfig

LAWS = ["parallel", "face_up", "so3"]
STEPS = st.integers(0, 10**12)


def points(values: st.SearchStrategy, least: int = 1) -> st.SearchStrategy:
    """Points in the order of their steps."""
    tables = st.dictionaries(STEPS, values, min_size=least, max_size=6)
    return tables.map(lambda table: [[step, table[step]] for step in sorted(table)])


def between(schedule: list[list[float]], at: int) -> float:
    """Linear interpolation as it is taught."""
    if at <= schedule[0][0]:
        return schedule[0][1]
    for (low, first), (high, last) in pairwise(schedule):
        if low <= at <= high:
            return first + (last - first) * (at - low) / (high - low)
    return schedule[-1][1]


@given(points(st.floats(0.0, 1.0)), STEPS, st.sampled_from(["gravity", "randomization"]))
def test_numbers_change_linearly_between_points_and_stay_outside(schedule, at, name):
    curriculum = CurriculumConfig(**{name: schedule})
    assert curriculum.at(at) == {name: pytest.approx(between(schedule, at), abs=1e-9)}
    assert all(curriculum.at(step) == {name: value} for step, value in schedule)
    assert curriculum.metrics(at) == {f"curriculum/{name}": curriculum.at(at)[name]}


@given(points(st.sampled_from(LAWS), least=0), st.sampled_from(LAWS), STEPS)
def test_a_law_holds_from_its_step_to_the_next(later, first, at):
    schedule = [[0, first], *([step + 1, law] for step, law in later)]
    law = [law for step, law in schedule if step <= at][-1]
    curriculum = CurriculumConfig(goal_law=schedule)
    assert curriculum.at(at) == {"goal_law": law}
    assert curriculum.metrics(at) == {"curriculum/goal_law": LAWS.index(law)}


def test_nothing_is_scheduled_by_default():
    assert CurriculumConfig().scheduled == () and CurriculumConfig().at(7) == {} == CurriculumConfig().metrics(7)
    assert load("train", TrainJob).train.curriculum == CurriculumConfig()


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"threshold": [[0, 0.0]]}, r"threshold is 0\.0 at control step 0; allowed: between 0 and pi"),
        ({"threshold": [[5, math.pi]]}, r"threshold is 3\.14.* at control step 5"),
        ({"gravity": [[0, 1.5]]}, r"gravity is 1\.5 at control step 0; allowed: 0 to 1"),
        ({"gravity": [[0, "heavy"]]}, r"gravity is heavy at control step 0; allowed: 0 to 1"),
        ({"randomization": [[0, math.nan]]}, "randomization is nan"),
        ({"randomization": [[-1, 0.5]]}, r"randomization has a point \[-1, 0\.5\]; write \[control steps, value\]"),
        ({"randomization": [[0, 0.5, 1]]}, r"randomization has a point \[0, 0\.5, 1\]"),
        ({"randomization": [["soon", 0.5]]}, r"randomization has a point \['soon', 0\.5\]"),
        ({"randomization": [[9, 0.5], [9, 1]]}, "goes from control step 9 to 9; it must increase"),
        ({"goal_law": [[0, "upside_down"]]}, "goal_law is upside_down .*; allowed: parallel, face_up, so3"),
        ({"goal_law": [[9, "so3"]]}, "goal_law begins at control step 9; it must begin at 0"),
        ({"mildest": [[0, -0.1]]}, r"mildest is -0\.1 at control step 0; allowed: 0 to 1"),
        (
            {"mildest": [[0, 0.5]], "randomization": [[0, 1], [100, 0.4]]},
            r"mildest is 0\.5 at control step 100, above the share of the randomization, 0\.4",
        ),
    ],
)
def test_points_are_checked(schedule, message):
    with pytest.raises(ValueError, match=message):
        CurriculumConfig(**schedule)


def test_it_is_written_as_configuration():
    job = load("train", TrainJob, ["curriculum=gentle"])
    gentle = job.train.curriculum
    assert gentle.scheduled == ("threshold", "randomization")
    assert gentle.at(0) == {"threshold": 0.8, "randomization": 0.0}
    assert gentle.at(job.train.steps) == {"threshold": job.task.goal.threshold, "randomization": 1.0}
    own = ["train.curriculum.gravity=[[0,0.5],[1e3,1]]", "train.curriculum.goal_law=[[0,parallel],[500,so3]]"]
    assert load("train", TrainJob, own).train.curriculum.at(500) == {"gravity": 0.75, "goal_law": "so3"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("curriculum=gentel", "did you mean 'gentle'"),
        ("train.curriculum.gravity=[[0,2]]", r"train\.curriculum: curriculum gravity is 2 at control step 0"),
        ("train.curriculum.gravity=[0,1]", r"train\.curriculum\.gravity=\[0, 1\] is not of type"),
        ("train.curriculum.weight=[[0,1]]", r"train\.curriculum\.weight"),
    ],
)
def test_what_cannot_be_meant_is_refused(override, message):
    with pytest.raises(UsageError, match=message):
        load("train", TrainJob, [override])
