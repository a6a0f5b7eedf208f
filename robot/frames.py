"""Rigid transforms between named frames.

``Pose`` named ``T_a_b`` maps coordinates of frame b into frame a. Frames in inhand: ``world`` (the simulator's or the
motion-capture system's), ``base`` (the hand's forearm, in which every observation is expressed) and ``object``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robot import rotation


@dataclass(frozen=True)
class Pose:
    """A batch of rigid transforms: ``pos`` (..., 3) in metres and ``quat`` (..., 4), wxyz."""

    pos: Tensor
    quat: Tensor

    def apply(self, point: Tensor) -> Tensor:
        """``T_a_b.apply(p_b)`` is the point in frame a; ``point`` is (..., 3)."""
        return self.pos + rotation.rotate(self.quat, point)

    def inverse(self) -> "Pose":
        """``T_a_b.inverse()`` is ``T_b_a``."""
        quat = rotation.conjugate(self.quat)
        return Pose(-rotation.rotate(quat, self.pos), quat)

    def __matmul__(self, other: "Pose") -> "Pose":
        """``T_a_b @ T_b_c`` is ``T_a_c``."""
        return Pose(self.apply(other.pos), rotation.multiply(self.quat, other.quat))


def fit_points(points_b: Tensor, points_a: Tensor) -> tuple[Pose, Tensor]:
    """The transform ``T_a_b`` that best maps points of frame b onto the same points seen in frame a (Kabsch 1976).

    Args:
        points_b: the points as the model knows them, (m, 3) [m].
        points_a: the same points as measured, (m, 3) [m]; rows with NaN (markers not seen) are left out.

    Returns:
        ``T_a_b`` (unbatched) and the root-mean-square residual [m].

    Raises:
        ValueError: if fewer than three points are seen, or those seen lie on one line.
    """
    seen = torch.isfinite(points_a).all(dim=-1)
    if int(seen.sum()) < 3:
        raise ValueError(f"a frame needs 3 or more visible markers; {int(seen.sum())} of {len(seen)} are visible")
    b, a = points_b[seen].double(), points_a[seen].double()
    mean_b, mean_a = b.mean(0), a.mean(0)
    u, spread, vt = torch.linalg.svd((b - mean_b).T @ (a - mean_a))
    if spread[1] < 1e-9:
        raise ValueError("a frame needs markers that do not lie on one line")
    flip = torch.ones(3, dtype=torch.float64)
    flip[2] = torch.sign(torch.linalg.det(vt.T @ u.T))  # a reflection is no rotation
    quat = rotation.from_matrix(vt.T @ torch.diag(flip) @ u.T)
    pose = Pose(mean_a - rotation.rotate(quat, mean_b), quat)
    residual = (pose.apply(b) - a).square().sum(-1).mean().sqrt()
    return Pose(pose.pos.to(points_a), pose.quat.to(points_a)), residual.to(points_a)
