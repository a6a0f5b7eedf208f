"""Rotations and frames against SciPy."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.transform import Rotation

from robot import rotation
from robot.frames import Pose, fit_points

components = st.floats(-1, 1, allow_nan=False, width=64)
quats = (
    npst.arrays(np.float64, (5, 4), elements=components)
    .filter(lambda q: (np.linalg.norm(q, axis=1) > 0.1).all())
    .map(lambda q: q / np.linalg.norm(q, axis=1, keepdims=True))
)
vectors = npst.arrays(np.float64, (5, 3), elements=st.floats(-3, 3, allow_nan=False))


def scipy(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat, scalar_first=True)


@given(quats, quats, vectors)
def test_products_and_turned_vectors(a, b, v):
    qa, qb = torch.from_numpy(a), torch.from_numpy(b)
    np.testing.assert_allclose(rotation.rotate(qa, torch.from_numpy(v)), scipy(a).apply(v), atol=1e-12)
    product = scipy(rotation.multiply(qa, qb).numpy())
    assert ((scipy(a) * scipy(b)) * product.inv()).magnitude().max() < 1e-9
    np.testing.assert_allclose(
        rotation.rotate(rotation.conjugate(qa), torch.from_numpy(v)), scipy(a).inv().apply(v), atol=1e-12
    )


@given(quats, quats)
def test_distance_is_the_angle_between(a, b):
    expected = (scipy(a) * scipy(b).inv()).magnitude()
    np.testing.assert_allclose(rotation.distance(torch.from_numpy(a), torch.from_numpy(b)), expected, atol=1e-7)


@given(quats)
def test_matrices_and_rotation_vectors(a):
    quat = torch.from_numpy(a)
    np.testing.assert_allclose(rotation.to_matrix(quat), scipy(a).as_matrix(), atol=1e-12)
    back = rotation.from_matrix(torch.from_numpy(scipy(a).as_matrix()))
    assert float(rotation.distance(back, quat).max()) < 1e-7
    assert float(back[:, 0].min()) >= 0
    vector = rotation.to_rotation_vector(quat)
    assert float(rotation.distance(rotation.from_rotation_vector(vector), quat).max()) < 1e-7
    assert float(vector.norm(dim=-1).max()) <= np.pi + 1e-9


@given(vectors)
def test_exponential_map(v):
    ours = rotation.from_rotation_vector(torch.from_numpy(v)).numpy()
    assert (scipy(ours) * Rotation.from_rotvec(v).inv()).magnitude().max() < 1e-9


def test_uniform_rotations_have_the_angle_density_of_so3():
    from scipy.stats import kstest

    generator = torch.Generator().manual_seed(3)
    angles = rotation.distance(rotation.random_uniform(20_000, generator), rotation.identity(1))
    # Haar measure: density (1 - cos a) / pi on [0, pi]
    assert kstest(angles.numpy(), lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.001


@given(quats, vectors, vectors)
def test_poses_compose_and_invert(a, pos, point):
    T = Pose(torch.from_numpy(pos), torch.from_numpy(a))
    p = torch.from_numpy(point)
    np.testing.assert_allclose(T.inverse().apply(T.apply(p)), p, atol=1e-9)
    np.testing.assert_allclose((T @ T).apply(p), T.apply(T.apply(p)), atol=1e-9)


@given(quats, vectors, st.integers(0, 4))
def test_fit_points_agrees_with_scipy_and_leaves_out_what_is_not_seen(a, pos, hidden):
    model = np.random.default_rng(0).normal(size=(5, 3))
    rng = np.random.default_rng(1)
    seen = scipy(a[:1])[0].apply(model) + pos[0] + rng.normal(scale=0.01, size=model.shape)
    kept = np.delete(np.arange(5), hidden)
    centre_a, centre_b = seen[kept].mean(0), model[kept].mean(0)
    expected = Rotation.align_vectors(seen[kept] - centre_a, model[kept] - centre_b)[0]
    seen[hidden] = np.nan
    pose, residual = fit_points(torch.from_numpy(model), torch.from_numpy(seen)[None])
    assert (scipy(pose.quat.numpy())[0] * expected.inv()).magnitude() < 1e-6
    np.testing.assert_allclose(pose.pos[0], centre_a - expected.apply(centre_b), atol=1e-9)
    misfit = expected.apply(model[kept] - centre_b) - (seen[kept] - centre_a)
    np.testing.assert_allclose(residual[0], np.sqrt((misfit**2).sum(1).mean()), atol=1e-9)
