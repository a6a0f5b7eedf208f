"""The place of the estimator in the loop."""

from pathlib import Path

import pytest

from vision.estimator import VisionUnavailable, load_estimator


def test_without_a_pose_network_the_way_out_is_named() -> None:
    with pytest.raises(VisionUnavailable, match="Use pose=mocap"):
        load_estimator(Path("outputs/eye"))
