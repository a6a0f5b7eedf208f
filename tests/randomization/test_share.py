"""A share of the randomization: nothing at 0, everything at 1, and ever more between them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from randomization.acting import Acting
from randomization.config import RandomizationConfig
from randomization.distribution import parse
from randomization.disturbing import RandomForce, Timing
from randomization.draws import Source
from randomization.sensing import Sensing
from randomization.terms import ActionTerm, AdversaryTerm, BacklashTerm, ForceTerm, SensorTerm, TimingTerm
from robot import rotation
from robot.observation import FIELDS
from tests.randomization.worlds import IDS, PERIOD, N, source

SHARES = (0.0, 0.25, 0.5, 1.0)


def shared(share: float) -> Source:
    made = source()
    made.share = share
    return made


@pytest.mark.parametrize("text", ["uniform(0.5, 2)", "log_uniform(0.3, 3)", "normal(0.2, 0.1)", "exponential(2)"])
@pytest.mark.parametrize("calibrated", [0.0, 1.0])
def test_draws_lie_at_their_share_of_the_way_from_the_calibrated_value(text, calibrated):
    drawn = [shared(share).draw("term", text, calibrated)(IDS, 3) for share in SHARES]
    assert torch.equal(drawn[-1], parse(text).sample((N, 3), source().generator))
    for share, values in zip(SHARES, drawn, strict=True):
        torch.testing.assert_close(values - calibrated, share * (drawn[-1] - calibrated))
    assert (drawn[0] == calibrated).all()


@pytest.mark.parametrize("calibrated", [0.0, 1.0])
@pytest.mark.parametrize("share", SHARES)
def test_one_of_two_values_stays_one_of_two(calibrated, share):
    drawn = shared(share).draw("term", "bernoulli(0.5, 0.08)", calibrated)(IDS, 5).flatten()
    expected = {0.08: 0.5 * share, 0.0: 0.5 * share}
    expected[calibrated] = expected.get(calibrated, 0.0) + 1.0 - share
    for value, probability in expected.items():
        found = torch.isclose(drawn, torch.tensor(value)).sum().item()
        assert stats.binomtest(found, len(drawn), probability).pvalue > 0.001
    assert torch.isclose(drawn.unsqueeze(1), torch.tensor(list(expected))).any(1).all()


EVERYTHING = RandomizationConfig(
    sensors={
        "offset": SensorTerm("noise", ["object_pos"], "normal(0, 0.01)"),
        "noise": SensorTerm("noise", ["fingertip_pos"], "normal(0, 0.002)", every="step"),
        "turn": SensorTerm("noise", ["object_quat"], "normal(0, 0.1)"),
        "tips": SensorTerm("markers", ["fingertip_pos"], "normal(0, 0.003)"),
        "base": SensorTerm("markers", ["base"], "normal(0, 0.001)"),
        "dropout": SensorTerm("dropout", ["fingertip_pos"], "constant(0.5)"),
        "occlusion": SensorTerm("occlusion", ["fingertip_pos"], "constant(1)"),
        "refresh": SensorTerm("refresh", ["object_pos"], "uniform(0.1, 0.2)"),
        "delay": SensorTerm("delay", ["object_pos", "object_quat"], "uniform(0, 0.1)"),
        "injection": SensorTerm("injection", ["object_quat"], "uniform(0, 0.3)"),
    },
    actions={
        "noise": ActionTerm("offset", "normal(0, 0.05)", "step"),
        "gain": ActionTerm("gain", "normal(0, 0.05)"),
        "step_gain": ActionTerm("gain", "normal(0, 0.05)", "step"),
    },
    adversary=AdversaryTerm("uniform(0, 0.3)"),
    backlash=BacklashTerm("normal(1, 0.1)", rate=2.5),
    force=ForceTerm("log_uniform(0.001, 0.1)"),
    timing=TimingTerm("reciprocal_uniform(1250, 10000)"),
)


def errors(config: RandomizationConfig, share: float) -> dict[str, float]:
    """Mean absolute differences from exact sensors, obeyed actions, undisturbed worlds, over a few steps."""
    made, generator = shared(share), torch.Generator().manual_seed(5)
    sensing, acting = Sensing(config, N, made, PERIOD), Acting(config, N, made, PERIOD)
    force = RandomForce(config.force or ForceTerm("constant(0)"), N, made, PERIOD)
    timing = Timing(config.timing or TimingTerm("constant(0)"), N, made, PERIOD)
    for part in (sensing, acting, force, timing):
        part.reset(IDS)
    found: dict[str, list[torch.Tensor]] = {}
    for _ in range(6):
        exact = {name: torch.randn(N, *field.shape, generator=generator) for name, field in FIELDS.items()}
        for name in ("object_quat", "fingertip_quat"):
            exact[name] = exact[name] / exact[name].norm(dim=-1, keepdim=True)
        seen = sensing.apply(exact, torch.rand(N, 5, generator=generator) < 0.2)
        action, present = (torch.rand(N, 20, generator=generator) - 0.5 for _ in range(2))
        apart = {
            "fingertip_pos": seen["fingertip_pos"] - exact["fingertip_pos"],
            "object_pos": seen["object_pos"] - exact["object_pos"],
            "object_quat": rotation.distance(seen["object_quat"], exact["object_quat"]),
            "action": acting.disturb(action, exact) - action,
            "target": acting.transmit(present + 0.1 * action, present, torch.full((20,), 0.2)) - present - 0.1 * action,
            "force": force.step(),
            "timing": timing.step(),
        }
        for name, value in apart.items():
            found.setdefault(name, []).append(value.abs().mean())
    return {name: float(torch.stack(values).mean()) for name, values in found.items()}


def test_nothing_errs_at_share_0_and_everything_errs_more_as_it_grows():
    found = [errors(EVERYTHING, share) for share in SHARES]
    exact = errors(RandomizationConfig(), 1.0)
    for name in exact:
        # the frame that is found from markers in their places is the base frame but for rounding
        assert found[0][name] == pytest.approx(exact[name], abs=1e-6), name
        assert (np.diff([each[name] for each in found]) > 0.0).all(), name


def test_worlds_of_different_shares_get_each_what_they_would_get_alone():
    mixed = torch.linspace(0.0, 1.0, N)
    made = source()
    made.share = mixed
    drawn = made.draw("term", "normal(0.2, 0.1)", 1.0)(IDS, 3)
    torch.testing.assert_close(
        drawn - 1.0, mixed[:, None] * (parse("normal(0.2, 0.1)").sample((N, 3), source().generator) - 1.0)
    )
    some = IDS.flip(0)[: N // 2]
    chosen = made.draw("term", "bernoulli(1, 0.08)", 0.0)(some, 4000)
    torch.testing.assert_close((chosen > 0.0).float().mean(dim=1), mixed[some], atol=0.05, rtol=0)


@pytest.mark.parametrize("term", EVERYTHING.sensors)
def test_each_sensor_term_errs_more_as_its_share_grows(term):
    alone = RandomizationConfig(sensors={term: EVERYTHING.sensors[term]})
    totals = [sum(errors(alone, share).values()) for share in SHARES]
    assert (np.diff(totals) > 0.0).all()


def test_slack_is_as_much_narrower():
    """A motor that pulls one way loses, of its movement, what takes up half of the slack's width, 2 over its rate."""
    alone = RandomizationConfig(backlash=BacklashTerm("constant(1)", rate=1.0))
    for share in (0.25, 0.5, 1.0):
        acting = Acting(alone, 1, shared(share), PERIOD)
        acting.reset(torch.tensor([0]))
        action, zero, stroke = torch.full((1, 20), 0.5), torch.zeros(1, 20), torch.ones(20)
        lost = sum((action - acting.transmit(action, zero, stroke) for _ in range(30)), zero)
        torch.testing.assert_close(lost, torch.full((1, 20), share / (math.e * PERIOD)))
    made = source()
    made.share = torch.tensor([0.25, 1.0])
    acting = Acting(alone, 2, made, PERIOD)
    acting.reset(torch.tensor([0, 1]))
    assert acting.backlash is not None
    torch.testing.assert_close(acting.backlash.rates[0], 4.0 * acting.backlash.rates[1])
