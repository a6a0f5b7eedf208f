"""What a randomization preset says: declarative terms, the values of which live in ``inhand/conf/randomization/``."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from randomization.adr import ADRConfig
from randomization.distribution import Distribution, parse
from randomization.terms import (
    MAX_LEARNT,
    ActionTerm,
    AdversaryTerm,
    BacklashTerm,
    ForceTerm,
    PhysicsTerm,
    SensorTerm,
    TimingTerm,
)


@dataclass(frozen=True)
class Entry:
    """One line of a preset, for people and for automatic domain randomization."""

    name: str
    """``section.term``, or the section's name where it has one term only."""

    what: str
    """What it changes."""

    distribution: Distribution

    unit: str

    drawn: str
    """When: at the beginning of an episode, at every step, …"""


@dataclass
class RandomizationConfig:
    """A preset.

    Raises:
        ValueError: if terms contradict each other.
    """

    name: str = "none"
    """Its name, for reports and for the record of a run."""

    physics: dict[str, PhysicsTerm] = field(default_factory=dict)
    """Model fields of the physics."""

    sensors: dict[str, SensorTerm] = field(default_factory=dict)
    """What the policy is told of the world, against what is true."""

    actions: dict[str, ActionTerm] = field(default_factory=dict)
    """Noise on unit actions."""

    adversary: AdversaryTerm | None = None
    """A random network that acts beside the policy."""

    backlash: BacklashTerm | None = None
    """Slack between motors and joints."""

    force: ForceTerm | None = None
    """Pushes on the block."""

    timing: TimingTerm | None = None
    """Control steps that last longer than they should."""

    adr: ADRConfig = field(default_factory=ADRConfig)
    """How the ranges of the ``adr_…`` distributions grow; without any, nothing."""

    def __post_init__(self) -> None:
        sizes = {tuple(term.size) for term in self.sensors.values() if term.effect == "occlusion"}
        if len(sizes) > 1:
            raise ValueError(f"terms of occlusion ask for boxes of different sizes: {sorted(sizes)}; one is allowed")
        if self.adr.limit > MAX_LEARNT:
            raise ValueError(f"adr limit is {self.adr.limit}; allowed: up to {MAX_LEARNT}")

    def entries(self) -> Iterator[Entry]:
        """Every distribution of the preset."""
        for section in ("physics", "sensors", "actions"):
            for name, term in getattr(self, section).items():
                yield from _entries(f"{section}.{name}", term)
        for section in ("adversary", "backlash", "force", "timing"):
            if getattr(self, section) is not None:
                yield from _entries(section, getattr(self, section))

    def learnt(self) -> dict[str, bool]:
        """Names of the parameters that automatic domain randomization adapts, and whether each has one side only."""
        return {
            entry.name + ending: one_sided
            for entry in self.entries()
            for ending, one_sided in entry.distribution.learnt.items()
        }


Term = PhysicsTerm | SensorTerm | ActionTerm | AdversaryTerm | BacklashTerm | ForceTerm | TimingTerm


def _entries(name: str, term: Term) -> Iterator[Entry]:
    for draw in term.draws():
        key = f"{name}.{draw.part}" if draw.part else name
        yield Entry(key, draw.what, parse(draw.text), draw.unit, draw.drawn)
