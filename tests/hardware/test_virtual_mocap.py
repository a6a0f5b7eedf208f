"""The virtual motion-capture system against the laws of its errors."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.transform import Rotation

from hardware.clock import NS
from hardware.rig_config import RigConfig
from hardware.virtual_mocap import VirtualMocap
from robot import rotation
from robot.frames import Pose

LABELS = ("a", "b")


def test_the_virtual_mocap_errs_as_configured() -> None:
    config = RigConfig(dropouts=0.0, mocap_noise=0.001, mocap_rotation_noise=0.02)
    mocap, n = VirtualMocap(config, LABELS), 4000
    places = torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, 1.0]], dtype=torch.float64)
    block = Pose(torch.tensor([0.3, 0.0, 0.4], dtype=torch.float64), rotation.identity(1, dtype=torch.float64)[0])
    for k in range(n):
        mocap.expose(k, places, block)
    frames = mocap.deliver(10 * NS)
    assert len(frames) == n
    T = mocap.T_mocap_world
    assert float(T.pos.norm()) > 0.1 and float(rotation.distance(T.quat, rotation.identity(1).double()[0])) > 0.1
    world = Rotation.from_quat(T.quat.numpy(), scalar_first=True)
    seen = np.array([[frame.markers[name] for name in LABELS] for frame in frames])
    error = seen - (world.apply(places.numpy()) + T.pos.numpy())
    assert stats.kstest(error.ravel(), stats.norm(0, 0.001).cdf).pvalue > 0.001
    turned = Rotation.from_quat([frame.block.quat for frame in frames if frame.block], scalar_first=True)
    # of three normal components the length has Maxwell's distribution
    assert stats.kstest((world.inv() * turned).magnitude(), stats.maxwell(scale=0.02).cdf).pvalue > 0.001


def test_the_virtual_mocap_is_late() -> None:
    mocap = VirtualMocap(RigConfig(mocap_latency=0.008), LABELS)
    mocap.expose(
        NS, torch.zeros(2, 3, dtype=torch.float64), Pose(torch.zeros(3).double(), rotation.identity(1).double()[0])
    )
    assert not mocap.deliver(NS + 7_999_999)
    assert [frame.capture_ns for frame in mocap.deliver(NS + 8_000_000)] == [NS]
    assert not mocap.deliver(2 * NS)


def test_the_virtual_mocap_loses_as_often_and_as_long_as_configured() -> None:
    config = RigConfig(dropouts=0.5, dropout_time=0.2)
    mocap, n = VirtualMocap(config, LABELS), 120 * 2000
    # cheap: only the losses
    lost = np.zeros(n, bool)
    for k in range(0, n):
        now = round(k * NS / config.mocap_rate)
        mocap._lose(now)
        lost[k] = mocap._hidden_until_ns["a"] > now
    assert lost.mean() == pytest.approx(0.5 * 0.2, rel=0.15)
