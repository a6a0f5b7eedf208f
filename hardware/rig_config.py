"""What the virtual rig is: a plant that is deliberately not the training model, and its imperfect sensors."""

import math
from dataclasses import dataclass, field

from hardware.bus import Endpoints
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
    """Of 100."""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            self._require(name, getattr(self, name) > 0, "it must be positive")
        for name in _NOT_NEGATIVE:
            self._require(name, getattr(self, name) >= 0, "it must not be negative")
        self._require("hold_force", self.hold_force <= 1.0, "allowed: above 0, up to 1")
        self._require("jpeg_quality", self.jpeg_quality <= 100, "allowed: 1 to 100")
        self._require("camera_size", self.camera_size <= MAX_CAMERA_SIZE, f"allowed: 1 to {MAX_CAMERA_SIZE}")
        self._require("command_delay", self.command_delay < self.watchdog, f"it must be below watchdog={self.watchdog}")

    def _require(self, name: str, fulfilled: bool, allowed: str) -> None:
        value = getattr(self, name)
        if not (fulfilled and math.isfinite(value)):
            raise ValueError(f"rig {name} is {value}; {allowed}")


_POSITIVE = (
    *("block_mass", "friction", "gain", "damping", "watchdog", "hold_force"),
    *("hand_rate", "mocap_rate", "dropout_time", "camera_size", "jpeg_quality"),
)
_NOT_NEGATIVE = (
    *("command_delay", "encoder_noise", "velocity_noise", "mocap_latency", "mocap_noise", "mocap_rotation_noise"),
    *("dropouts", "reset_pause", "camera_rate"),
)


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
