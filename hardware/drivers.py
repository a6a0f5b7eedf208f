"""The ports to the devices: a hand, a motion-capture system, cameras.

The virtual rig, a real device and a flight log stand behind the same ports: a device is a process that publishes its
streams on the bridge (``Bus…``), a log hands out what was received (``hardware.replay``).
"""

from dataclasses import dataclass, fields
from typing import Protocol, cast

import cv2
import numpy as np

from hardware.bus import Endpoints, Publisher, StaleStream, Subscriber
from hardware.messages import CameraFrame, HandState, JointCommand, MocapFrame
from robot.checks import check_numbers
from vision.estimator import Image


class HandDriver(Protocol):
    """Joint states in, actuator targets out; the process at the hand itself has to run a ``Watchdog``."""

    def state(self, max_age: float) -> HandState:
        """The newest state.

        Raises:
            StaleStream: if it is older than ``max_age`` seconds.
        """
        ...

    def send(self, command: JointCommand) -> None:
        """Hands over a command."""
        ...


class MocapDriver(Protocol):
    """Marker positions in."""

    def frame(self, max_age: float) -> MocapFrame:
        """The newest frame.

        Raises:
            StaleStream: if it is older than ``max_age`` seconds.
        """
        ...


class CameraDriver(Protocol):
    """Images in."""

    def image(self, camera: str, max_age: float) -> tuple[CameraFrame, Image]:
        """The newest image of a camera, with the message that brought it.

        Raises:
            StaleStream: if it is older than ``max_age`` seconds.
        """
        ...


@dataclass(frozen=True)
class Devices:
    """The ports of one rig."""

    hand: HandDriver
    mocap: MocapDriver
    cameras: CameraDriver


@dataclass(frozen=True)
class MaxAge:
    """The oldest messages to act on [s].

    Raises:
        ValueError: if a value is not positive and finite.
    """

    hand: float = 0.05
    """Oldest state of the hand [s]."""
    mocap: float = 0.1
    """Oldest motion-capture frame [s]."""
    camera: float = 0.3
    """Oldest image of each camera [s]."""
    command: float = 0.25
    """Oldest order that the hand may have carried out last [s]."""

    def __post_init__(self) -> None:
        check_numbers("max_age", self, *(each.name for each in fields(self)), above=0.0)


@dataclass(frozen=True)
class Inputs:
    """What one tick works on."""

    hand: HandState
    frame: MocapFrame
    images: tuple[Image, ...]
    """One per camera, in the order in which the pose source names them."""
    camera_seqs: tuple[int, ...]
    """Their sequence numbers."""

    @property
    def oldest_ns(self) -> int:
        """When the oldest of them was captured."""
        return min(self.hand.capture_ns, self.frame.capture_ns, *(image.capture_ns for image in self.images))

    @classmethod
    def read(cls, devices: Devices, cameras: tuple[str, ...], max_age: MaxAge) -> "Inputs":
        """The newest of every device.

        Raises:
            StaleStream: if one of them is too old.
        """
        hand = devices.hand.state(max_age.hand)
        frame = devices.mocap.frame(max_age.mocap)
        shots = [devices.cameras.image(camera, max_age.camera) for camera in cameras]
        return cls(hand, frame, tuple(image for _, image in shots), tuple(message.seq for message, _ in shots))


class BusHand:
    """A hand whose driver process is on the bridge."""

    def __init__(self, endpoints: Endpoints, commands: Publisher) -> None:
        self._subscriber = Subscriber([endpoints.hand], ["hand"])
        self._commands = commands

    def state(self, max_age: float) -> HandState:
        """See ``HandDriver``."""
        return cast(HandState, self._subscriber.latest("hand", max_age).message)

    def send(self, command: JointCommand) -> None:
        """See ``HandDriver``."""
        self._commands.send("command", command)


class BusMocap:
    """A motion-capture system whose driver process is on the bridge."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._subscriber = Subscriber([endpoints.mocap], ["mocap"])

    def frame(self, max_age: float) -> MocapFrame:
        """See ``MocapDriver``."""
        return cast(MocapFrame, self._subscriber.latest("mocap", max_age).message)


class BusCameras:
    """Cameras whose driver process is on the bridge."""

    def __init__(self, endpoints: Endpoints, cameras: tuple[str, ...]) -> None:
        # no short queue: it keeps what came first, the rest waits at the sender, and who fell behind stays behind
        self._subscriber = Subscriber([endpoints.cameras], list(cameras))

    def image(self, camera: str, max_age: float) -> tuple[CameraFrame, Image]:
        """See ``CameraDriver``."""
        received = self._subscriber.latest(camera, max_age)
        return cast(CameraFrame, received.message), decode_image(camera, received.image, received.message.capture_ns)


def decode_image(camera: str, encoded: bytes | None, capture_ns: int) -> Image:
    """The pixels of a JPEG image.

    Raises:
        StaleStream: if there are no pixels in it.
    """
    pixels = cv2.imdecode(np.frombuffer(encoded or b"\0", np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise StaleStream(f"the newest image of {camera} cannot be decoded")
    return Image(camera, pixels.astype(np.uint8, copy=False), capture_ns)
