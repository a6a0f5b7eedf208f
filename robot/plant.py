"""Plants: which model of the hand is simulated, and how a model that we did not write maps to our names and angles.

Data only; ``sim.plant`` puts the mapped hand into our scene. Values lie in ``inhand/conf/plant/``.
"""

from dataclasses import dataclass, field

from robot import hand
from robot.checks import check_numbers

BASE = "rh_forearm"
TENDON_UNITS = ("rad", "m")
FRAMES = (BASE, *(f"rh_{finger.lower()}distal" for finger in hand.FINGERS))
"""The frames that a mapping must place: those that carry our markers."""


# Entries of dictionaries are not frozen: OmegaConf could not fill them in.
@dataclass
class JointMap:
    """One of our joints in a foreign model: our angle is ``sign`` × theirs + ``offset``.

    Raises:
        ValueError: if the sign is neither 1 nor -1.
    """

    joint: str
    """Their name of it."""
    sign: float = 1.0
    """-1 if it turns the other way."""
    offset: float = 0.0
    """Our angle where theirs is zero [rad]."""

    def __post_init__(self) -> None:
        if self.sign not in (1.0, -1.0):
            raise ValueError(f"the sign of joint {self.joint!r} is {self.sign}; allowed: 1, -1")


@dataclass
class ActuatorMap:
    """One of our actuators in a foreign model.

    Raises:
        ValueError: if the scale is not positive.
    """

    actuator: str
    """Their name of it, a position servo."""
    scale: float = 1.0
    """Its target per radian of ours, both counted by our angles; other than 1 where it drives one joint of a coupled
    pair and ours the sum of both."""

    def __post_init__(self) -> None:
        check_numbers(f"actuator {self.actuator!r}:", self, "scale", above=0.0)


@dataclass
class FrameMap:
    """One of our frames in a foreign model: where it lies in one of their bodies."""

    body: str
    """Their name of the body."""
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Our origin [m]."""
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Our axes, wxyz."""


@dataclass(frozen=True)
class PlantConfig:
    """A model of the hand; without a ``file``, our own.

    Raises:
        ValueError: if it lies nowhere, its mapping leaves out a joint, actuator or frame or has one too many, or its
            tendons have no such unit.
    """

    name: str = "shadow"
    """Its name in reports."""
    file: str = ""
    """Its MJCF, within the package or the directory."""
    package: str = ""
    """Python package that carries it, or, as Menagerie's, knows where it is."""
    install: str = ""
    """What to give to ``pip install`` for that package."""
    directory: str | None = None
    """A local copy, used instead of the package."""
    joints: dict[str, JointMap] = field(default_factory=dict)
    """Each of our 24 joints."""
    actuators: dict[str, ActuatorMap] = field(default_factory=dict)
    """Each of our 20 actuators."""
    frames: dict[str, FrameMap] = field(default_factory=dict)
    """The base frame and the frames of the distal phalanges; the hand is cut off at the body of the base frame."""
    tendon_unit: str = "rad"
    """What its tendons are measured in, ``rad`` or ``m``: where randomization adds to them, it must be in the same."""

    def __post_init__(self) -> None:
        if self.tendon_unit not in TENDON_UNITS:
            raise ValueError(f"the tendon_unit of plant {self.name} is {self.tendon_unit!r}; allowed: rad, m")
        if not self.foreign:
            return
        if not self.package and self.directory is None:
            raise ValueError(f"plant {self.name} has a file, but neither a package nor a directory where it lies")
        for what, known in (
            ("joints", hand.JOINT_NAMES),
            ("actuators", hand.ACTUATOR_NAMES),
            ("frames", FRAMES),
        ):
            mapped = getattr(self, what)
            if missing := [name for name in known if name not in mapped]:
                raise ValueError(f"plant {self.name} maps no {', '.join(missing)} in its {what}")
            if excess := [name for name in mapped if name not in known]:
                raise ValueError(f"plant {self.name} maps {', '.join(excess)}, which are none of our {what}")

    @property
    def foreign(self) -> bool:
        """Whether it is not our own model."""
        return bool(self.file)


SHADOW = PlantConfig()
"""Our own model."""
