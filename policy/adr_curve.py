"""How ADR widened its ranges: the entropy over simulated time, as R19 draws it, and the range of every parameter."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from policy.curve import simulated_time
from policy.progress import ADR_ENTROPY, read_progress, thin

COLUMNS = 5
PANEL = (1.9, 1.25)
"""Width and height of the panel of a parameter [inch]."""


def draw_adr_curve(run_dir: Path, image: Path) -> None:
    """Draws the ranges of a run as a PNG; all panels share their axes.

    Raises:
        FileNotFoundError: if the run has no progress file.
        ValueError: if no row of it holds ranges.
    """
    rows = [row for row in read_progress(run_dir) if ADR_ENTROPY in row]
    if not rows:
        raise ValueError(f"{run_dir} has no ADR ranges to draw")
    rows = thin(rows)
    ends = [name for name in rows[-1] if name.startswith("adr/") and name.endswith("/high")]
    names = [name.removeprefix("adr/").removesuffix("/high") for name in ends]
    time, unit = simulated_time(rows)

    lines = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], 2.6 + (lines + 0.3) * PANEL[1]), dpi=140, layout="constrained")
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(2.6, (lines + 0.3) * PANEL[1]))
    axes = top.subplots()
    axes.plot(time, [row[ADR_ENTROPY] or 0.0 for row in rows], linewidth=1.8)
    axes.set_ylabel("entropy [nats per dimension]")
    axes.set_xlabel(f"simulated time [{unit}]")
    axes.set_xlim(0.0, time[-1])
    axes.grid(alpha=0.3)

    panels = bottom.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).flat
    for index, (name, panel) in enumerate(zip(names, panels, strict=False)):
        low, high = ([row[f"adr/{name}/{side}"] or 0.0 for row in rows] for side in ("low", "high"))
        panel.fill_between(time, low, high, alpha=0.35, linewidth=0.0)
        panel.plot(time, low, time, high, color="tab:blue", linewidth=0.9)
        panel.axhline(0.0, color="black", linewidth=0.5)
        panel.set_title(name, fontsize=7, pad=2.0)
        panel.set_xlim(0.0, time[-1])
        panel.tick_params(labelsize=6, labelbottom=index + COLUMNS >= len(names))
        panel.grid(alpha=0.3)
    for panel in panels:  # those that are left over
        panel.set_axis_off()
    bottom.supylabel("range of λ", fontsize=9)
    bottom.supxlabel(f"simulated time [{unit}]", fontsize=9)
    figure.savefig(image)
