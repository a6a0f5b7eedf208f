"""The limiter against the formulas of its limits."""

import math

import pytest
import torch

from hardware.safety import Limiter, SafetyConfig
from robot.hand import ACTUATOR_NAMES, ACTUATORS, actuator_range, actuator_speed

PERIOD = 0.08
LOWER, UPPER = actuator_range()
MIDDLE = 0.5 * (LOWER + UPPER)


def rates() -> torch.Tensor:
    """Shadow's URDF: 2 rad/s for fingers and wrist, 4 for the thumb; a pair is the sum of two joints."""
    return torch.tensor([4.0 if "TH" in name or "J0" in name else 2.0 for name in ACTUATOR_NAMES])


def running() -> Limiter:
    limiter = Limiter(SafetyConfig(), PERIOD)
    limiter.start(MIDDLE)
    for _ in range(20):
        limiter.apply(MIDDLE)  # until the ramp is over
    return limiter


def test_targets_within_all_limits_pass_unchanged() -> None:
    target = MIDDLE + 0.99 * rates() * PERIOD
    target = torch.minimum(target, UPPER)
    applied = running().apply(target)
    torch.testing.assert_close(applied.target, target, rtol=0, atol=0)
    assert applied.clamped == {}


def test_speed_is_limited_at_the_rate_of_each_actuator() -> None:
    limiter, last = running(), MIDDLE
    for _ in range(3):
        applied = limiter.apply(UPPER)
        expected = torch.minimum(last + rates() * PERIOD, UPPER)
        torch.testing.assert_close(applied.target, expected)
        assert applied.clamped == {
            name: "rate" for name, now, end in zip(ACTUATOR_NAMES, expected, UPPER, strict=True) if now != end
        }
        last = applied.target


def test_range_is_kept() -> None:
    limiter = running()
    for _ in range(50):
        limiter.apply(UPPER + 1.0)
    applied = limiter.apply(UPPER + 1.0)
    torch.testing.assert_close(applied.target, UPPER)
    assert applied.clamped == dict.fromkeys(ACTUATOR_NAMES, "range")


def test_the_start_is_a_ramp_from_the_measured_pose() -> None:
    limiter = Limiter(SafetyConfig(ramp=0.8), PERIOD)
    limiter.start(MIDDLE)
    last = MIDDLE
    for k in range(1, 12):
        applied = limiter.apply(UPPER)
        share = min(1.0, k * PERIOD / 0.8)
        torch.testing.assert_close(applied.target, torch.minimum(last + share * rates() * PERIOD, UPPER))
        last = applied.target


def test_a_start_out_of_range_comes_back_slowly() -> None:
    limiter = Limiter(SafetyConfig(), PERIOD)
    limiter.start(UPPER + 0.5)
    applied = limiter.apply(MIDDLE)
    assert bool((applied.target > UPPER).all())


def test_what_is_not_finite_never_passes() -> None:
    target = MIDDLE.clone()
    target[3], target[7] = math.nan, math.inf
    applied = running().apply(target)
    torch.testing.assert_close(applied.target, MIDDLE)
    assert applied.clamped == {ACTUATOR_NAMES[3]: "not finite", ACTUATOR_NAMES[7]: "not finite"}


def test_a_limiter_that_was_not_started_refuses() -> None:
    with pytest.raises(RuntimeError, match="call start first"):
        Limiter(SafetyConfig(), PERIOD).apply(MIDDLE)


def test_limits_are_described_for_every_actuator() -> None:
    text = Limiter(SafetyConfig(), PERIOD).describe()
    assert all(actuator.name in text for actuator in ACTUATORS)


@pytest.mark.parametrize("name", ["speed", "ramp"])
def test_impossible_limits_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SafetyConfig(**{name: 0.0})


def test_a_slower_limiter_is_slower() -> None:
    lower, upper = actuator_range()
    limiter = Limiter(SafetyConfig(speed=0.25, ramp=0.08), 0.08)
    limiter.start(lower)
    applied = limiter.apply(upper).target
    torch.testing.assert_close(applied - lower, torch.minimum(0.25 * 0.08 * actuator_speed(), upper - lower))
