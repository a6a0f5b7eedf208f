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
}


@pytest.mark.parametrize("text", CASES)
def test_draws_follow_the_distribution(text):
    draws = parse(text).sample((20_000,), torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest(draws, CASES[text].cdf).pvalue > 0.001


def test_bernoulli_and_constant():
    draws = parse("bernoulli(0.3)").sample((20_000,), torch.Generator().manual_seed(0)).numpy()
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
        ("bernoulli(2)", r"\[0, 1\]"),
        ("uniform(a, b)", "numbers"),
        ("0.5", "write for example"),
        ("normal(0, inf)", "finite"),
    ],
)
def test_bad_text_is_refused_with_what_is_allowed(text, word):
    with pytest.raises(ValueError, match=word):
        parse(text)
