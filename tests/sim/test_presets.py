"""The presets against the tables of the papers (arXiv 1808.00177 v5 and 1910.07113), figure by figure."""

import numpy as np
import pytest
import torch

from inhand.config import load
from inhand.rig import RigJob
from randomization.terms import ForceTerm, TimingTerm
from sim.env import ReorientEnv
from sim.task import TaskConfig
from tests.sim.conftest import preset
from tests.sim.cpu import cpu

ABLATIONS = ("dactyl_no_observation_noise", "dactyl_no_physics", "dactyl_no_unmodelled")
PRESETS = ("none", "dactyl", *ABLATIONS, "extended", "adr")


def noises(config, effect: str) -> dict[tuple[str, str], str]:
    terms = config.sensors.values()
    return {(field, term.every): term.draw for term in terms if term.effect == effect for field in term.fields}


def test_dactyl_physics_is_table_1(dactyl):
    drawn = {name: (term.draw, term.apply) for name, term in dactyl.physics.items() if name != "action_delay"}
    assert drawn == {
        "object_size": ("uniform(0.95, 1.05)", "scale"),
        "object_mass": ("uniform(0.5, 1.5)", "scale"),
        "robot_mass": ("uniform(0.5, 1.5)", "scale"),
        "friction": ("uniform(0.7, 1.3)", "scale"),
        "joint_damping": ("log_uniform(0.3, 3.0)", "scale"),
        "actuator_gain": ("log_uniform(0.75, 1.5)", "scale"),
        "joint_limits": ("normal(0, 0.15)", "add"),
        "gravity": ("normal(0, 0.4)", "add"),
    }


def test_dactyl_sensing_is_table_7(dactyl):
    assert noises(dactyl, "noise") == {
        ("fingertip_pos", "episode"): "normal(0, 0.001)",
        ("fingertip_pos", "step"): "normal(0, 0.002)",
        ("object_pos", "episode"): "normal(0, 0.005)",
        ("object_pos", "step"): "normal(0, 0.001)",
        ("object_quat", "episode"): "normal(0, 0.1)",
        ("object_quat", "step"): "normal(0, 0.1)",
    }
    assert noises(dactyl, "markers") == {
        ("fingertip_pos", "episode"): "normal(0, 0.003)",
        ("base", "episode"): "normal(0, 0.001)",
    }


def test_dactyl_acting_is_table_8(dactyl):
    drawn = {(term.effect, term.every): term.draw for term in dactyl.actions.values()}
    assert drawn == {
        ("offset", "step"): "normal(0, 0.05)",
        ("offset", "episode"): "normal(0, 0.015)",
        ("gain", "episode"): "normal(0, 0.015)",
    }


def test_dactyl_has_the_unmodelled_effects_of_appendix_c_2(dactyl):
    dropout = dactyl.sensors["marker_dropout"]
    assert (dropout.draw, dropout.time, dropout.fields) == ("constant(0.2)", "constant(1)", ["fingertip_pos"])
    assert dactyl.sensors["occlusion"].effect == "occlusion"
    delay = dactyl.physics["action_delay"]
    assert (delay.fields, delay.draw, delay.per) == (["actuator_delay"], "bernoulli(0.5, 0.08)", "element")
    assert dactyl.force == ForceTerm("log_uniform(0.001, 0.1)", "normal(0, 1)", 0.99)
    assert dactyl.timing == TimingTerm("reciprocal_uniform(1250, 10000)")
    backlash = dactyl.backlash
    assert (backlash.draw, backlash.rate, backlash.least) == ("normal(1, 0.1)", 4.25, 2.0)
    # robogym's table, in the names and directions of its hand, which is that of Gymnasium-Robotics
    down = {"FFJ3": 2.93, "MFJ1": 1.92, "RFJ2": 3.35, "LFJ2": 3.87, "LFJ1": 1.39, "THJ3": 1.25}
    up = {"FFJ1": 1.86, "MFJ1": 1.44, "RFJ2": 2.98, "RFJ1": 2.07, "LFJ2": 2.94, "LFJ1": 1.41,
          "THJ4": 2.82, "THJ3": 1.53, "THJ1": 2.86, "THJ0": 2.10}  # fmt: skip
    theirs = load("rig", RigJob, ["plant=gymnasium_robotics"]).plant
    signs = {each.joint: each.sign for each in theirs.joints.values()}
    ours = {each.actuator.removeprefix("robot0:A_"): name for name, each in theirs.actuators.items()}
    expected: dict[float, dict[str, float]] = {-1.0: {}, 1.0: {}}
    for direction, rates in ((-1.0, down), (1.0, up)):
        for joint, rate in rates.items():
            expected[direction * signs[f"robot0:{joint}"]][ours[joint]] = rate
    assert (backlash.down, backlash.up) == (expected[-1.0], expected[1.0])


