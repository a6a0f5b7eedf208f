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
    """The transforms ``T_a_b`` that best map points of frame b onto the same points seen in frame a (Kabsch 1976).

    Args:
        points_b: the points as the model knows them, (m, 3) [m].
        points_a: the same points as measured, (n, m, 3) [m]; points with NaN (markers not seen) are left out.

    Returns:
        ``T_a_b`` for each of the n measurements and the root-mean-square residuals (n,) [m].

    Raises:
        ValueError: if fewer than three points of a measurement are seen, or those seen lie on one line.
    """
    seen = torch.isfinite(points_a).all(dim=-1)
    if int(seen.sum(-1).min()) < 3:
        raise ValueError(f"a frame needs 3 or more visible markers; {int(seen.sum(-1).min())} of {seen.shape[-1]} are")
    weight = seen.double().unsqueeze(-1)
    a = torch.where(seen.unsqueeze(-1), points_a, 0.0).double()
    b = points_b.double().expand_as(a)
    count = weight.sum(-2)
    mean_a, mean_b = (a * weight).sum(-2) / count, (b * weight).sum(-2) / count
    pose, spread = _fit(b, a, mean_b, mean_a, weight)
    if float(spread[..., 1].min()) < 1e-9:
        raise ValueError("a frame needs markers that do not lie on one line")
    error = (rotation.rotate(pose.quat.unsqueeze(-2), b) + pose.pos.unsqueeze(-2) - a) * weight
    residual = (error.square().sum((-1, -2)) / count.squeeze(-1)).sqrt()
    return Pose(pose.pos.to(points_a), pose.quat.to(points_a)), residual.to(points_a)


def best_fit(points_b: Tensor, points_a: Tensor) -> Pose:
    """``T_a_b`` of ``fit_points`` where every point is known, and nothing has to be looked at on the host."""
    a, b = points_a.double(), points_b.double()
    pose, _ = _fit(b, a, b.mean(-2), a.mean(-2))
    return Pose(pose.pos.to(points_a), pose.quat.to(points_a))


def _fit(b: Tensor, a: Tensor, mean_b: Tensor, mean_a: Tensor, weight: Tensor | float = 1.0) -> tuple[Pose, Tensor]:
    moment = (b - mean_b.unsqueeze(-2)).mT @ ((a - mean_a.unsqueeze(-2)) * weight)
    u, spread, vt = torch.linalg.svd(moment)
    flip = torch.ones_like(spread)
    flip[..., 2] = torch.linalg.det(vt.mT @ u.mT).sign()  # a reflection is no rotation
    quat = rotation.from_matrix(vt.mT @ (flip.unsqueeze(-1) * u.mT))
    return Pose(mean_a - rotation.rotate(quat, mean_b), quat), spread
