"""What the virtual rig is: a plant that is deliberately not the training model, and its imperfect sensors."""

from dataclasses import dataclass, field

from hardware.bus import Endpoints
from robot.checks import check_numbers
from robot.plant import SHADOW, PlantConfig

MAX_CAMERA_SIZE = 960
"""The smaller side of the scene's off-screen buffer [pixels]."""


@dataclass(frozen=True)
class RigConfig:
    """The virtual rig.

    Raises:
        ValueError: if a value is out of its range.
    """

    seed: int = 0
    """Decides noise, dropouts and where the mocap system's world frame lies."""
    block_mass: float = 1.15
    """Factor on the block's mass and inertia."""
    friction: float = 0.85
    """Factor on all sliding friction."""
    gain: float = 0.9
    """Factor on the actuators' position gains."""
    damping: float = 1.2
    """Factor on the joints' damping."""
    command_delay: float = 0.012
    """Seconds from the sending of a command to its effect."""
    watchdog: float = 0.25
    """Age of the last command [s] at which the hand holds."""
    hold_force: float = 0.5
    """Share of the full force with which it holds."""
    hand_rate: float = 125.0
    """Hand states per second (Shadow's ``/joint_states``)."""
    encoder_noise: float = 0.005
    """Standard deviation of a joint angle [rad]."""
    velocity_noise: float = 0.05
    """Standard deviation of a joint velocity [rad/s]."""
    mocap_rate: float = 120.0
    """Mocap frames per second."""
    mocap_latency: float = 0.008
    """Seconds from the exposure of a mocap frame to its arrival."""
    mocap_noise: float = 0.0003
    """Standard deviation of a marker's or the block's position per axis [m]."""
    mocap_rotation_noise: float = 0.00873
    """Standard deviation of the block's orientation [rad]: half a degree."""
    dropouts: float = 0.05
    """Times per second that a marker, or the block, is lost."""
    dropout_time: float = 0.05
    """Mean length of such a loss [s]."""
    reset_pause: float = 1.0
    """Seconds from the drop of the block until it lies on the palm again."""
    camera_rate: float = 10.0
    """Images per second of each camera; 0: no cameras."""
    camera_size: int = 200
    """Width and height of an image [pixels]."""
    jpeg_quality: int = 90
    """JPEG quality, 1 to 100."""

    def __post_init__(self) -> None:
        check_numbers("rig", self, "block_mass", "friction", "gain", "damping", "watchdog", above=0.0)
        check_numbers("rig", self, "hand_rate", "mocap_rate", "dropout_time", above=0.0)
        check_numbers(
            "rig", self, "encoder_noise", "velocity_noise", "dropouts", "reset_pause", "camera_rate", least=0.0
        )
        check_numbers("rig", self, "mocap_latency", "mocap_noise", "mocap_rotation_noise", least=0.0)
        check_numbers("rig", self, "hold_force", above=0.0, most=1.0)
        check_numbers("rig", self, "jpeg_quality", least=1, most=100)
        check_numbers("rig", self, "camera_size", least=1, most=MAX_CAMERA_SIZE)
        # an order that came later than that would never be in force
        check_numbers("rig", self, "command_delay", least=0.0, below=self.watchdog)


@dataclass(frozen=True)
class RigProcess:
    """The virtual rig at its place on the bridge."""

    endpoints: Endpoints = field(default_factory=Endpoints)
    """Where it serves."""
    rig: RigConfig = field(default_factory=RigConfig)
    """What it is."""
    listener_timeout: float = 0.0
    """Seconds to wait for a listener to each stream before the first message, so that none is lost; 0: not at all."""
    plant: PlantConfig = SHADOW
    """The model of its hand."""
