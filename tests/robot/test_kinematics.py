"""Our hand model against the maker's: the joints of Shadow's public URDF, as figures, chained by SciPy.

Source: shadow-robot/sr_common, ``sr_description/hand/xacro`` (E3M5, right hand: ``reflect`` = 1), joint origins, axes
and limits of ``wrist``, ``palm_e``, ``knuckle``, ``proximal``, ``middle``, ``distal``, ``lfmetacarpal`` and ``th*``
(thumb base as corrected in 2022), fingertip links of ``distal`` and ``thdistal``; link masses likewise.
"""

import math

import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from robot import hand

QUARTER = math.pi / 2
# joint: (parent joint, origin xyz [m], origin rpy [rad], axis)
URDF = {
    "WRJ2": (None, (0, -0.010, 0.21301), (0, 0, 0), (0, 1, 0)),
    "WRJ1": ("WRJ2", (0, 0, 0.034), (0, 0, 0), (1, 0, 0)),
    "LFJ5": ("WRJ1", (-0.033, 0, 0.02071), (0, 0, 0), (0.573576, 0, 0.819152)),
    "THJ5": ("WRJ1", (0.034, -0.00858, 0.029), (0, math.pi / 4, 0), (0, 0, -1)),
    "THJ4": ("THJ5", (0, 0, 0), (0, 0, 0), (1, 0, 0)),
    "THJ3": ("THJ4", (0, 0, 0.038), (0, 0, 0), (1, 0, 0)),
    "THJ2": ("THJ3", (0, 0, 0), (0, 0, 0), (0, -1, 0)),
    "THJ1": ("THJ2", (0, 0, 0.032), (0, 0, -QUARTER), (1, 0, 0)),
}
for finger, parent, knuckle, sign in (
    ("FF", "WRJ1", (0.033, 0, 0.095), -1),
    ("MF", "WRJ1", (0.011, 0, 0.099), -1),
    ("RF", "WRJ1", (-0.011, 0, 0.095), 1),
    ("LF", "LFJ5", (0, 0, 0.06579), 1),
):
    URDF[f"{finger}J4"] = (parent, knuckle, (0, 0, 0), (0, sign, 0))
    URDF[f"{finger}J3"] = (f"{finger}J4", (0, 0, 0), (0, 0, 0), (1, 0, 0))
    URDF[f"{finger}J2"] = (f"{finger}J3", (0, 0, 0.045), (0, 0, 0), (1, 0, 0))
    URDF[f"{finger}J1"] = (f"{finger}J2", (0, 0, 0.025), (0, 0, 0), (1, 0, 0))
TIPS = {"FF": 0.026, "MF": 0.026, "RF": 0.026, "LF": 0.026, "TH": 0.0275}

LIMITS_DEG = {
    "WRJ2": (-30, 10), "WRJ1": (-40, 28), "LFJ5": (0, 45),
    "THJ5": (-60, 60), "THJ4": (0, 70), "THJ3": (-12, 12), "THJ2": (-40, 40), "THJ1": (-15, 90),
}  # fmt: skip
for finger in ("FF", "MF", "RF", "LF"):
    LIMITS_DEG |= {f"{finger}J4": (-20, 20), f"{finger}J3": (-15, 90), f"{finger}J2": (0, 90), f"{finger}J1": (0, 90)}

# links in kg, fingertip links included in the distal ones
MASSES = {"forearm": 3.0, "wrist": 0.1, "palm": 0.3, "lfmetacarpal": 0.03, "thbase": 0.01, "thproximal": 0.04,
          "thhub": 0.005, "thmiddle": 0.02, "thdistal": 0.017}  # fmt: skip
for finger in ("ff", "mf", "rf", "lf"):
    MASSES |= {f"{finger}knuckle": 0.008, f"{finger}proximal": 0.03, f"{finger}middle": 0.017, f"{finger}distal": 0.013}


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(hand.HAND_MJCF))


def fingertip(finger: str, angles: dict[str, np.ndarray]) -> np.ndarray:
    """Fingertip positions (n, 3) in the forearm frame, by the URDF."""
    point = np.array([0, 0, TIPS[finger]])
    joint: str | None = f"{finger}J1"
    while joint is not None:
        parent, xyz, rpy, axis = URDF[joint]
        turned = Rotation.from_rotvec(angles[joint][:, None] * np.array(axis)).apply(point)
        point = Rotation.from_euler("xyz", rpy).apply(turned) + np.array(xyz)
        joint = parent
    return point


def test_fingertips_agree_with_the_makers_model_over_1000_configurations(model):
    rng = np.random.default_rng(0)
    lower, upper = np.array([[j.lower, j.upper] for j in hand.JOINTS]).T
    samples = rng.uniform(lower, upper, (1000, hand.NUM_JOINTS))
    angles = {name.removeprefix("rh_"): samples[:, i] for i, name in enumerate(hand.JOINT_NAMES)}
    data = mujoco.MjData(model)
    ours = np.empty((1000, len(hand.FINGERS), 3))
    for row, sample in enumerate(samples):
        for name, angle in zip(hand.JOINT_NAMES, sample, strict=True):
            data.joint(name).qpos = angle
        mujoco.mj_kinematics(model, data)
        ours[row] = [data.site(site).xpos for site in hand.FINGERTIP_SITES]
    theirs = np.stack([fingertip(finger, angles) for finger in hand.FINGERS], axis=1)
    assert np.linalg.norm(ours - theirs, axis=-1).max() < 1e-5  # 2 mm is asked; the MJCF rounds angles to 1e-6


def test_joint_ranges_are_the_makers(model):
    assert {name.removeprefix("rh_") for name in hand.JOINT_NAMES} == set(LIMITS_DEG)
    for joint in hand.JOINTS:
        expected = np.radians(LIMITS_DEG[joint.name.removeprefix("rh_")])
        np.testing.assert_allclose((joint.lower, joint.upper), expected, atol=1e-12)
        np.testing.assert_allclose(model.joint(joint.name).range, expected, atol=1e-6)


def test_link_masses_are_the_makers(model):
    for link, mass in MASSES.items():
        assert model.body(f"rh_{link}").mass[0] == pytest.approx(mass), link


def test_actuators_drive_what_their_names_say(model):
    for i, actuator in enumerate(hand.ACTUATORS):
        row = model.actuator(actuator.name)
        np.testing.assert_allclose(row.ctrlrange, (actuator.lower, actuator.upper), atol=1e-6)
        data = mujoco.MjData(model)
        angles = torch.rand(hand.NUM_JOINTS, generator=torch.Generator().manual_seed(i))
        for name, angle in zip(hand.JOINT_NAMES, angles, strict=True):
            data.joint(name).qpos = float(angle)
        mujoco.mj_forward(model, data)
        assert data.actuator(actuator.name).length[0] == pytest.approx(float(hand.actuator_pos(angles)[i]), abs=1e-6)


def test_markers_of_the_base_are_where_the_model_has_them(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    seen = np.array([data.site(name).xpos for name in hand.BASE_MARKERS])
    np.testing.assert_allclose(seen, hand.BASE_MARKER_POS)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(4, 1)]
    assert np.diff(np.sort(distances)).min() > 0.002  # no two alike, so that labels can be told apart
