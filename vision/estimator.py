"""The pose estimator: images of all cameras in, the block's pose out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robot.frames import Pose


class VisionUnavailable(RuntimeError):
    """There is no pose estimator to run."""


@dataclass(frozen=True)
class Image:
    """One camera image."""

    camera: str
    pixels: npt.NDArray[np.uint8]
    """(height, width, 3), red first."""
    capture_ns: int
    """Middle of the exposure, on the bridge clock."""


@dataclass(frozen=True)
class ObjectPose:
    """Where the block was."""

    T_base_object: Pose
    """Unbatched, in the hand's base frame."""
    capture_ns: int
    """When it was there, on the bridge clock."""


class PoseEstimator(Protocol):
    """A trained pose network behind its artefact."""

    cameras: tuple[str, ...]
    """The cameras it needs, in order."""

    def estimate(self, images: Sequence[Image]) -> ObjectPose:
        """The pose of the block seen by ``images``, one per camera in ``cameras``' order."""
        ...


def load_estimator(artefact: Path) -> PoseEstimator:
    """The estimator of a vision artefact.

    Raises:
        VisionUnavailable: always, as long as no vision artefact can be trained.
    """
    raise VisionUnavailable(
        f"pose=vision is not possible yet: the pose network, of which vision={artefact} would be an artefact, "
        "is not part of inhand. Use pose=mocap."
    )
