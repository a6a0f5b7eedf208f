"""From the messages of the devices to a measurement that the observation contract understands."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hardware.clock import NS
from hardware.messages import HandState, MocapFrame
from hardware.pose_source import PoseSource
from robot import rotation
from robot.checks import check_numbers
from robot.frames import Pose, fit_points
from robot.hand import BASE_MARKER_POS, BASE_MARKERS, FINGERTIP_MARKERS
from robot.observation import ObservationContract
from vision.estimator import Image, ObjectPose

MEASURED = ("fingertip_pos", "object_pos", "object_quat", "goal_quat", "joint_pos", "joint_vel", "joint_target")
"""The observation fields that a rig can measure (the goal is known)."""


class MeasurementRefused(RuntimeError):
    """The devices did not see enough to act on."""


@dataclass(frozen=True)
class MeasurementConfig:
    """How much may be missing before the hand has to stop.

    Raises:
        ValueError: if a value is negative.
    """

    keep: float = 0.2
    """Seconds for which the last known place of something hidden is used."""
    max_residual: float = 0.005
    """Largest misfit of the base markers [m]; more means that one was bumped or mislabelled."""

    def __post_init__(self) -> None:
        check_numbers("measurement", self, "keep", "max_residual", least=0.0)


@dataclass(frozen=True)
class Measured:
    """What the devices say, in the base frame."""

    fields: dict[str, Tensor]
    """All of ``MEASURED`` but the goal, float32, each with a batch of one."""
    object_pose: ObjectPose
    residual: float
    """Root-mean-square misfit of the base markers [m]."""


@dataclass
class Measurer:
    """Turns hand states and mocap frames into measurements; remembers what was seen last."""

    config: MeasurementConfig
    source: PoseSource
    _base: tuple[Pose, float, int] | None = None
    _block: ObjectPose | None = None
    _tips: dict[str, tuple[Tensor, int]] = field(default_factory=dict)

    def measure(self, hand: HandState, frame: MocapFrame, images: Sequence[Image] = ()) -> Measured:
        """The measurement at a mocap frame.

        Raises:
            MeasurementRefused: if the base, the block or a fingertip has been hidden for too long, or the base markers
                do not lie as they should.
        """
        T_base_mocap, residual = self._locate_base(frame)
        self._block = self.source.object_pose(T_base_mocap, frame, images) or self._block
        if self._block is None or self._too_old(self._block.capture_ns, frame):
            raise MeasurementRefused(f"the block has not been seen for {self.config.keep} s")
        pose = self._block.T_base_object
        fields = {
            "fingertip_pos": torch.stack([self._locate_tip(name, T_base_mocap, frame) for name in FINGERTIP_MARKERS]),
            "object_pos": pose.pos,
            "object_quat": rotation.normalize(pose.quat),
            "joint_pos": torch.tensor(hand.joint_pos, dtype=torch.float64),
            "joint_vel": torch.tensor(hand.joint_vel, dtype=torch.float64),
            "joint_target": torch.tensor(hand.target, dtype=torch.float64),
        }
        return Measured({name: value.float().unsqueeze(0) for name, value in fields.items()}, self._block, residual)

    def _locate_base(self, frame: MocapFrame) -> tuple[Pose, float]:
        """``T_base_mocap`` and the misfit, of this frame or kept from one not too old."""
        model = torch.tensor(BASE_MARKER_POS, dtype=torch.float64)
        hidden = (float("nan"),) * 3
        seen = torch.tensor([frame.markers.get(name, hidden) for name in BASE_MARKERS], dtype=torch.float64)
        try:
            T_mocap_base, residual = fit_points(model, seen)
        except ValueError as error:
            if self._base is None or self._too_old(self._base[2], frame):
                raise MeasurementRefused(f"the base markers: {error}") from error
            return self._base[:2]
        misfit = float(residual)
        if misfit > self.config.max_residual:
            raise MeasurementRefused(
                f"the base markers misfit by {misfit * 1e3:.1f} mm, allowed: {self.config.max_residual * 1e3:.1f} mm"
            )
        self._base = (T_mocap_base.inverse(), misfit, frame.capture_ns)
        return self._base[:2]

    def _locate_tip(self, name: str, T_base_mocap: Pose, frame: MocapFrame) -> Tensor:
        if name in frame.markers:
            place = T_base_mocap.apply(torch.tensor(frame.markers[name], dtype=torch.float64))
            self._tips[name] = (place, frame.capture_ns)
        if name not in self._tips or self._too_old(self._tips[name][1], frame):
            raise MeasurementRefused(f"marker {name} has not been seen for {self.config.keep} s")
        return self._tips[name][0]

    def _too_old(self, capture_ns: int, frame: MocapFrame) -> bool:
        return frame.capture_ns - capture_ns > self.config.keep * NS


def require_measurable(contract: ObservationContract) -> None:
    """Refuses a policy that reads what no rig can measure.

    Raises:
        ValueError: naming the fields.
    """
    if missing := [name for name in contract.measured if name not in MEASURED]:
        raise ValueError(f"the policy reads {', '.join(missing)}; a rig measures only {', '.join(MEASURED)}")
