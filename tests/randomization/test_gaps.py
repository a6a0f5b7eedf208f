"""Times without a new measurement, and measurements that come late."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation, Slerp

from randomization.config import RandomizationConfig
from randomization.sensing import Sensing
from randomization.terms import SensorTerm
from robot import rotation
from tests.randomization.worlds import IDS, PERIOD, N, source

FINGERTIPS = ["fingertip_pos"]
POSE = ["object_pos", "object_quat"]


def sensing(*terms: SensorTerm) -> Sensing:
    made = Sensing(RandomizationConfig(sensors={str(i): term for i, term in enumerate(terms)}), N, source(), PERIOD)
    made.reset(IDS)
    return made


def clock(t: int) -> dict[str, torch.Tensor]:
    """A world in which every value tells the time."""
    turn = rotation.from_rotation_vector(torch.tensor([0.1 * t, 0.0, 0.0])).expand(N, 4)
    time = torch.full((N, 3), float(t))
    return {"object_pos": time, "object_quat": turn, "fingertip_pos": time.unsqueeze(1).expand(N, 5, 3).clone()}


def ages(made: Sensing, field: str, steps: int, touched: torch.Tensor | None = None) -> np.ndarray:
    """How many steps old each value is, (steps, n) or (steps, n, 5)."""
    return np.stack([t - made.apply(clock(t), touched)[field][..., 0].numpy() for t in range(steps)])


def test_a_lost_marker_keeps_its_last_value_for_a_second():
    age = ages(sensing(SensorTerm("dropout", FINGERTIPS, "constant(0.2)", time="constant(1)")), "fingertip_pos", 60)
    assert (age[0] == 0).all()
    lost = age > 0
    begins = lost[1:] & ~lost[:-1] & (age[1:] == 1)
    free = ~lost[:-1]
    # 1 - 0.8^0.08 per step of 80 ms, for each marker by itself
    assert stats.binomtest(int(begins.sum()), int(free.sum()), 1 - 0.8**0.08).pvalue > 0.001
    spans = np.diff(np.concatenate([np.zeros((1, N, 5)), lost, np.zeros((1, N, 5))]), axis=0)
    length = np.argwhere(spans.transpose(1, 2, 0) == -1)[:, 2] - np.argwhere(spans.transpose(1, 2, 0) == 1)[:, 2]
    ended = np.argwhere(spans.transpose(1, 2, 0) == -1)[:, 2] < 60
    # one second is 12 or 13 steps; a marker may be lost again at once
    assert np.percentile(length[ended], 5) == pytest.approx(12, abs=1) and np.median(length[ended]) < 14
    markers = lost[30]
    assert abs(np.corrcoef(markers[:, 0], markers[:, 1])[0, 1]) < 0.1


def test_the_pose_is_lost_as_a_whole():
    made = sensing(SensorTerm("dropout", POSE, "constant(0.5)", time="exponential(0.5)"))
    for t in range(20):
        seen = made.apply(clock(t))
        angle = rotation.to_rotation_vector(seen["object_quat"])[:, 0]
        torch.testing.assert_close(angle, 0.1 * seen["object_pos"][:, 0], atol=1e-4, rtol=0)


def test_what_is_touched_is_hidden():
    made = sensing(SensorTerm("occlusion", FINGERTIPS, "constant(1)"))
    touched = torch.zeros(N, 5, dtype=torch.bool)
    touched[:, 2] = True
    age = ages(made, "fingertip_pos", 6, touched)
    assert (np.delete(age, 2, axis=2) == 0).all()
    assert (age[:, :, 2] == np.arange(6)[:, None]).all()  # the first of an episode is seen in any case
    with pytest.raises(ValueError, match="occlusion"):
        made.apply(clock(0))


@pytest.mark.parametrize("interval", [0.08, 0.12, 0.24])
def test_refresh_comes_at_its_interval(interval):
    age = ages(sensing(SensorTerm("refresh", POSE, f"constant({interval})")), "object_pos", 61)
    fresh = (age == 0).sum(axis=0)
    assert fresh == pytest.approx(60 * 0.08 / interval + 1, abs=1.01)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.08, 0.2])
def test_a_delayed_value_is_what_was_there_then(delay):
    made = sensing(SensorTerm("delay", POSE, f"constant({delay})"))
    past = [made.apply(clock(t)) for t in range(12)]
    then = 11 - delay / 0.08
    np.testing.assert_allclose(past[-1]["object_pos"], then, rtol=1e-5)
    known = Slerp(np.arange(12), Rotation.from_rotvec([[0.1 * t, 0, 0] for t in range(12)]))
    np.testing.assert_allclose(past[-1]["object_quat"][0], known(then).as_quat(scalar_first=True), atol=1e-5)
    assert (past[0]["object_pos"] == 0).all()  # nothing is older than the episode


def test_delays_differ_by_world_and_need_a_bound():
    made = sensing(SensorTerm("delay", POSE, "uniform(0, 0.16)"))
    age = ages(made, "object_pos", 10)[-1]
    assert stats.kstest(age, stats.uniform(0, 2).cdf).pvalue > 0.001
    with pytest.raises(ValueError, match="bounds"):
        sensing(SensorTerm("delay", POSE, "exponential(0.1)"))


EARLY, AFRESH = torch.arange(N // 2), 7
"""Half of the worlds begin a new episode at this step."""


def ages_with_a_reset(term: SensorTerm, field: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """How many steps old each value is, (steps, n/2, …), in worlds that begin anew in the middle and in the others."""
    made, age = sensing(term), []
    touched = torch.ones(N, 5, dtype=torch.bool)
    for t in range(steps):
        if t == AFRESH:
            made.reset(EARLY)
        age.append(t - made.apply(clock(t), touched)[field][..., 0].numpy())
    return np.stack(age)[:, : N // 2], np.stack(age)[:, N // 2 :]


@pytest.mark.parametrize(
    ("term", "field"),
    [
        (SensorTerm("dropout", FINGERTIPS, "constant(1)", time="constant(100)"), "fingertip_pos"),
        (SensorTerm("dropout", POSE, "constant(1)", time="constant(100)"), "object_pos"),
        (SensorTerm("occlusion", FINGERTIPS, "constant(1)"), "fingertip_pos"),
    ],
)
def test_a_new_episode_sees_what_is_there_and_others_go_on_without(term, field):
    anew, others = ages_with_a_reset(term, field, 12)
    for t in range(12):
        assert (others[t] == t).all()
        assert (anew[t] == (t if t < AFRESH else t - AFRESH)).all()


def test_what_was_lost_is_seen_again_in_a_new_episode():
    """Dropouts that began in the old episode end with it: few begin in the new one at once."""
    made = sensing(SensorTerm("dropout", FINGERTIPS, "constant(1)", time="constant(100)"))
    made.apply(clock(0))
    made.gaps.terms[0].value.fill_(0.0)  # none begins any more
    for t in range(1, 4):
        assert (made.apply(clock(t))["fingertip_pos"] == 0).all()
    made.reset(EARLY)
    made.gaps.terms[0].value.fill_(0.0)
    for t in range(4, 7):
        seen = made.apply(clock(t))["fingertip_pos"]
        assert (seen[: N // 2] == t).all() and (seen[N // 2 :] == 0).all()


def test_a_refresh_begins_anew_with_the_episode():
    interval = 5
    anew, others = ages_with_a_reset(SensorTerm("refresh", POSE, f"constant({interval * PERIOD})"), "object_pos", 30)
    assert (anew[AFRESH] == 0).all()
    for t in range(AFRESH, 30):
        assert anew[t].max() < min(t - AFRESH + 1, interval)
    # the others go on in their rhythm
    assert (others[2 * interval :] == others[interval:-interval]).all()
    assert stats.binomtest(int((others[AFRESH] == 0).sum()), N // 2, 1 / interval).pvalue > 0.001


def test_a_delay_reaches_back_to_the_beginning_of_the_episode():
    anew, others = ages_with_a_reset(SensorTerm("delay", POSE, "constant(0.16)"), "object_pos", 12)
    for t in range(12):
        np.testing.assert_allclose(others[t], min(t, 2), atol=1e-4)
        np.testing.assert_allclose(anew[t], min(t if t < AFRESH else t - AFRESH, 2), atol=1e-4)


def test_saved_and_restored_to_the_bit():
    terms = (
        SensorTerm("dropout", FINGERTIPS, "constant(0.5)"),
        SensorTerm("refresh", POSE, "uniform(0.08, 0.3)"),
        SensorTerm("delay", FINGERTIPS, "uniform(0, 0.2)"),
    )
    first, second = sensing(*terms), sensing(*terms)
    for t in range(5):
        first.apply(clock(t))
    second.load_state_dict(first.state_dict())
    for made in (first, second):
        made.gaps.generator.manual_seed(1)
    for t in range(5, 15):
        a, b = first.apply(clock(t)), second.apply(clock(t))
        assert all(torch.equal(a[name], b[name]) for name in a)
