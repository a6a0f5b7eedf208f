"""The bootstrap against scipy's, and its coverage where the true mean is known."""

import numpy as np
import pytest
import scipy.stats

from policy.bootstrap import mean_interval
from tests.policy.test_evaluate import D18_BLOCK


def test_it_is_scipys_bca_interval():
    interval = mean_interval(D18_BLOCK.successes, np.random.default_rng(0), resamples=200_000)
    truth = scipy.stats.bootstrap(
        (D18_BLOCK.successes,), np.mean, n_resamples=200_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval == pytest.approx((truth.low, truth.high), abs=0.15)


@pytest.mark.parametrize(("success", "cap"), [(0.95, 50), (0.5, 50), (0.98, 50)])
def test_it_covers_the_true_mean_as_often_as_it_says(success: float, cap: int):
    # every further goal is reached with the same probability, up to a cap: what a policy's trials look like
    true = sum(success**k for k in range(1, cap + 1))
    generator = np.random.default_rng(0)
    runs, covered = 1000, 0
    for _ in range(runs):
        trials = np.minimum(generator.geometric(1.0 - success, size=100) - 1, cap)
        low, high = mean_interval(trials.tolist(), generator, resamples=1000)
        covered += low <= true <= high
    # three standard errors of this count are 0.02; of a hundred skewed trials the bootstrap itself is 0.01 short
    assert 0.92 < covered / runs < 0.97


def test_it_stays_within_the_range_and_widens_with_the_level():
    values = [0] * 30 + [1] + [50] * 5
    low, high = mean_interval(values, np.random.default_rng(0))
    wider = mean_interval(values, np.random.default_rng(0), level=0.99)
    assert 0.0 < wider[0] < low < np.mean(values) < high < wider[1] < 50.0
    assert mean_interval([7], np.random.default_rng(0)) == (7.0, 7.0)
    assert mean_interval([0.1] * 9, np.random.default_rng(0)) == pytest.approx((0.1, 0.1))


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match="there are none"):
        mean_interval([], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"is 95"):
        mean_interval([1, 2], np.random.default_rng(0), level=95)
