"""What a randomization preset says: declarative terms, the values of which live in ``inhand/conf/randomization/``."""

from dataclasses import dataclass, field

from randomization import distribution
from robot.observation import FIELDS

SELECTIONS = ("robot", "object", "all")
APPLICATIONS = ("scale", "add")
DRAWS_PER = ("element", "group")
MEASURED = tuple(name for name in FIELDS if name not in ("goal_quat", "goal_rel_quat", "joint_target"))
"""Fields that sensors measure; the others are known exactly, or follow from these."""


@dataclass
class PhysicsTerm:
    """One uncertain physical quantity, drawn for each world at each reset.

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
    """``scale`` multiplies the nominal value by the draw, ``add`` adds the draw."""

    per: str = "element"
    """``element``: an independent draw for each; ``group``: one draw shared by all."""

    names: str = "*"
    """Only elements whose name matches this shell pattern."""

    unit: str = ""
    """Unit of the draw, for people."""

    def __post_init__(self) -> None:
        distribution.parse(self.draw)
        _check("of", self.of, SELECTIONS)
        _check("apply", self.apply, APPLICATIONS)
        _check("per", self.per, DRAWS_PER)
        if not self.fields:
            raise ValueError("a physics term must name one or more model fields")


@dataclass
class SensorTerm:
    """Gaussian noise on one observation field: an offset kept for an episode, and fresh noise at every step.

    Standard deviations have the field's unit; for orientations they are angles [rad] about random axes.
    """

    correlated: float = 0.0
    uncorrelated: float = 0.0

    def __post_init__(self) -> None:
        if self.correlated < 0.0 or self.uncorrelated < 0.0:
            raise ValueError(f"noise must not be negative: {self}")


@dataclass
class ActionTerm:
    """Gaussian noise on unit actions; standard deviations are shares of the action range (2, from -1 to 1)."""

    additive: float = 0.0
    """Fresh at every step."""

    correlated: float = 0.0
    """An offset kept for an episode."""

    multiplicative: float = 0.0
    """A gain error kept for an episode."""

    def __post_init__(self) -> None:
        if min(self.additive, self.correlated, self.multiplicative) < 0.0:
            raise ValueError(f"noise must not be negative: {self}")


@dataclass
class RandomizationConfig:
    """A preset.

    Raises:
        ValueError: if sensor noise names an unknown observation field.
    """

    name: str = "none"
    physics: dict[str, PhysicsTerm] = field(default_factory=dict)
    sensors: dict[str, SensorTerm] = field(default_factory=dict)
    """Noise by observation field."""
    fingertip_marker_noise: float = 0.0
    """Standard deviation [m] of where the markers of the fingertips really sit, in the frames of the distal links."""
    base_marker_noise: float = 0.0
    """Standard deviation [m] of where the markers of the hand base really sit; it moves the measured base frame."""
    action: ActionTerm = field(default_factory=ActionTerm)

    def __post_init__(self) -> None:
        for name in self.sensors:
            _check("sensor noise field", name, MEASURED)
        for name in ("fingertip_marker_noise", "base_marker_noise"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; allowed: {', '.join(allowed)}")