def test_the_ablations_of_table_4_leave_out_what_they_say(dactyl, none):
    whole = {entry.name for entry in dactyl.entries()}
    left_out = {
        "dactyl_no_observation_noise": {name for name in whole if preset_of(name, "observation_noise")},
        "dactyl_no_physics": {name for name in whole if preset_of(name, "physics")},
        "dactyl_no_unmodelled": {name for name in whole if preset_of(name, "unmodelled")},
    }
    assert set.union(*left_out.values()) == whole
    for name, missing in left_out.items():
        assert missing and {entry.name for entry in preset(name).entries()} == whole - missing
    assert not list(none.entries())


def preset_of(name: str, part: str) -> bool:
    """Which of D18's three kinds of randomization a term belongs to."""
    section, _, term = name.partition(".")
    unmodelled = section not in ("physics", "sensors") or term.split(".")[0] in (
        "action_delay",
        "marker_dropout",
        "occlusion",
    )
    return part == ("unmodelled" if unmodelled else "physics" if section == "physics" else "observation_noise")


def test_adr_has_the_quantities_of_r19():
    fields = {field for term in preset("adr").physics.values() for field in term.fields}
    assert fields >= {
        *("actuator_forcerange", "actuator_gainprm", "body_inertia", "body_mass", "body_pos", "geom_size"),
        *("tendon_range", "tendon_stiffness", "actuator_delay", "jnt_margin", "jnt_range", "jnt_stiffness"),
        *("dof_armature", "dof_damping", "dof_frictionloss", "geom_friction", "geom_pos", "geom_margin"),
        *("geom_solimp", "geom_solref", "opt.gravity"),
    }
    config = preset("adr").adr
    assert (config.boundary_probability, config.step, config.limit, config.queue) == (0.5, 0.02, 4.0, 240)
    assert (config.widen_at, config.narrow_at) == (20, 10)


def test_adr_begins_as_calibrated():
    """With every range of no width, the worlds are those without randomization."""
    fresh, plain = (ReorientEnv(TaskConfig(), preset(name), 2, seed=0, threads=1) for name in ("adr", "none"))
    fresh.reset()
    for field, value in fresh.randomizer.nominal.items():
        np.testing.assert_allclose(cpu(fresh).batch.expand(field), np.broadcast_to(value, (2, *value.shape)))
    assert plain.metrics() == {"diverged": 0} and fresh.metrics()["adr/entropy"] < -3


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_and_resumes_to_the_bit(name):
    actions = torch.rand(16, 4, 20, generator=torch.Generator().manual_seed(2)) * 2 - 1
    first, second = (ReorientEnv(TaskConfig(), preset(name), 4, seed, threads=1) for seed in (0, 9))
    first.reset()
    second.reset()
    for action in actions[:8]:
        first.step(action)
    second.load_state_dict(first.state_dict())
    for action in actions[8:]:
        a, b = first.step(action), second.step(action)
        assert torch.equal(a.observation.policy, b.observation.policy)
        assert torch.equal(a.observation.critic, b.observation.critic)
        assert torch.equal(a.reward, b.reward) and torch.equal(a.done, b.done)


def test_ranges_that_are_too_wide_do_not_end_a_run():
    config = preset("adr")
    env = ReorientEnv(TaskConfig(), config, 24, seed=0, threads=1)
    assert env.adr is not None
    env.adr.open(2.0)
    env.reset()
    calibrated = (env.adr.parameters == 0.0).all(dim=1)
    assert 0 < int(calibrated.sum()) < 24


def test_a_state_of_other_worlds_is_refused(none):
    one, four = (ReorientEnv(TaskConfig(), none, n, seed=0, threads=1) for n in (1, 4))
    one.reset()
    with pytest.raises(ValueError, match="1 worlds, this one 4"):
        four.load_state_dict(one.state_dict())
