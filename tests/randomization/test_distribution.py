"""Distributions against SciPy's, by Kolmogorov-Smirnov tests."""

import numpy as np
import pytest
import torch
from scipy import stats

from randomization.distribution import parse

CASES = {
    "uniform(0.5, 1.5)": stats.uniform(0.5, 1.0),
    "log_uniform(0.3, 3.0)": stats.loguniform(0.3, 3.0),
    "normal(-1, 0.4)": stats.norm(-1, 0.4),
    "exponential(0.3)": stats.expon(scale=0.3),
}
ADAPTED = {
    "adr_factor(0.5)": ([1.2], None),
    "adr_amount(0.5)": ([1.2], None),
    "adr_spread(0.5)": ([-0.4, 1.2], stats.lognorm(0.6, scale=np.exp(-0.2))),
    "adr_jitter(0.5)": ([1.2], stats.norm(0, np.expm1(0.6))),
    "adr_offset(0.5)": ([0.4, 1.2], stats.foldnorm(np.expm1(0.2) / np.expm1(0.6), scale=np.expm1(0.6))),
}


@pytest.mark.parametrize("text", CASES)
def test_draws_follow_the_distribution(text):
    draws = parse(text).sample((20_000,), torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(draws, CASES[text].cdf).pvalue > 0.001


def test_one_over_a_reciprocal_uniform_is_uniform():
    draws = parse("reciprocal_uniform(2, 8)").sample((20_000,), torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(1 / draws, stats.uniform(2, 6).cdf).pvalue > 0.001


@pytest.mark.parametrize("text", ADAPTED)
def test_learnt_distributions_are_the_modes_of_r19(text):
    learnt, expected = ADAPTED[text]
    distribution = parse(text)
    assert len(distribution.learnt) == len(learnt)
    rows = torch.tensor([learnt, [0.0] * len(learnt)])
    drawn, calibrated = distribution.sample((2, 20_000), torch.Generator().manual_seed(0), rows).numpy()
    if expected is None:
        value = np.exp(0.6) if text.startswith("adr_factor") else 0.6
        np.testing.assert_allclose(drawn, value, rtol=1e-6)
    else:
        assert stats.kstest(drawn, expected.cdf).pvalue > 0.001
    # at zero, nothing changes: a factor of one, an offset of nothing
    assert (calibrated == (1.0 if text.startswith(("adr_factor", "adr_spread")) else 0.0)).all()


@pytest.mark.parametrize("text", [*CASES, "reciprocal_uniform(2, 8)", "bernoulli(0.5, -2)", "constant(3)"])
def test_no_draw_lies_outside_the_bounds(text):
    distribution = parse(text)
    low, high = distribution.bounds(4.0)
    draws = distribution.sample((20_000,), torch.Generator().manual_seed(0))
    assert low - 1e-6 <= float(draws.min()) and float(draws.max()) <= high + 1e-6


@pytest.mark.parametrize(
    "text", ["uniform(0.5, 0.5)", "normal(0.5, 0)", "log_uniform(2, 2)", "reciprocal_uniform(2, 2)"]
)
def test_a_distribution_without_width_is_its_only_value(text):
    distribution = parse(text)
    draws = distribution.sample((100,), torch.Generator().manual_seed(0))
    assert distribution.distance(draws) == 0.0
    assert distribution.distance(draws + 0.1) == 1.0


def test_bernoulli_and_constant():
    draws = parse("bernoulli(0.3, 1)").sample((20_000,), torch.Generator().manual_seed(0)).numpy()
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert stats.binomtest(int(draws.sum()), 20_000, 0.3).pvalue > 0.001
    assert (parse("constant(2.5)").sample((3, 2), torch.Generator()) == 2.5).all()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("unifrom(0, 1)", "uniform"),
        ("uniform(0)", "2 parameters"),
        ("uniform(2, 1)", "low is above high"),
        ("log_uniform(0, 1)", "positive"),
        ("normal(0, -1)", "negative"),
        ("bernoulli(2, 1)", r"\[0, 1\]"),
        ("exponential(0)", "positive"),
        ("adr_spread(-1)", "positive"),
        ("uniform(a, b)", "numbers"),
        ("0.5", "write for example"),
        ("normal(0, inf)", "finite"),
    ],
)
def test_bad_text_is_refused_with_what_is_allowed(text, word):
    with pytest.raises(ValueError, match=word):
        parse(text)


@pytest.mark.parametrize(("text", "ends"), [("adr_factor(0.5)", (-4.0, 4.0)), ("adr_amount(0.03)", (0.0, 4.0))])
def test_bounds_are_what_the_ends_of_the_widest_ranges_give(text, ends):
    drawn = parse(text).sample((2,), torch.Generator(), torch.tensor(ends).unsqueeze(1))
    assert parse(text).bounds(4.0) == pytest.approx(tuple(drawn.tolist()))
