import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.checks import check_choice, check_numbers


@dataclass
class Motor:
    gain: float


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats())
def test_a_closed_range_admits_exactly_the_finite_numbers_within(a: float, b: float, gain: float):
    low, high = min(a, b), max(a, b)
    if math.isfinite(gain) and low <= gain <= high:
        check_numbers("motor", Motor(gain), "gain", least=low, most=high)
    else:
        with pytest.raises(ValueError, match="motor gain is "):
            check_numbers("motor", Motor(gain), "gain", least=low, most=high)


@pytest.mark.parametrize(
    ("gain", "bounds", "allowed"),
    [
        (0.0, {"above": 0.0}, "above 0"),
        (-1.0, {"least": 0.0}, "0 or more"),
        (1.5, {"least": 0.0, "most": 1.0}, "0 to 1"),
        (1.0, {"least": 0.0, "below": 1.0}, "at least 0, below 1"),
        (0.0, {"above": 0.0, "most": 1.0}, "above 0, at most 1"),
        (math.pi, {"above": 0.0, "below": math.pi}, "above 0, below 3.14159"),
        (2.0, {"most": 1.0}, "at most 1"),
        (math.nan, {"above": 0.0}, "above 0"),
        (math.inf, {"least": 0.0}, "0 or more"),
        (-math.inf, {}, "any finite number"),
    ],
)
def test_the_message_names_value_and_range(gain: float, bounds: dict[str, float], allowed: str):
    with pytest.raises(ValueError) as error:
        check_numbers("motor", Motor(gain), "gain", **bounds)
    assert str(error.value) == f"motor gain is {gain}; allowed: {allowed}"


def test_a_word_must_be_one_of_those_allowed():
    check_choice("gear", "low", ("low", "high"))
    with pytest.raises(ValueError, match="gear is 'up'; allowed: low, high"):
        check_choice("gear", "up", ("low", "high"))
