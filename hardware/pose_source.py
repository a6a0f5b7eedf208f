"""Where the block's pose comes from: the motion-capture system or the cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from hardware.messages import MocapFrame
from robot.frames import Pose
from vision.estimator import Image, ObjectPose, PoseEstimator, load_estimator

POSE_SOURCES = ("mocap", "vision")


class PoseSource(Protocol):
    """Gives the block's pose in the base frame."""

    cameras: tuple[str, ...]
    """The camera streams it needs."""

    def object_pose(self, T_base_mocap: Pose, frame: MocapFrame, images: Sequence[Image]) -> ObjectPose | None:
        """The pose of the block, or none if it is not seen."""
        ...


class MocapPose:
    """The rigid body that the motion-capture system solved."""

    cameras = ()

    def object_pose(self, T_base_mocap: Pose, frame: MocapFrame, images: Sequence[Image]) -> ObjectPose | None:
        """See ``PoseSource``."""
        if frame.block is None:
            return None
        pos = torch.tensor(frame.block.pos, dtype=torch.float64)
        quat = torch.tensor(frame.block.quat, dtype=torch.float64)
        return ObjectPose(T_base_mocap @ Pose(pos, quat), frame.capture_ns)


class VisionPose:
    """The pose network's estimate."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self.cameras = estimator.cameras
        self._estimator = estimator

    def object_pose(self, T_base_mocap: Pose, frame: MocapFrame, images: Sequence[Image]) -> ObjectPose | None:
        """See ``PoseSource``."""
        return self._estimator.estimate(images)


def make_pose_source(kind: str, vision_artefact: str = "") -> PoseSource:
    """The source that ``pose=`` names.

    Raises:
        ValueError: if the name is unknown.
        VisionUnavailable: if ``vision`` has no artefact to run.
    """
    if kind == "mocap":
        if vision_artefact:
            raise ValueError(f"vision is {vision_artefact}; only pose=vision has one")
        return MocapPose()
    if kind == "vision":
        return VisionPose(load_estimator(Path(vision_artefact)))
    raise ValueError(f"pose is {kind!r}; allowed: {', '.join(POSE_SOURCES)}")
