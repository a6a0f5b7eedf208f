"""Simulation speed over the number of worlds, as a picture.

``python -m benchmarks.scaling FIGURES.json [...] --out FILE.png``, of files that ``inhand bench sim out=FILE`` wrote.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt

CLUSTER = 2.0
"""Simulated years per hour of the published system, on 6,144 cores (D18 §4.3)."""


def draw(figures: list[dict], out: Path) -> None:
    """Draws simulated years per hour over worlds, beside the published system's."""
    figures = sorted(figures, key=lambda each: each["worlds"])
    worlds = [each["worlds"] for each in figures]
    figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    axes.plot(worlds, [each["sim_years_per_hour"] for each in figures], marker="o", label=figures[0].get("gpu", "CPU"))
    axes.axhline(CLUSTER, color="0.5", linestyle="--", label="6,144 CPU cores (OpenAI 2018)")
    axes.set_xscale("log", base=2)
    axes.set_xticks(worlds, [f"{each:,}" for each in worlds])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("worlds")
    axes.set_ylabel("simulated years per hour")
    axes.legend(frameon=False)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("figures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    draw([json.loads(path.read_text()) for path in arguments.figures], arguments.out)


if __name__ == "__main__":
    main()
