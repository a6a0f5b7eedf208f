"""The table of what the shipped policies reach, from the results beside them: ``python -m benchmarks.policy_table``.

A result is what ``inhand eval policy=NAME trials=100 out=policies/NAME/eval….json`` leaves; ``eval*.json`` are read.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from inhand.policies import SHIPPED

COLUMNS = (("shadow", "none"), ("shadow", "dactyl"), ("gymnasium_robotics", "none"))
TITLES = ("no randomization", "`randomization=dactyl`", "`plant=gymnasium_robotics`")


def cell(results: list[dict[str, Any]]) -> str:
    """The means of all seeds, the first one with its 95 % interval."""
    ordered = sorted(results, key=lambda result: result["seed"])
    texts = [number(result["mean"]) for result in ordered]
    if texts:
        low, high = number(ordered[0]["ci95_low"]), number(ordered[0]["ci95_high"])
        texts[0] += f" ({low} to {high})"
    return ", ".join(texts)


def number(value: float) -> str:
    return f"{value:.1f}" if value >= 10.0 else f"{value:.2f}"


def table(shipped: Path = SHIPPED) -> list[str]:
    """The lines of the table, in Markdown; the best policy under ``dactyl`` first."""
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for contract in shipped.glob("*/contract.json"):
        if not contract.parent.is_symlink():
            found[contract.parent.name] = results = defaultdict(list)
            for path in contract.parent.glob("eval*.json"):
                result = json.loads(path.read_text())
                results[result["plant"], result["randomization"]].append(result)

    def merit(name: str) -> tuple[float, ...]:
        means = [[each["mean"] for each in found[name][column]] for column in (COLUMNS[1], COLUMNS[0])]
        return tuple(sum(column) / max(len(column), 1) for column in means)

    rows = [[f"`{name}`", *(cell(found[name][column]) for column in COLUMNS)] for name in sorted(found, key=merit)]
    return ["| " + " | ".join(row) + " |" for row in (["policy", *TITLES], ["---"] * 4, *reversed(rows))]


if __name__ == "__main__":
    print("\n".join(table()))
