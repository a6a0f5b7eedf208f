"""The right Shadow Dexterous Hand (E3M5): joints, actuators, couplings, fingertips and markers.

Names are the maker's own, joints counted from 1 at the tip. Ranges and speeds are those of the maker's documentation
and URDF (shadow-robot/sr_common, ``sr_description``). The base frame is that of ``rh_forearm`` in the same URDF: z
along the forearm towards the fingers, the palm faces -y, the thumb is at +x.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

ASSETS = Path(__file__).parent / "assets"
HAND_MJCF = ASSETS / "shadow_hand.xml"
BLOCK_MJCF = ASSETS / "block.xml"

NAME = "Shadow Dexterous Hand E3M5, right"

FINGERS = ("FF", "MF", "RF", "LF", "TH")
COUPLED_FINGERS = ("FF", "MF", "RF", "LF")


@dataclass(frozen=True)
class Joint:
    """One joint or actuator: its name, range [rad] and largest speed [rad/s]."""

    name: str
    lower: float
    upper: float
    speed: float


def _degrees(name: str, lower: float, upper: float, speed: float = 2.0) -> Joint:
    return Joint(f"rh_{name}", math.radians(lower), math.radians(upper), speed)


def _finger(finger: str) -> tuple[Joint, ...]:
    return (
        _degrees(f"{finger}J4", -20, 20),
        _degrees(f"{finger}J3", -15, 90),
        _degrees(f"{finger}J2", 0, 90),
        _degrees(f"{finger}J1", 0, 90),
    )


_WRIST = (_degrees("WRJ2", -30, 10), _degrees("WRJ1", -40, 28))
_METACARPAL = (_degrees("LFJ5", 0, 45),)
_THUMB = (
    _degrees("THJ5", -60, 60, 4.0),
    _degrees("THJ4", 0, 70, 4.0),
    _degrees("THJ3", -12, 12, 4.0),
    _degrees("THJ2", -40, 40, 4.0),
    _degrees("THJ1", -15, 90, 4.0),
)

JOINTS: tuple[Joint, ...] = (
    *_WRIST,
    *_finger("FF"),
    *_finger("MF"),
    *_finger("RF"),
    *_METACARPAL,
    *_finger("LF"),
    *_THUMB,
)
"""The 24 joints, from the wrist to the thumb tip; every array of joint values follows this order."""


def _actuators() -> tuple[Joint, ...]:
    actuators = []
    for joint in JOINTS:
        finger, number = joint.name[3:5], joint.name[-1]
        if finger in COUPLED_FINGERS and number == "2":
            actuators.append(_degrees(f"A_{finger}J0", 0, 180, 2 * joint.speed))
        elif finger not in COUPLED_FINGERS or number != "1":
            actuators.append(replace(joint, name=joint.name.replace("rh_", "rh_A_")))
    return tuple(actuators)


ACTUATORS: tuple[Joint, ...] = _actuators()
"""The 20 actuators; each drives one joint, except the four ``J0``, which drive the sum J1 + J2 of a finger."""

JOINT_NAMES = tuple(joint.name for joint in JOINTS)
ACTUATOR_NAMES = tuple(actuator.name for actuator in ACTUATORS)
NUM_JOINTS = len(JOINTS)
NUM_ACTUATORS = len(ACTUATORS)
CONTROL_PERIOD = 0.08
"""Seconds between two actions (D18 C.1: 12.5 Hz)."""

FINGERTIP_SITES = tuple(f"rh_{finger.lower()}tip" for finger in FINGERS)
FINGERTIP_MARKERS = tuple(f"rh_marker_{finger.lower()}tip" for finger in FINGERS)
BASE_MARKERS = ("rh_marker_base0", "rh_marker_base1", "rh_marker_base2", "rh_marker_base3")
BASE_MARKER_POS = (
    (0.045, -0.020, 0.150),
    (-0.045, -0.020, 0.120),
    (0.045, -0.020, 0.060),
    (-0.030, 0.035, 0.090),
)
"""Where the four markers sit on the forearm, in the base frame [m]: no two distances between them are equal."""


@cache
def coupling_matrix(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """The 20 × 24 matrix C with ``actuator_pos = C @ joint_pos``: the sum of both joints for each coupled pair."""
    matrix = torch.zeros(NUM_ACTUATORS, NUM_JOINTS)
    for row, name in enumerate(ACTUATOR_NAMES):
        joint = name.replace("_A_", "_")
        driven = [joint] if joint in JOINT_NAMES else [joint[:-1] + "1", joint[:-1] + "2"]
        for driven_name in driven:
            matrix[row, JOINT_NAMES.index(driven_name)] = 1.0
    return matrix.to(device, dtype)


def actuator_pos(joint_pos: Tensor) -> Tensor:
    """Actuator positions [rad], (..., 20), of joint positions [rad], (..., 24)."""
    return joint_pos @ coupling_matrix(joint_pos.device, joint_pos.dtype).T


def actuator_range() -> tuple[Tensor, Tensor]:
    """Lower and upper ends of the actuators' ranges [rad], (20,) each."""
    return torch.tensor([a.lower for a in ACTUATORS]), torch.tensor([a.upper for a in ACTUATORS])


def actuator_speed() -> Tensor:
    """The actuators' largest speeds [rad/s], (20,)."""
    return torch.tensor([a.speed for a in ACTUATORS])


def model_hash() -> str:
    """A fingerprint of the hand and block models; it travels with every policy trained on them."""
    digest = hashlib.sha256()
    for path in (HAND_MJCF, BLOCK_MJCF):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
