"""Confidence intervals of a mean without assumptions on its distribution."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000
NORMAL = NormalDist()


def mean_interval(
    values: Sequence[float], generator: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Bounds of the mean: bias-corrected and accelerated bootstrap (BCa; Efron 1987, J. Am. Stat. Assoc. 82, 171).

    Successes per trial are whole numbers from 0 to a cap, skewed and often piled up at both ends: an interval from a
    normal distribution would be symmetric and may leave the range. Equal values give an interval of no width; it says
    only that the sample shows no spread.

    Args:
        values: a sample, one or more.
        generator: draws the resamples.
        level: share of samples whose interval holds the true mean.
        resamples: means that are drawn.

    Raises:
        ValueError: if there are no values, or ``level`` does not lie between 0 and 1.
    """
    if not len(values):
        raise ValueError("a confidence interval needs one value or more, there are none")
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of a confidence interval is {level}; allowed: between 0 and 1")
    sample = np.asarray(values, dtype=np.float64)
    n, mean = len(sample), sample.mean()
    unique, counts = np.unique(sample, return_counts=True)
    if len(unique) == 1:
        return float(mean), float(mean)
    # how often each value is drawn; the means are compared with the sample's, so both are summed in the same way
    drawn = generator.multinomial(n, counts / n, size=resamples)
    means, mean = drawn @ unique / n, counts @ unique / n
    below = 0.5 * (np.mean(means < mean) + np.mean(means <= mean))
    bias = NORMAL.inv_cdf(float(below))
    deviations = sample - mean
    acceleration = (deviations**3).sum() / (6.0 * (deviations**2).sum() ** 1.5)

    def bound(share: float) -> float:
        z = bias + NORMAL.inv_cdf(share)
        return float(np.quantile(means, NORMAL.cdf(bias + z / (1.0 - acceleration * z))))

    return bound(0.5 - 0.5 * level), bound(0.5 + 0.5 * level)
