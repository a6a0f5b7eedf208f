"""Measurements against known transforms."""

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.measurement import MeasurementConfig, MeasurementRefused, Measurer, require_measurable
from hardware.pose_source import MocapPose, make_pose_source
from robot import rotation
from robot.hand import BASE_MARKERS, FINGERTIP_MARKERS
from robot.observation import ObservationContract
from tests.hardware.world import HAND, World
from vision.estimator import VisionUnavailable


def measurer() -> Measurer:
    return Measurer(MeasurementConfig(keep=0.2), MocapPose())


@given(seed=st.integers(0, 2**31), hidden=st.sampled_from(["", *BASE_MARKERS]))
@settings(max_examples=50)
def test_everything_is_found_in_the_base_frame(seed: int, hidden: str) -> None:
    world = World(seed)
    measured = measurer().measure(HAND, world.frame(hidden=(hidden,)))
    pose = measured.object_pose.T_base_object
    torch.testing.assert_close(pose.pos, world.block.pos, rtol=0, atol=1e-6)
    assert float(rotation.distance(pose.quat, world.block.quat)) < 1e-6
    torch.testing.assert_close(measured.fields["fingertip_pos"][0], world.tips.float(), rtol=0, atol=1e-6)
    assert measured.residual < 1e-9
    assert measured.fields["joint_pos"][0].tolist() == pytest.approx(HAND.joint_pos)
    assert measured.fields["joint_target"][0].tolist() == pytest.approx(HAND.target)


@pytest.mark.parametrize("hidden", ["block", FINGERTIP_MARKERS[0], BASE_MARKERS])
def test_what_is_hidden_is_kept_for_a_while_only(hidden: str | tuple[str, ...]) -> None:
    world, measure = World(0), measurer().measure
    names = (hidden,) if isinstance(hidden, str) else hidden
    seen = measure(HAND, world.frame(0.0))
    kept = measure(HAND, world.frame(0.19, hidden=names))
    for name, value in seen.fields.items():
        torch.testing.assert_close(kept.fields[name], value)
    with pytest.raises(MeasurementRefused, match=r"base markers|has not been seen for 0.2 s"):
        measure(HAND, world.frame(0.21, hidden=names))
    measure(HAND, world.frame(0.3))


def test_what_was_never_seen_is_refused() -> None:
    with pytest.raises(MeasurementRefused, match="block"):
        measurer().measure(HAND, World(0).frame(hidden=("block",)))
    with pytest.raises(MeasurementRefused, match=r"base markers: .* 2 of 4"):
        measurer().measure(HAND, World(0).frame(hidden=BASE_MARKERS[:2]))
    with pytest.raises(MeasurementRefused, match=FINGERTIP_MARKERS[4]):
        measurer().measure(HAND, World(0).frame(hidden=FINGERTIP_MARKERS[4:]))


def test_a_bumped_base_marker_is_refused() -> None:
    with pytest.raises(MeasurementRefused, match=r"misfit by \d+\.\d mm, allowed: 5.0 mm"):
        measurer().measure(HAND, World(0).frame(shifted=BASE_MARKERS[0]))


def test_policies_that_read_what_no_rig_measures_are_refused() -> None:
    require_measurable(ObservationContract(("fingertip_pos", "goal_rel_quat", "joint_pos")))
    with pytest.raises(ValueError, match="object_linvel"):
        require_measurable(ObservationContract(("joint_pos", "object_linvel")))


def test_pose_sources() -> None:
    assert make_pose_source("mocap").cameras == ()
    with pytest.raises(VisionUnavailable, match="pose=vision is not possible yet"):
        make_pose_source("vision", "outputs/eye")
    with pytest.raises(ValueError, match="'lidar'; allowed: mocap, vision"):
        make_pose_source("lidar")


def test_speeds_are_those_of_the_joints() -> None:
    hand = msgspec.structs.replace(HAND, joint_vel=tuple(0.1 * i - 1.0 for i in range(24)))
    measured = Measurer(MeasurementConfig(), MocapPose()).measure(hand, World(0).frame())
    assert measured.fields["joint_vel"][0].tolist() == pytest.approx(hand.joint_vel)
