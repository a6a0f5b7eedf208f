"""What the checkpoints of a run were worth: ``evaluations.jsonl``, the ranking and the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from matplotlib.figure import Figure
from rich.table import Table

from policy.curve import show_control_steps, simulated_time
from robot.files import replacing

FILE = "evaluations.jsonl"
SHOWN = 10
"""Rows of the ranking; the newest checkpoint is shown beside."""


@dataclass(frozen=True)
class Score:
    """A checkpoint and what it was worth, a line of the file; all figures are of consecutive successes."""

    update: int
    control_steps: int
    simulated_hours: float
    trials: int
    mean: float
    sd: float
    median: float
    ci95_low: float
    """Bounds of the 95 % confidence interval of the mean."""
    ci95_high: float
    settings: dict[str, Any]
    """Of the evaluation, plain data; scores under other settings cannot be compared."""


def read_scores(run_dir: Path) -> list[Score]:
    """The scores of a run in the order in which they were made; none if there is no file.

    Raises:
        ValueError: if a line is no score.
    """
    path = run_dir / FILE
    scores = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
        try:
            scores.append(msgspec.json.decode(line, type=Score))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}, line {number}, is not the score of a checkpoint: {error}") from error
    return scores


def write_scores(run_dir: Path, scores: Sequence[Score]) -> None:
    """Writes the file as a whole, so that it is whole whenever the writer is killed."""
    with replacing(run_dir / FILE) as file:
        file.writelines(msgspec.json.encode(score) + b"\n" for score in scores)


def ranking(scores: Sequence[Score]) -> Table:
    """The best scores as a table for a terminal, best first, and the latest one; of equal means the earlier leads."""
    table = Table(title="consecutive successes by checkpoint", title_justify="left")
    heads = ("rank", "update", "control steps", "simulated", "mean ± sd", "95 % of the mean", "median")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    ranked = sorted(scores, key=lambda score: (-score.mean, score.control_steps))
    for rank, score in enumerate(ranked, start=1):
        latest = score is scores[-1]
        if rank > SHOWN and not latest:
            continue
        table.add_row(
            str(rank),
            str(score.update),
            f"{score.control_steps:,}",
            f"{score.simulated_hours:,.1f} h",
            f"{score.mean:.2f} ± {score.sd:.2f}",
            f"{score.ci95_low:.2f} to {score.ci95_high:.2f}",
            f"{score.median:g}",
            style="bold" if latest else None,
        )
    return table


def draw_scores(scores: Sequence[Score], image: Path) -> None:
    """Draws means and their intervals over simulated time as a PNG."""
    ordered = sorted(scores, key=lambda score: score.control_steps)
    time, unit = simulated_time([{"simulated_hours": score.simulated_hours} for score in ordered])
    figure = Figure(figsize=(7.0, 4.0), dpi=140, layout="constrained")
    axes = figure.subplots()
    low, high = ([getattr(score, end) for score in ordered] for end in ("ci95_low", "ci95_high"))
    axes.fill_between(time, low, high, alpha=0.25, linewidth=0.0, label="95 % confidence interval")
    axes.vlines(time, low, high, alpha=0.25)  # a first score alone has no area to fill
    axes.plot(time, [score.mean for score in ordered], "o-", linewidth=1.8, markersize=3.5, label="mean")
    axes.set_ylabel(f"consecutive successes, {ordered[-1].trials} trials")
    axes.set_xlabel(f"simulated time [{unit}]")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
    if time[-1] > 0.0:  # more than the checkpoint with which a run begins
        show_control_steps(axes, time[-1], ordered[-1].control_steps)
    figure.savefig(image)
