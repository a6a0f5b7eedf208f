"""The two contracts: what a network reads, and what its outputs mean."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot import hand, rotation
from robot.action import ActionContract, ActionPath
from robot.observation import FIELDS, ObservationContract

LOWER, UPPER = hand.actuator_range()


def measurement(n: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(n, *field.shape, generator=generator) for name, field in FIELDS.items()}
    return {k: rotation.normalize(v) if FIELDS[k].unit == "wxyz" else v for k, v in values.items()}


def test_the_vector_is_the_fields_in_order():
    contract = ObservationContract(("object_pos", "fingertip_pos", "joint_vel"))
    measured = measurement(4)
    vector = contract.vector(measured)
    assert vector.shape == (4, contract.size) == (4, 3 + 15 + 24)
    torch.testing.assert_close(vector[:, :3], measured["object_pos"])
    torch.testing.assert_close(vector[:, 3:18], measured["fingertip_pos"].reshape(4, 15))
    torch.testing.assert_close(vector[:, 18:], measured["joint_vel"])


def test_the_relative_goal_is_the_rotation_still_to_go():
    measured = measurement(50)
    del measured["goal_rel_quat"]
    contract = ObservationContract(("goal_rel_quat",))
    assert contract.measured == ("goal_quat", "object_quat")
    relative = Rotation.from_quat(contract.vector(measured).numpy(), scalar_first=True)
    goal, block = (Rotation.from_quat(measured[k].numpy(), scalar_first=True) for k in ("goal_quat", "object_quat"))
    assert ((relative * block) * goal.inv()).magnitude().max() < 1e-5
    np.testing.assert_allclose(
        relative.magnitude(), rotation.distance(measured["goal_quat"], measured["object_quat"]), atol=1e-5
    )


def test_the_relative_goal_as_a_matrix_turns_the_block_to_the_goal():
    measured = measurement(50)
    del measured["goal_rel_matrix"]
    contract = ObservationContract(("goal_rel_matrix",))
    assert contract.measured == ("goal_quat", "object_quat")
    matrix = contract.vector(measured).numpy().reshape(50, 3, 3)
    goal, block = (Rotation.from_quat(measured[k].numpy(), scalar_first=True) for k in ("goal_quat", "object_quat"))
    np.testing.assert_allclose(matrix, (goal * block.inv()).as_matrix(), atol=1e-5)


def test_a_derived_field_that_is_given_is_taken_as_it_is():
    contract = ObservationContract(("goal_rel_matrix", "object_lattice"))
    measured = measurement(5)  # of random numbers, so that nothing could have computed them
    expected = torch.cat((measured["goal_rel_matrix"].flatten(1), measured["object_lattice"].flatten(1)), dim=1)
    assert torch.equal(contract.vector(measured), expected)
    only = {name: measured[name] for name in contract.names}
    assert torch.equal(contract.vector(only), expected)


@given(st.permutations(list(FIELDS)), st.integers(1, len(FIELDS)), st.integers(1, 4))
def test_splitting_is_the_inverse_of_joining(names: list[str], length: int, n: int):
    contract = ObservationContract(tuple(names[:length]))
    measured = {
        name: rotation.canonical(value) if FIELDS[name].unit == "wxyz" else value
        for name, value in measurement(n).items()
    }
    parts = contract.split(contract.vector(measured))
    assert tuple(parts) == contract.names
    assert all(torch.equal(part, measured[name]) for name, part in parts.items())
    assert torch.equal(contract.vector(parts), contract.vector(measured))


def test_a_rotation_has_one_representation():
    contract = ObservationContract(("object_quat", "goal_rel_quat"))
    measured = measurement(20)
    flipped = measured | {"object_quat": -measured["object_quat"], "goal_quat": -measured["goal_quat"]}
    torch.testing.assert_close(contract.vector(measured), contract.vector(flipped))


def test_bad_contracts_are_refused():
    with pytest.raises(ValueError, match="fingertips"):
        ObservationContract(("fingertips",))
    with pytest.raises(ValueError, match="twice"):
        ObservationContract(("object_pos", "object_pos"))
    with pytest.raises(ValueError, match="object_pos has shape"):
        ObservationContract(("object_pos",)).vector({"object_pos": torch.zeros(2, 4)})
    mistakes: dict[str, Any] = {
        "mode": "torque",
        "bins": 1,
        "smoothing": 1.0,
        "scale": 0.0,
        "speed": 0.0,
        "period": 0.0,
    }
    for name, value in mistakes.items():
        with pytest.raises(ValueError, match=name):
            ActionContract(**{name: value})


def test_bins_are_equally_spaced_and_symmetric():
    units = ActionContract(bins=11).from_bins(torch.arange(11))
    np.testing.assert_allclose(units, np.linspace(-1, 1, 11), atol=1e-6)
    assert float(units[5]) == 0.0


def test_relative_action_asks_for_a_stroke_from_the_measured_position_and_is_clamped():
    path = ActionPath(ActionContract(mode="relative", smoothing=0.0, scale=0.5), 1)
    middle = (0.5 * (LOWER + UPPER))[None]
    path.reset(torch.tensor([0]), middle)
    speed = torch.tensor([4.0 if "TH" in a.name or a.name.endswith("J0") else 2.0 for a in hand.ACTUATORS])
    # half of what can be moved in 80 ms, for a full action; a share of that for less
    torch.testing.assert_close(path.step(torch.full((1, 20), -0.2), middle), middle - 0.2 * 0.5 * 0.08 * speed)
    wide = ActionPath(ActionContract(mode="relative", smoothing=0.0, speed=1e3), 1)
    # however fast, a full action asks for half the range
    torch.testing.assert_close(wide.step(torch.full((1, 20), 0.4), middle), middle + 0.4 * 0.5 * (UPPER - LOWER))
    torch.testing.assert_close(wide.step(torch.ones(1, 20), UPPER[None]), UPPER[None])
    torch.testing.assert_close(wide.step(torch.full((1, 20), -5.0), LOWER[None]), LOWER[None])


def test_absolute_action_is_a_place_in_the_range():
    path = ActionPath(ActionContract(mode="absolute", smoothing=0.0, speed=1e3), 1)
    torch.testing.assert_close(path.step(-torch.ones(1, 20), UPPER[None])[0], LOWER)
    torch.testing.assert_close(path.step(torch.zeros(1, 20), UPPER[None])[0], 0.5 * (LOWER + UPPER))


@given(st.floats(0, 0.95), st.sampled_from([0.02, 0.04, 0.08]), st.integers(1, 30))
def test_smoothing_is_an_exponential_moving_average_with_its_time_constant(retention, period, steps):
    path = ActionPath(ActionContract(mode="absolute", smoothing=retention, period=period), 1)
    path.reset(torch.tensor([0]), LOWER[None])  # starts at -1, and is asked for +1
    for _ in range(steps):
        path.step(torch.ones(1, 20), LOWER[None])
    remaining = retention ** (steps * period / 0.08)
    torch.testing.assert_close(path.smoothed, torch.full((1, 20), 1.0 - 2.0 * remaining), atol=1e-5, rtol=0)


def test_absolute_path_starts_where_the_hand_is():
    path = ActionPath(ActionContract(mode="absolute", smoothing=0.5), 2)
    standing = (LOWER + 0.3 * (UPPER - LOWER)).expand(1, 20)
    path.reset(torch.tensor([1]), standing)
    target = path.step(path.smoothed, standing)
    torch.testing.assert_close(target[1], standing[0])


def test_targets_keep_to_the_makers_speeds():
    path = ActionPath(ActionContract(mode="absolute", smoothing=0.0), 1)
    path.reset(torch.tensor([0]), LOWER[None])
    before = LOWER
    for _ in range(50):
        target = path.step(torch.ones(1, 20), LOWER[None])[0]
        speed = (target - before) / 0.08
        for actuator, value, place in zip(hand.ACTUATORS, speed, target, strict=True):
            # shadow-robot/sr_common: velocity="2.0" for fingers and wrist, "4.0" for the thumb; J0 is a sum of two
            limit = 4.0 if actuator.name.startswith("rh_A_TH") or actuator.name.endswith("J0") else 2.0
            assert float(value) == pytest.approx(limit, rel=1e-4) or float(place) == pytest.approx(actuator.upper)
        before = target
    torch.testing.assert_close(before, UPPER)


def test_smoothing_retains_thirty_percent_per_80_ms_by_default():
    path = ActionPath(ActionContract(), 1)
    path.step(torch.ones(1, 20), LOWER[None])
    assert math.isclose(float(path.smoothed[0, 0]), 0.7, rel_tol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_the_lattice_knows_how_a_cube_lies_and_not_which_face_is_which(seed: int):
    block, other = Rotation.random(2, rng=np.random.default_rng(seed))
    contract = ObservationContract(("object_lattice",))

    def lattice(rotations: Rotation) -> np.ndarray:
        quat = torch.from_numpy(rotations.as_quat(scalar_first=True)).reshape(-1, 4)
        return contract.vector({"object_quat": quat}).numpy()

    alike = lattice(block * Rotation.create_group("O"))
    np.testing.assert_allclose(alike, np.broadcast_to(lattice(block), (24, 9)), atol=1e-5)
    apart = (other.inv() * block * Rotation.create_group("O")).magnitude().min()
    # orientations that differ by more than what symmetry explains differ here too, in proportion
    assert np.linalg.norm(lattice(block) - lattice(other)) > 0.3 * apart


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_path_that_begins_anew_has_forgotten_its_actions(mode: str):
    lower, upper = hand.actuator_range()
    middle, ids = (0.5 * (lower + upper)).unsqueeze(0), torch.tensor([0])
    used, fresh = (ActionPath(ActionContract(mode=mode), 1) for _ in range(2))
    used.reset(ids, middle)
    for _ in range(5):
        used.step(torch.ones(1, 20), middle)
    for path in (used, fresh):
        path.reset(ids, middle)
    action = torch.full((1, 20), -0.2)
    assert torch.equal(used.step(action, middle), fresh.step(action, middle))
