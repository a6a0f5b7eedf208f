"""Pushes on the block, and steps that last longer."""

import numpy as np
import torch
from scipy import stats

from randomization.disturbing import RandomForce, Timing
from randomization.terms import ForceTerm, TimingTerm
from tests.randomization.worlds import IDS, PERIOD, N, source


def test_pushes_come_as_often_as_drawn_and_fade():
    force = RandomForce(ForceTerm("log_uniform(0.001, 0.1)"), N, source(), PERIOD)
    force.reset(IDS)
    assert stats.kstest(force.probability, stats.loguniform(0.001, 0.1).cdf).pvalue > 0.001
    force.probability.fill_(0.05)
    before, pushes = torch.zeros(N, 3), []
    for _ in range(50):
        now = force.step().clone()
        new = ~torch.isclose(now, 0.99 * before, atol=1e-7).all(dim=1)
        pushes.append(now[new])
        before = now
    drawn = torch.cat(pushes)
    assert stats.binomtest(len(drawn), 50 * N, 0.05).pvalue > 0.001
    assert stats.kstest(drawn.flatten(), stats.norm(0, 1).cdf).pvalue > 0.001


def test_a_step_lasts_longer_by_ten_exponential_times():
    timing = Timing(TimingTerm("constant(0.0004)"), N, source(), PERIOD)
    timing.reset(IDS)
    assert stats.kstest(timing.step(), stats.gamma(10, scale=0.0004).cdf).pvalue > 0.001


def test_the_mean_of_the_added_time_is_one_over_a_uniform_rate():
    timing = Timing(TimingTerm("reciprocal_uniform(1250, 10000)"), N, source(), PERIOD)
    timing.reset(IDS)
    assert stats.kstest(1 / timing.mean.numpy(), stats.uniform(1250, 8750).cdf).pvalue > 0.001
    assert 0.001 < np.mean(timing.step().numpy()) < 0.008  # 1 to 8 ms per control step


def test_pushes_fade_and_steps_last_longer_by_time_not_by_steps():
    force = RandomForce(ForceTerm("constant(0)", decay=0.5), 1, source(), 0.04)
    force.acceleration[:] = 8.0
    force.step()
    torch.testing.assert_close(force.step(), torch.full((1, 3), 4.0))  # 80 ms
    timing = Timing(TimingTerm("constant(0.0004)"), N, source(), 0.04)
    timing.reset(IDS)
    assert stats.kstest(timing.step(), stats.gamma(5, scale=0.0004).cdf).pvalue > 0.001
