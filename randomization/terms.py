"""The kinds of randomization terms, and what each says."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from randomization.distribution import parse
from robot.checks import check_choice, check_numbers
from robot.hand import ACTUATOR_NAMES
from robot.observation import DERIVED, FIELDS, HIDDEN

SELECTIONS = ("robot", "object", "all")
APPLICATIONS = ("scale", "add")
SHARES = ("element", "group")
TIMES = ("episode", "step")
SENSOR_EFFECTS = ("noise", "markers", "dropout", "occlusion", "refresh", "delay", "injection")
ACTION_EFFECTS = ("offset", "gain")
MAX_LEARNT = 4.0
"""The largest learnt parameter that terms are prepared for (R19 Table 15)."""

MEASURED = tuple(name for name in FIELDS if name not in ("goal_quat", "joint_target", *DERIVED, *HIDDEN))
"""Fields that sensors measure; the others are known exactly, follow from these, or are hidden."""


class Drawing(NamedTuple):
    """One distribution of a term."""

    part: str
    """Its name within the term; empty where the term has one only."""
    what: str
    text: str
    unit: str
    drawn: str


@dataclass
class PhysicsTerm:
    """One uncertain physical quantity, drawn for each world when an episode begins.

    Raises:
        ValueError: if a value is not one of those allowed.
    """

    fields: list[str]
    """The MuJoCo model fields it changes, all by the same draw (a body's mass and inertia go together)."""

    draw: str
    """The distribution, as text: ``uniform(0.5, 1.5)``."""

    of: str = "all"
    """Whose elements: ``robot``, ``object`` or ``all``; the sites of the robot are its motion-capture markers."""

    apply: str = "scale"
    """``scale`` multiplies the value by the draw, ``add`` adds the draw. Terms on the same field follow one another."""

    per: str = "element"
    """``element``: an independent draw for each; ``group``: one draw shared by all."""

    names: str = "*"
    """Only elements whose name matches this shell pattern."""

    columns: list[int] = field(default_factory=list)
    """Only these numbers of each element, as 0 for the sliding part of ``geom_friction``; empty for all that matter."""

    least: float | None = None
    """Values below are raised to it."""

    most: float | None = None
    """Values above are lowered to it."""

    unit: str = ""
    """Unit of the draw, for people; of what is added to tendons, it must be the plant's."""

    def __post_init__(self) -> None:
        parse(self.draw)
        check_choice("of", self.of, SELECTIONS)
        check_choice("apply", self.apply, APPLICATIONS)
        check_choice("per", self.per, SHARES)
        if not self.fields:
            raise ValueError("a physics term must name one or more model fields")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least is {self.least}, above most, {self.most}")

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        names = "" if self.names == "*" else f" {self.names}"
        shared = ", all alike" if self.per == "group" else ""
        what = f"{'×' if self.apply == 'scale' else '+'} {', '.join(self.fields)} of {self.of}{names}{shared}"
        return [Drawing("", what, self.draw, self.unit, "episode")]


@dataclass
class SensorTerm:
    """One way in which sensors err.

    ``noise``: the draw is added; to an orientation, as a turn by the drawn angle [rad] about a random axis.
    ``markers``: each motion-capture marker sits off its place by a drawn vector [m]: those on the ``fingertip_pos``, in
    the frames of their links, or those on the hand's ``base``, which moves all that is measured.
    ``dropout``: the last value stays, for ``time`` seconds; the draw is the probability per second that this begins.
    ``occlusion``: while something touches the weightless box around a fingertip marker, the last visible value stays;
    the draw is the probability per step that the marker is hidden then.
    ``refresh``: a new value comes only at this interval [s]. ``delay``: values have this age [s].
    ``injection``: the draw is the probability per step that the block is seen at a random pose.

    Raises:
        ValueError: if a value is not one of those allowed.
    """

    effect: str
    """One of the above."""

    fields: list[str]
    """The observation fields concerned. Dropout, refresh, delay and injection meet them together."""

    draw: str
    """The distribution, as text."""

    every: str = "episode"
    """When noise is drawn anew: ``episode`` or ``step``; of other effects the draw is one of the episode."""

    time: str = "constant(1)"
    """Of dropouts: how long one lasts [s]."""

    size: list[float] = field(default_factory=lambda: [0.006, 0.004, 0.006])
    """Of occlusion: half the edges of the box [m], in the frame of the distal link."""

    unit: str = ""
    """Unit of the draw, for people."""

    def __post_init__(self) -> None:
        parse(self.draw)
        parse(self.time)
        check_choice("effect", self.effect, SENSOR_EFFECTS)
        check_choice("every", self.every, TIMES)
        if not self.fields:
            raise ValueError(f"a sensor term of effect {self.effect} must name one or more observation fields")
        allowed = {
            "markers": ("fingertip_pos", "base"),
            "occlusion": ("fingertip_pos",),
            "injection": ("object_pos", "object_quat"),
        }.get(self.effect, MEASURED)
        for name in self.fields:
            check_choice(f"field of effect {self.effect}", name, allowed)
        if self.effect in ("dropout", "occlusion", "injection"):
            _within(f"the probability of effect {self.effect}", self.draw, 1.0)
        elif self.effect in ("refresh", "delay"):
            _within(f"the time of effect {self.effect}", self.draw)
        _within("how long a dropout lasts", self.time)
        if len(self.size) != 3 or min(self.size) <= 0.0:
            raise ValueError(f"size is {self.size}; three positive half edges are needed")
        if self.every == "step" and self.effect != "noise":
            raise ValueError(f"effect {self.effect} is drawn every episode, not every step")

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        drawings = [Drawing("", f"{self.effect} of {', '.join(self.fields)}", self.draw, self.unit, self.every)]
        if self.effect == "dropout":
            drawings.append(Drawing("time", "how long it lasts", self.time, "s", "dropout"))
        return drawings


@dataclass
class ActionTerm:
    """Noise on unit actions; draws are shares of the action range (2, from -1 to 1).

    Raises:
        ValueError: if a value is not one of those allowed.
    """

    effect: str
    """``offset`` is added; ``gain`` is added to the factor one."""

    draw: str
    """The distribution, as text, drawn for each actuator."""

    every: str = "episode"
    """Drawn anew every ``episode`` or every ``step``."""

    def __post_init__(self) -> None:
        parse(self.draw)
        check_choice("effect", self.effect, ACTION_EFFECTS)
        check_choice("every", self.every, TIMES)

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        return [Drawing("", f"{self.effect} of unit actions, per actuator", self.draw, "of the range", self.every)]


@dataclass
class AdversaryTerm:
    """A network of random weights mixes its actions into the policy's (R19 B.3, DeXtreme)."""

    draw: str
    """The share of its actions, in [0, 1]."""

    def __post_init__(self) -> None:
        _within("the share of the adversary", self.draw, 1.0)

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        return [Drawing("", "share of a random network's actions", self.draw, "", "episode")]


@dataclass
class BacklashTerm:
    """Slack between motors and joints (D18 C.2): after a turn, a motor first takes up the slack.

    Raises:
        ValueError: if a rate belongs to no actuator or is not positive.
    """

    draw: str
    """Factor on every logarithm of a rate."""

    rate: float = 4.25
    """Logarithm of the rate [1/s] at which a full action takes up the slack, of actuators not named below."""

    down: dict[str, float] = field(default_factory=dict)
    """Logarithms of rates towards smaller angles, by actuator."""

    up: dict[str, float] = field(default_factory=dict)
    """Logarithms of rates towards larger angles, by actuator."""

    least: float = 2.0
    """Rates [1/s] are at least this (robogym)."""

    def __post_init__(self) -> None:
        parse(self.draw)
        for name in (*self.down, *self.up):
            check_choice("backlash actuator", name, ACTUATOR_NAMES)
        check_numbers("backlash", self, "least", above=0.0)

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        return [Drawing("", "× logarithm of slack rates, per actuator and direction", self.draw, "", "episode")]


@dataclass
class ForceTerm:
    """Pushes on the block (D18 C.2).

    Raises:
        ValueError: if ``decay`` lies outside [0, 1].
    """

    draw: str
    """The probability, per control step, of a new push."""

    acceleration: str = "normal(0, 1)"
    """The push, as acceleration [m/s²] along each axis."""

    decay: float = 0.99
    """What remains of a push after 80 ms."""

    def __post_init__(self) -> None:
        _within("the probability of a push", self.draw, 1.0)
        parse(self.acceleration)
        check_numbers("force", self, "decay", least=0.0, most=1.0)

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        return [
            Drawing("", "probability of a push on the block", self.draw, "per step", "episode"),
            Drawing("acceleration", "the push, per axis", self.acceleration, "m/s²", "push"),
        ]


@dataclass
class TimingTerm:
    """Sub-steps that last longer, by exponentially distributed times (D18 C.2)."""

    draw: str
    """Mean of the added time [s] per 8 ms."""

    def __post_init__(self) -> None:
        _within("the added time", self.draw)

    def draws(self) -> list[Drawing]:
        """Its distributions."""
        return [Drawing("", "mean of the exponential time added to every 8 ms", self.draw, "s", "episode")]


def _within(what: str, draw: str, most: float = math.inf) -> None:
    """Refuses distributions whose values can lie outside 0 to ``most``."""
    low, high = parse(draw).bounds(MAX_LEARNT)
    if low < 0.0 or high > most:
        raise ValueError(f"{what} is {draw}, which reaches from {low:g} to {high:g}; allowed: 0 to {most:g}")
