"""What becomes of actions: noise, a random adversary, slack."""

import numpy as np
import pytest
import torch
from scipy import stats

from randomization.acting import Acting
from randomization.config import RandomizationConfig
from randomization.terms import ActionTerm, AdversaryTerm, BacklashTerm
from robot.hand import ACTUATOR_NAMES
from tests.randomization.worlds import IDS, PERIOD, N, source


def acting(config: RandomizationConfig) -> Acting:
    made = Acting(config, N, source(), PERIOD)
    made.reset(IDS)
    return made


def measurement(n: int = N) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"joint_pos": 24, "object_pos": 3, "object_quat": 4}
    return {name: torch.randn(n, size, generator=generator) for name, size in shapes.items()}


def test_action_noise_is_a_share_of_the_range_of_two():
    terms = {
        "noise": ActionTerm("offset", "normal(0, 0.05)", "step"),
        "offset": ActionTerm("offset", "normal(0, 0.015)"),
        "gain": ActionTerm("gain", "normal(0, 0.015)"),
    }
    made = acting(RandomizationConfig(actions=terms))
    zero = torch.stack([made.disturb(torch.zeros(N, 20), {}) for _ in range(2)]).numpy()
    assert stats.kstest(((zero[0] - zero[1]) / np.sqrt(2)).ravel(), stats.norm(0, 0.1).cdf).pvalue > 0.001
    assert stats.kstest(made.noise.offset.flatten(), stats.norm(0, 0.03).cdf).pvalue > 0.001
    assert stats.kstest(made.noise.gain.flatten(), stats.norm(1, 0.03).cdf).pvalue > 0.001


def test_without_terms_actions_pass():
    made = acting(RandomizationConfig())
    action = torch.rand(N, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.disturb(action, {}), action)
    assert made.transmit(action, torch.zeros(N, 20), torch.ones(20)) is action


def test_the_adversary_has_its_share_and_a_network_of_its_own_in_each_world():
    made = acting(RandomizationConfig(adversary=AdversaryTerm("constant(0.25)")))
    action, state = torch.full((N, 20), 0.5), measurement()
    mixed = made.disturb(action, state)
    own = (mixed - 0.75 * action) / 0.25
    torch.testing.assert_close(own, own.round(), atol=1e-5, rtol=0)
    assert set(own.round().unique().tolist()) == {-1.0, 0.0, 1.0}
    assert torch.equal(made.disturb(action, state), mixed)  # the same in the same state
    same_state = {name: value[:1].expand(N, -1) for name, value in state.items()}
    assert len(torch.unique(made.disturb(action, same_state), dim=0)) > N // 2


def reference(slack: float, a: float, rate: float) -> tuple[float, float]:
    """D18 C.2 in plain numbers: the share of a movement that passes, and the slack after it."""
    taken = a * rate * PERIOD
    share = 1 - min(max(abs(np.sign(a) - slack) / (abs(taken) + 1e-12), 0), 1)
    return share, min(max(slack + taken, -1), 1)


def test_backlash_takes_up_its_slack_first():
    term = BacklashTerm("constant(1)", rate=2.0, up={"rh_A_FFJ0": 3.0})
    made = acting(RandomizationConfig(backlash=term))
    up = ACTUATOR_NAMES.index("rh_A_FFJ0")
    slack = {index: 0.0 for index in (0, up)}
    stroke, present = torch.full((20,), 0.3), torch.full((N, 20), 0.1)
    for a in (1.0, 1.0, 1.0, -0.5, -1.0, -1.0, -1.0, -1.0, 0.0, 0.7):
        target = made.transmit(present + a * stroke, present, stroke)
        for index in slack:
            rate = np.exp(3.0 if index == up and a > 0 else 2.0)
            share, slack[index] = reference(slack[index], a, rate)
            expected = 0.1 + share * a * 0.3
            assert target[:, index].tolist() == pytest.approx([expected] * N, abs=1e-5)


def test_backlash_rates_are_drawn_for_each_motor_and_side():
    made = acting(RandomizationConfig(backlash=BacklashTerm("normal(1, 0.1)", rate=4.25)))
    assert made.backlash is not None
    assert stats.kstest(made.backlash.rates.log().flatten() / 4.25, stats.norm(1, 0.1).cdf).pvalue > 0.001
    least = acting(RandomizationConfig(backlash=BacklashTerm("normal(1, 0.1)", rate=0.1)))
    assert least.backlash is not None and (least.backlash.rates == 2.0).all()


def test_bad_terms_are_refused():
    with pytest.raises(ValueError, match="rh_A_FFJ9"):
        BacklashTerm("constant(1)", up={"rh_A_FFJ9": 1.0})
    with pytest.raises(ValueError, match="allowed: offset, gain"):
        ActionTerm("shift", "normal(0, 1)")


def test_every_episode_has_an_adversary_of_its_own():
    made = Acting(RandomizationConfig(adversary=AdversaryTerm("constant(1)")), 64, source(), PERIOD)
    ids, generator = torch.arange(64), torch.Generator().manual_seed(3)
    shapes = {"joint_pos": 24, "object_pos": 3, "object_quat": 4}
    state = {name: torch.randn(64, size, generator=generator) for name, size in shapes.items()}
    made.reset(ids)
    before = made.disturb(torch.zeros(64, 20), state)
    made.reset(ids[::2])
    changed = (made.disturb(torch.zeros(64, 20), state) != before).any(1)
    assert changed.tolist() == [True, False] * 32
