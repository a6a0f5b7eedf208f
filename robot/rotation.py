"""Rotation math on batches of unit quaternions, scalar first (wxyz).

Every function takes and returns tensors of shape ``(..., 4)`` (quaternions) or ``(..., 3)`` (vectors), on any device
and in any floating dtype, and broadcasts over the leading dimensions.
"""

import math
from functools import cache

import torch
from torch import Tensor


def identity(n: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """The identity rotation, ``(n, 4)``."""
    quat = torch.zeros(n, 4, device=device, dtype=dtype)
    quat[:, 0] = 1.0
    return quat


def normalize(quat: Tensor) -> Tensor:
    """The quaternion scaled to unit length."""
    return quat / quat.norm(dim=-1, keepdim=True)


def canonical(quat: Tensor) -> Tensor:
    """Of the two quaternions of one rotation, the one with a non-negative scalar part."""
    return torch.where(quat[..., :1] < 0.0, -quat, quat)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """The Hamilton product a ⊗ b: rotates by b first, then by a."""
    # four operations instead of 29 by components: on a GPU each starts a kernel
    sign, other = _product(a.device)
    return (a.unsqueeze(-1) * sign * b.index_select(-1, other).unflatten(-1, (4, 4))).sum(-2)


@cache
def _product(device: torch.device) -> tuple[Tensor, Tensor]:
    """Number i of the first factor is in number k of a product: with which sign, and which number of the second."""
    sign = torch.tensor([[1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    return sign.to(device), torch.tensor([i ^ k for i in range(4) for k in range(4)], device=device)


def conjugate(quat: Tensor) -> Tensor:
    """The inverse rotation of a unit quaternion."""
    return quat * _product(quat.device)[0][:, 0]


def rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """The vector turned by the quaternion."""
    w, xyz = quat[..., :1], quat[..., 1:]
    xyz, vector = torch.broadcast_tensors(xyz, vector)
    t = 2.0 * torch.linalg.cross(xyz, vector)
    return vector + w * t + torch.linalg.cross(xyz, t)


def from_axis_angle(axis: Tensor, angle: Tensor) -> Tensor:
    """The rotation by ``angle`` [rad], ``(...)``, about ``axis``, ``(..., 3)``, of any non-zero length."""
    axis = axis / axis.norm(dim=-1, keepdim=True)
    half = 0.5 * angle.unsqueeze(-1)
    return torch.cat((half.cos(), axis * half.sin()), dim=-1)


def from_rotation_vector(vector: Tensor) -> Tensor:
    """The exponential map: rotation by ``|vector|`` [rad] about ``vector``; exact through zero."""
    angle = vector.norm(dim=-1, keepdim=True)
    # sinc(x / pi) = sin(x) / x, finite at zero
    half = 0.5 * angle
    return torch.cat((half.cos(), vector * (0.5 * torch.sinc(half / math.pi))), dim=-1)


def to_rotation_vector(quat: Tensor) -> Tensor:
    """The logarithm map: axis times angle [rad], of length at most pi."""
    quat = canonical(quat)
    sine = quat[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, quat[..., :1])
    small = sine < 1e-7
    scale = torch.where(small, torch.full_like(sine, 2.0), angle / torch.where(small, torch.ones_like(sine), sine))
    return quat[..., 1:] * scale


def to_matrix(quat: Tensor) -> Tensor:
    """The rotation matrix, ``(..., 3, 3)``, whose columns are the turned base vectors."""
    columns = [rotate(quat, basis.expand(*quat.shape[:-1], 3)) for basis in torch.eye(3).to(quat)]
    return torch.stack(columns, dim=-1)


def from_matrix(matrix: Tensor) -> Tensor:
    """The canonical quaternion of a rotation matrix ``(..., 3, 3)``.

    Of the four equivalent formulas the one with the largest divisor is used (Shepperd 1978), so that no rotation is
    ill-conditioned.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    candidates = torch.stack(
        (
            torch.stack((1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01), dim=-1),
            torch.stack((m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20), dim=-1),
            torch.stack((m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m21 + m12), dim=-1),
            torch.stack((m10 - m01, m02 + m20, m21 + m12, 1 - m00 - m11 + m22), dim=-1),
        ),
        dim=-2,
    )
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    chosen = candidates.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    return canonical(normalize(chosen))


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The angle [rad] in [0, pi] of the rotation that takes ``b`` to ``a``, ``(...)``."""
    relative = multiply(a, conjugate(b))
    # atan2 keeps full precision near zero and near pi, where acos of the scalar part does not
    return 2.0 * torch.atan2(relative[..., 1:].norm(dim=-1), relative[..., 0].abs())


def random_uniform(n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """``n`` rotations drawn uniformly over SO(3), ``(n, 4)``, on the generator's device."""
    return normalize(torch.randn(n, 4, generator=generator, device=generator.device, dtype=dtype))
