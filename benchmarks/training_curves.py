"""Training curves of several runs in one picture: successes per episode over simulated time, as D18 draws it.

``python -m benchmarks.training_curves NAME=RUN [NAME=RUN ...] --out FILE.png``; RUN is the directory of a run, or of a
shipped policy. Runs of one name are seeds: each is a thin line, their median a thick one, which ends with the shortest.
``--thinned FOLDER``, beside or instead, writes the runs' records there, thinned to 500 rows each: ``progress.jsonl`` of
a single run, of several ``NAME/progress.jsonl``, or ``NAME-1/progress.jsonl`` and so on.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from policy.curve import show_control_steps, simulated_time
from policy.progress import FILE, Row, read_progress, thin, write_progress

Runs = dict[str, list[list[Row]]]
"""By name, the rows of each seed."""


def read_runs(arguments: Sequence[str]) -> Runs:
    """The records of runs, each given as NAME=RUN; rows before the first episode has ended are dropped.

    Raises:
        ValueError: if an argument is of another form, or no episode has ended in a run.
        FileNotFoundError: if a run has no record.
    """
    runs: Runs = {}
    for argument in arguments:
        name, equals, directory = argument.partition("=")
        if not (name and equals and directory):
            raise ValueError(f"{argument!r} is not of the form NAME=RUN")
        rows = [row for row in read_progress(Path(directory)) if row["successes"] is not None]
        if not rows:
            raise ValueError(f"no episode has ended in {directory}; there is no curve to draw")
        runs.setdefault(name, []).append(rows)
    return runs


def median(seeds: Sequence[Sequence[Row]], points: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Simulated hours, as far as all seeds go, and the median of their successes there, both (points,)."""
    curves = [_columns(rows) for rows in seeds]
    grid = np.linspace(max(hours[0] for hours, _ in curves), min(hours[-1] for hours, _ in curves), points)
    return grid, np.median([np.interp(grid, hours, successes) for hours, successes in curves], axis=0)


def draw(runs: Runs, image: Path) -> None:
    """Draws all runs as a PNG."""
    last = max((rows[-1] for seeds in runs.values() for rows in seeds), key=lambda row: row["simulated_hours"] or 0.0)
    (end,), unit = simulated_time([last])
    scale = end / (last["simulated_hours"] or 1.0)
    figure = Figure(figsize=(7.5, 4.5), dpi=140, layout="constrained")
    axes = figure.subplots()
    for number, (name, seeds) in enumerate(runs.items()):
        color, label = f"C{number}", name if len(seeds) == 1 else f"{name} (median of {len(seeds)})"
        hours, successes = _columns(seeds[0]) if len(seeds) == 1 else median(seeds)
        axes.plot(scale * hours, successes, color=color, linewidth=1.8, label=label)
        for rows in seeds if len(seeds) > 1 else ():
            hours, successes = _columns(thin(rows))
            axes.plot(scale * hours, successes, color=color, linewidth=0.7, alpha=0.5)
    axes.set(xlabel=f"simulated time [{unit}]", ylabel="successes per episode")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    show_control_steps(axes, end, last["control_steps"] or 0)
    figure.savefig(image)


def write_thinned(runs: Runs, folder: Path) -> None:
    """Writes records small enough to be committed."""
    several = sum(map(len, runs.values())) > 1
    for name, seeds in runs.items():
        for number, rows in enumerate(seeds, start=1):
            directory = folder / (name if len(seeds) == 1 else f"{name}-{number}") if several else folder
            directory.mkdir(parents=True, exist_ok=True)
            write_progress(directory / FILE, thin(rows))


def _columns(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row["simulated_hours"] for row in rows]), np.array([row["successes"] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    parser.add_argument("--out", type=Path, help="the picture, a PNG")
    parser.add_argument("--thinned", type=Path, help="folder for the thinned records")
    arguments = parser.parse_args()
    try:
        runs = read_runs(arguments.runs)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    if arguments.out is not None:
        draw(runs, arguments.out)
    if arguments.thinned is not None:
        write_thinned(runs, arguments.thinned)


if __name__ == "__main__":
    main()
