"""Sensing and acting noise has the spread that D18's Tables 7 and 8 print."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from randomization.acting import ActionNoise
from randomization.config import ActionTerm, PhysicsTerm, RandomizationConfig, SensorTerm
from randomization.sensing import SensorNoise
from robot import rotation
from robot.hand import BASE_MARKER_POS

N = 4000
IDS = torch.arange(N)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_positions_have_an_offset_per_episode_and_fresh_noise_per_step():
    config = RandomizationConfig(sensors={"object_pos": SensorTerm(correlated=0.005, uncorrelated=0.001)})
    noise = SensorNoise(config, N, generator())
    noise.reset(IDS)
    exact = {"object_pos": torch.ones(N, 3)}
    steps = torch.stack([noise.apply(exact)["object_pos"] - 1 for _ in range(40)]).numpy()
    offset = steps.mean(0)
    assert stats.kstest(offset.ravel(), stats.norm(0, np.hypot(0.005, 0.001 / np.sqrt(40))).cdf).pvalue > 0.001
    fresh = (steps[0] - steps[1]).ravel() / np.sqrt(2)
    assert stats.kstest(fresh, stats.norm(0, 0.001).cdf).pvalue > 0.001
    assert (exact["object_pos"] == 1).all()  # the exact measurement is not touched
    before = noise.offset[next(iter(noise.offset))].clone()
    noise.reset(torch.tensor([3]))
    changed = (noise.offset[next(iter(noise.offset))] != before).any(1).nonzero().flatten().tolist()
    assert changed == [3]


def test_orientations_turn_by_a_normal_angle_about_a_random_axis():
    config = RandomizationConfig(sensors={"object_quat": SensorTerm(uncorrelated=0.1)})
    noise = SensorNoise(config, N, generator())
    exact = rotation.random_uniform(N, generator())
    noisy = noise.apply({"object_quat": exact})["object_quat"]
    angle = rotation.distance(noisy, exact).numpy()
    assert stats.kstest(angle, stats.halfnorm(scale=0.1).cdf).pvalue > 0.001
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(N))
    axis = rotation.to_rotation_vector(rotation.multiply(noisy, rotation.conjugate(exact))).numpy()
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    assert stats.kstest(axis[:, 2], stats.uniform(-1, 2).cdf).pvalue > 0.001


def test_misplaced_base_markers_move_everything_measured_alike():
    noise = SensorNoise(RandomizationConfig(base_marker_noise=0.001), N, generator())
    noise.reset(IDS)
    markers = torch.tensor(BASE_MARKER_POS)
    centre = markers.mean(0).expand(N, 3)
    exact = {
        "object_pos": centre,
        "object_quat": rotation.identity(N),
        "fingertip_pos": centre.unsqueeze(1).expand(N, 5, 3),
    }
    noisy = noise.apply(exact)
    # the centroid of four markers, each off by 1 mm, is off by 1 mm / sqrt(4)
    error = (noisy["object_pos"] - centre).numpy()
    assert error.std() == pytest.approx(0.0005, rel=0.05)
    torch.testing.assert_close(noisy["fingertip_pos"][:, 2], noisy["object_pos"])
    assert 0.001 < float(rotation.distance(noisy["object_quat"], exact["object_quat"]).mean()) < 0.05


def test_a_misplaced_fingertip_marker_moves_with_its_finger():
    noise = SensorNoise(RandomizationConfig(fingertip_marker_noise=0.003), N, generator())
    noise.reset(IDS)
    turns = rotation.random_uniform(5 * N, generator()).view(N, 5, 4)
    exact = {"fingertip_pos": torch.zeros(N, 5, 3), "fingertip_quat": turns}
    seen = noise.apply(exact)["fingertip_pos"]
    links = Rotation.from_quat(turns.reshape(-1, 4).numpy(), scalar_first=True)
    in_link = links.inv().apply(seen.reshape(-1, 3).numpy())
    assert stats.kstest(in_link.ravel(), stats.norm(0, 0.003).cdf).pvalue > 0.001
    still = exact | {"fingertip_quat": rotation.identity(5 * N).view(N, 5, 4)}
    np.testing.assert_allclose(noise.apply(still)["fingertip_pos"].reshape(-1, 3), in_link, atol=1e-6)


def test_action_noise_is_a_share_of_the_range_of_two():
    noise = ActionNoise(ActionTerm(additive=0.05, correlated=0.015, multiplicative=0.015), N, generator())
    noise.reset(IDS)
    zero = torch.stack([noise.apply(torch.zeros(N, 20)) for _ in range(2)]).numpy()
    assert stats.kstest(((zero[0] - zero[1]) / np.sqrt(2)).ravel(), stats.norm(0, 0.1).cdf).pvalue > 0.001
    assert noise.offset.std().item() == pytest.approx(0.03, rel=0.02)
    assert noise.gain.std().item() == pytest.approx(0.03, rel=0.02)
    quiet = ActionNoise(ActionTerm(), 3, generator())
    quiet.reset(torch.arange(3))
    action = torch.rand(3, 20, generator=generator())
    assert torch.equal(quiet.apply(action), action)


def test_bad_terms_are_refused():
    for name in ("object_position", "goal_quat"):  # goals are known exactly
        with pytest.raises(ValueError, match=name):
            RandomizationConfig(sensors={name: SensorTerm()})
    with pytest.raises(ValueError, match="allowed: robot, object, all"):
        PhysicsTerm(fields=["body_mass"], draw="uniform(0, 1)", of="hand")
    with pytest.raises(ValueError, match="negative"):
        SensorTerm(correlated=-1.0)
