"""``inhand randomization``: the terms of a preset as a table, and whether they do what they say."""

import math
from dataclasses import dataclass, field

from inhand import report
from randomization.config import Entry, RandomizationConfig
from robot.checks import check_choice
from robot.plant import PlantConfig
from sim.backend import SimConfig
from sim.task import TaskConfig

ACTIONS = ("show", "check")


@dataclass(frozen=True)
class RandomizationJob:
    """What to do with a preset.

    Raises:
        ValueError: if there is no such action, or a number is out of its range.
    """

    action: str = "show"
    """``show``: a table of its terms. ``check``: draws worlds, compares what comes out with the distributions, and
    plays a roll-out with every term alone beside the same without; a term without effect is an error."""

    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)

    task: TaskConfig = field(default_factory=TaskConfig)

    plant: PlantConfig = field(default_factory=PlantConfig)
    """The model of the hand, to check."""

    sim: SimConfig = field(default_factory=SimConfig)
    """What steps the worlds that are checked: the CPU or a GPU."""

    worlds: int = 10_000
    """Worlds that are drawn to check."""

    seed: int = 0
    """Seed of every random draw."""

    threads: int = 0
    """CPU threads of the physics; 0 for all."""

    out: str | None = None
    """File to write the table to, as JSON."""

    def __post_init__(self) -> None:
        check_choice("action", self.action, ACTIONS)
        if self.worlds < 100:
            raise ValueError(f"worlds is {self.worlds}; at least 100 are needed for statistics")
        report.check_out(self.out)


def run(job: RandomizationJob) -> int:
    """Prints the table; 1 if a term has no effect, or draws other values than it says."""
    config = job.randomization
    rows, faults = [], []
    if not any(config.entries()):
        print(f"preset {config.name}: nothing is randomized")
    else:
        rows, faults = _show(config) if job.action == "show" else _check(job)
        report.show(f"randomization {config.name}", rows)
    if job.out is not None:
        report.write_json(job.out, {"preset": config.name, "terms": rows, "faults": faults})
    for fault in faults:
        print(fault)
    return int(bool(faults))


def _show(config: RandomizationConfig) -> tuple[list[dict[str, object]], list[str]]:
    limit = config.adr.limit
    rows: list[dict[str, object]] = [
        {
            "term": entry.name,
            "what": entry.what,
            "distribution": str(entry.distribution),
            "range": _range(entry, limit),
            "unit": entry.unit or "-",
            "drawn every": entry.drawn,
        }
        for entry in config.entries()
    ]
    return rows, []


def _check(job: RandomizationJob) -> tuple[list[dict[str, object]], list[str]]:
    from sim.term_check import check

    reports = check(job.randomization, job.task, job.worlds, job.seed, job.threads, job.plant, job.sim)
    rows: list[dict[str, object]] = []
    faults: list[str] = []
    for each in reports:
        name = each.entry.name
        rows.append(
            {
                "term": name,
                "distribution": str(each.entry.distribution),
                "mean": each.mean if each.draws else None,
                "5 … 95 %": f"{each.low:.4g} … {each.high:.4g}" if each.draws else "-",
                "KS": "-" if each.distance is None else f"{each.distance:.4f}",
                "moves by mm": f"{1000 * each.moved:.3g}",
                "seen otherwise by": f"{each.seen:.3g}",
            }
        )
        if each.inert:
            faults.append(f"{name} has no effect: nothing moves and nothing is seen otherwise")
        if not each.faithful:
            faults.append(f"{name} does not follow {each.entry.distribution}: distance {each.distance:.4f}")
    return rows, faults


def _range(entry: Entry, limit: float) -> str:
    low, high = entry.distribution.bounds(limit)
    if math.isinf(low) or math.isinf(high):
        return "unbounded"
    return f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}"
