"""Noise, markers and mistaken poses have the spread that a preset asks for."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from randomization.config import RandomizationConfig
from randomization.sensing import Sensing
from randomization.terms import AdversaryTerm, ForceTerm, SensorTerm, TimingTerm
from robot import rotation
from robot.hand import BASE_MARKER_POS
from tests.randomization.worlds import IDS, PERIOD, N, source


def sensing(*terms: SensorTerm) -> Sensing:
    made = Sensing(RandomizationConfig(sensors={str(i): term for i, term in enumerate(terms)}), N, source(), PERIOD)
    made.reset(IDS)
    return made


def noise(field: str, draw: str, every: str = "episode") -> SensorTerm:
    return SensorTerm("noise", [field], draw, every)


def test_positions_have_an_offset_per_episode_and_fresh_noise_per_step():
    made = sensing(noise("object_pos", "normal(0, 0.005)"), noise("object_pos", "normal(0, 0.001)", "step"))
    exact = {"object_pos": torch.ones(N, 3)}
    steps = torch.stack([made.apply(exact)["object_pos"] - 1 for _ in range(40)]).numpy()
    offset = steps.mean(0)
    assert stats.kstest(offset.ravel(), stats.norm(0, np.hypot(0.005, 0.001 / np.sqrt(40))).cdf).pvalue > 0.001
    fresh = (steps[0] - steps[1]).ravel() / np.sqrt(2)
    assert stats.kstest(fresh, stats.norm(0, 0.001).cdf).pvalue > 0.001
    assert (exact["object_pos"] == 1).all()  # the exact measurement is not touched
    before = made.noise.offset["object_pos"].clone()
    made.reset(torch.tensor([3]))
    changed = (made.noise.offset["object_pos"] != before).any(1).nonzero().flatten().tolist()
    assert changed == [3]


def test_orientations_turn_by_a_normal_angle_about_a_random_axis():
    made = sensing(noise("object_quat", "normal(0, 0.1)", "step"))
    exact = rotation.random_uniform(N, source().generator)
    noisy = made.apply({"object_quat": exact})["object_quat"]
    angle = rotation.distance(noisy, exact).numpy()
    assert stats.kstest(angle, stats.halfnorm(scale=0.1).cdf).pvalue > 0.001
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(N))
    axis = rotation.to_rotation_vector(rotation.multiply(noisy, rotation.conjugate(exact))).numpy()
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    assert stats.kstest(axis[:, 2], stats.uniform(-1, 2).cdf).pvalue > 0.001


def test_misplaced_base_markers_move_everything_measured_alike():
    made = sensing(SensorTerm("markers", ["base"], "normal(0, 0.001)"))
    markers = torch.tensor(BASE_MARKER_POS)
    centre = markers.mean(0).expand(N, 3)
    exact = {
        "object_pos": centre,
        "object_quat": rotation.identity(N),
        "fingertip_pos": centre.unsqueeze(1).expand(N, 5, 3),
    }
    noisy = made.apply(exact)
    # the centroid of four markers, each off by 1 mm, is off by 1 mm / sqrt(4)
    error = (noisy["object_pos"] - centre).numpy()
    assert error.std() == pytest.approx(0.0005, rel=0.05)
    torch.testing.assert_close(noisy["fingertip_pos"][:, 2], noisy["object_pos"])
    assert 0.001 < float(rotation.distance(noisy["object_quat"], exact["object_quat"]).mean()) < 0.05


def test_a_misplaced_fingertip_marker_moves_with_its_finger():
    made = sensing(SensorTerm("markers", ["fingertip_pos"], "normal(0, 0.003)"))
    turns = rotation.random_uniform(5 * N, source().generator).view(N, 5, 4)
    exact = {"fingertip_pos": torch.zeros(N, 5, 3), "fingertip_quat": turns}
    seen = made.apply(exact)["fingertip_pos"]
    links = Rotation.from_quat(turns.reshape(-1, 4).numpy(), scalar_first=True)
    in_link = links.inv().apply(seen.reshape(-1, 3).numpy())
    assert stats.kstest(in_link.ravel(), stats.norm(0, 0.003).cdf).pvalue > 0.001
    still = exact | {"fingertip_quat": rotation.identity(5 * N).view(N, 5, 4)}
    np.testing.assert_allclose(made.apply(still)["fingertip_pos"].reshape(-1, 3), in_link, atol=1e-6)


def test_a_mistaken_pose_comes_as_often_as_drawn_and_can_be_any():
    made = sensing(SensorTerm("injection", ["object_pos", "object_quat"], "constant(0.2)"))
    exact = {"object_pos": torch.zeros(N, 3), "object_quat": rotation.identity(N)}
    seen = made.apply(exact)
    mistaken = (seen["object_pos"] != 0).any(1)
    assert stats.binomtest(int(mistaken.sum()), N, 0.2).pvalue > 0.001
    assert torch.equal(mistaken, rotation.distance(seen["object_quat"], exact["object_quat"]) > 1e-3)
    # a rotation drawn uniformly turns by an angle of density (1 - cos θ) / π
    angle = rotation.distance(seen["object_quat"], exact["object_quat"])[mistaken].numpy()
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.001


@pytest.mark.parametrize(
    ("term", "word"),
    [
        (lambda: noise("object_position", "normal(0, 1)"), "object_position"),
        (lambda: noise("goal_quat", "normal(0, 1)"), "goal_quat"),  # goals are known exactly
        (lambda: noise("actuator_slack", "normal(0, 1)"), "actuator_slack"),  # no sensor shows it
        (lambda: noise("object_pos", "normal(0, 1)", "day"), "allowed: episode, step"),
        (lambda: SensorTerm("blur", ["object_pos"], "constant(1)"), "blur"),
        (lambda: SensorTerm("occlusion", ["object_pos"], "constant(1)"), "allowed: fingertip_pos"),
        (lambda: SensorTerm("dropout", [], "constant(1)"), "one or more"),
        (lambda: SensorTerm("dropout", ["object_pos"], "constant(1)", every="step"), "every episode"),
        (lambda: SensorTerm("occlusion", ["fingertip_pos"], "constant(1)", size=[0.1]), "three positive"),
        (lambda: SensorTerm("delay", ["object_pos"], "uniform(-0.1, 0.05)"), "from -0.1 to 0.05"),
        (lambda: SensorTerm("dropout", ["object_pos"], "constant(3)"), "allowed: 0 to 1"),
        (lambda: SensorTerm("refresh", ["object_pos"], "normal(0.1, 0.1)"), "-inf"),
        (lambda: ForceTerm("constant(7)"), "probability of a push"),
        (lambda: TimingTerm("constant(-0.01)"), "added time"),
        (lambda: AdversaryTerm("uniform(0, 2)"), "share of the adversary"),
    ],
)
def test_bad_terms_are_refused(term, word):
    with pytest.raises(ValueError, match=word):
        term()


def test_what_one_term_hides_another_does_not_show():
    lost = SensorTerm("dropout", ["fingertip_pos"], "constant(1)", time="constant(100)")
    behind = SensorTerm("occlusion", ["fingertip_pos"], "constant(1)")
    for terms in ((lost, behind), (behind, lost)):
        made, free = sensing(*terms), torch.zeros(N, 5, dtype=torch.bool)
        for t in range(4):
            seen = made.apply({"fingertip_pos": torch.full((N, 5, 3), float(t))}, free)["fingertip_pos"]
            assert (seen == 0.0).all()


def test_a_value_that_stays_stays_with_its_noise():
    noise = SensorTerm("noise", ["fingertip_pos"], "normal(0, 0.01)", "step")
    made = sensing(noise, SensorTerm("occlusion", ["fingertip_pos"], "constant(1)"))
    exact, behind = {"fingertip_pos": torch.zeros(N, 5, 3)}, torch.ones(N, 5, dtype=torch.bool)
    first = made.apply(exact, behind)["fingertip_pos"]
    assert first.std() > 0.005
    assert torch.equal(made.apply(exact, behind)["fingertip_pos"], first)


def test_the_frame_is_that_which_a_solver_finds_from_the_misplaced_markers():
    made = sensing(SensorTerm("markers", ["base"], "normal(0, 0.001)"))
    n, model = 50, np.array(BASE_MARKER_POS)
    displaced = model + source().draw("x", "normal(0, 0.001)")(IDS, 4, 3).numpy()  # the same draws
    exact = {"object_pos": torch.tensor([[0.0, -0.05, 0.32]]).expand(N, 3), "object_quat": rotation.identity(N)}
    seen = made.apply(exact)
    for i in range(n):
        a, b = displaced[i] - displaced[i].mean(0), model - model.mean(0)
        turn = Rotation.align_vectors(a, b)[0]  # base_found in the true base frame
        pos = displaced[i].mean(0) - turn.apply(model.mean(0))
        np.testing.assert_allclose(seen["object_pos"][i], turn.inv().apply([0.0, -0.05, 0.32] - pos), atol=2e-6)
