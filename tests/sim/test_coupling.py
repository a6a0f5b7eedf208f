"""The coupled joints of a finger: one tendon drives their sum, and the distal one never leads."""

import math

import mujoco
import numpy as np
import pytest

from robot import hand
from sim.scene import SceneConfig, build_spec


@pytest.fixture(scope="module", params=["hand alone, Euler, 2 ms", "default scene"])
def model(request) -> mujoco.MjModel:
    if request.param != "default scene":
        return mujoco.MjModel.from_xml_path(str(hand.HAND_MJCF))
    spec = build_spec(SceneConfig())
    spec.delete(spec.body("block"))  # it would be in the fingers' way
    return spec.compile()


def test_distal_joint_follows_the_middle_one_and_never_leads(model):
    data = mujoco.MjData(model)
    for command in np.linspace(0, math.pi, 7):
        for finger in hand.COUPLED_FINGERS:
            data.actuator(f"rh_A_{finger}J0").ctrl = command
        mujoco.mj_step(model, data, nstep=round(2.0 / model.opt.timestep))
        for finger in hand.COUPLED_FINGERS:
            middle, distal = data.joint(f"rh_{finger}J2").qpos[0], data.joint(f"rh_{finger}J1").qpos[0]
            assert distal <= middle + math.radians(1)
            assert middle + distal == pytest.approx(command, abs=0.15)


@pytest.mark.parametrize("force", [1.0, 5.0])
def test_distal_joint_does_not_lead_under_load(model, force):
    """Fingertips pressed from all six sides, through the whole range of the coupled pair."""
    data = mujoco.MjData(model)
    tips = {finger: model.site(f"rh_{finger.lower()}tip").id for finger in hand.COUPLED_FINGERS}
    followed, led = False, -math.inf
    for command in np.linspace(0, math.pi, 5):
        for direction in np.vstack([np.eye(3), -np.eye(3)]):
            mujoco.mj_resetData(model, data)
            for finger in hand.COUPLED_FINGERS:
                data.actuator(f"rh_A_{finger}J0").ctrl = command
            for _ in range(round(0.6 / model.opt.timestep)):
                data.qfrc_applied[:] = 0.0
                for site in tips.values():
                    mujoco.mj_applyFT(
                        model, data, force * direction, np.zeros(3), data.site_xpos[site], model.site_bodyid[site],
                        data.qfrc_applied,
                    )  # fmt: skip
                mujoco.mj_step(model, data)
                for finger in hand.COUPLED_FINGERS:
                    middle, distal = data.joint(f"rh_{finger}J2").qpos[0], data.joint(f"rh_{finger}J1").qpos[0]
                    led = max(led, distal - middle)
                    followed |= middle - distal > 0.5
    assert led < math.radians(1)
    assert followed or force < 5.0  # the pair is not rigid: only the sum is controlled
