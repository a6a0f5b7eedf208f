"""The learning curve: successes per episode over simulated time, as D18 draws it, and the reward below."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import ArrayLike

from policy.progress import HOURS_PER_YEAR, Row, read_progress

UNITS = (("years", HOURS_PER_YEAR), ("days", 24.0), ("hours", 1.0), ("minutes", 1.0 / 60.0))
"""Units of simulated time and their lengths in hours, longest first."""


def simulated_time(rows: Sequence[Row]) -> tuple[list[float], str]:
    """The simulated time of rows, and the unit it is in, which suits the last of them."""
    hours = [row["simulated_hours"] or 0.0 for row in rows]
    unit, length = next(((name, size) for name, size in UNITS if hours[-1] >= size), UNITS[-1])
    return [hour / length for hour in hours], unit


def draw_curve(run_dir: Path, image: Path) -> None:
    """Draws the curve of a run as a PNG.

    Raises:
        FileNotFoundError: if the run has no progress file.
        ValueError: if no episode has ended in it yet.
    """
    rows = [row for row in read_progress(run_dir) if row["successes"] is not None]
    if not rows:
        raise ValueError(f"no episode has ended in {run_dir}; there is no curve to draw")
    time, unit = simulated_time(rows)

    figure = Figure(figsize=(7.0, 5.4), dpi=140, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.plot(time, [row["successes"] or 0.0 for row in rows], linewidth=1.8)
    upper.set_ylabel("successes per episode")
    upper.set_ylim(bottom=0.0)
    lower.plot(time, [row["episode_reward"] or 0.0 for row in rows], linewidth=1.8, color="tab:green")
    lower.set_ylabel("reward per episode")
    lower.set_xlabel(f"simulated time [{unit}]")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    show_control_steps(upper, time[-1], rows[-1]["control_steps"] or 0)
    figure.savefig(image)


def show_control_steps(axes: Axes, time: float, steps: float) -> None:
    """Lets a time axis begin at 0, and shows above it the control steps, of which ``steps`` lie at ``time``."""
    axes.set_xlim(left=0.0)
    scale = steps / time

    def to_steps(time: ArrayLike) -> np.ndarray:
        return np.asarray(time) * scale

    def to_time(steps: ArrayLike) -> np.ndarray:
        return np.asarray(steps) / scale

    above = axes.secondary_xaxis("top", functions=(to_steps, to_time))
    above.set_xlabel("control steps")
    above.xaxis.set_major_formatter(EngFormatter(sep=" "))
