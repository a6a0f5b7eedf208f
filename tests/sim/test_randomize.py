"""Physics randomization: drawn as the preset says, true to MuJoCo's own compiler, and felt by the world."""

import mujoco
import numpy as np
import pytest
import torch
from scipy import stats

from randomization.config import RandomizationConfig
from randomization.draws import Source
from randomization.terms import PhysicsTerm
from sim.cpu_physics import CpuPhysics
from sim.equipment import equip
from sim.randomize import PhysicsRandomizer
from sim.scene import SceneConfig, build_spec

N = 400
IDS = torch.arange(N)


def prepared(terms: dict[str, PhysicsTerm], n: int, seed: int = 0) -> tuple[CpuPhysics, PhysicsRandomizer]:
    spec = build_spec(SceneConfig())
    equip(spec, RandomizationConfig(physics=terms))
    physics = CpuPhysics(spec.compile(), n, threads=1)
    return physics, PhysicsRandomizer(terms, physics, Source(torch.Generator().manual_seed(seed)))


def randomized(terms: dict[str, PhysicsTerm], n: int = N, seed: int = 0) -> CpuPhysics:
    physics, randomizer = prepared(terms, n, seed)
    randomizer.reset(torch.arange(n))
    return physics


def test_fields_follow_table_1(dactyl):
    physics = randomized(dactyl.physics)
    model = physics.model
    block, hand_bodies = model.body("block").id, [i for i in range(model.nbody) if model.body(i).name.startswith("rh_")]
    nominal = lambda field: getattr(model, field)  # noqa: E731
    scale = {
        "size": physics.batch.expand("geom_size")[:, model.geom("block").id, 0] / 0.0275,
        "block mass": physics.batch.expand("body_mass")[:, block] / 0.078,
        "link mass": (physics.batch.expand("body_mass")[:, hand_bodies] / nominal("body_mass")[hand_bodies])[:, 5],
        "friction": physics.batch.expand("geom_friction")[:, model.geom("block").id, 0],
        "damping": physics.batch.expand("dof_damping")[:, 3] / nominal("dof_damping")[3],
        "gain": physics.batch.expand("actuator_gainprm")[:, 4, 0] / nominal("actuator_gainprm")[4, 0],
        "gravity": physics.batch.expand("opt.gravity")[:, 2] + 9.81,
        "upper limit": (physics.batch.expand("jnt_range") - nominal("jnt_range"))[:, model.joint("rh_FFJ3").id, 1],
    }
    expected = {
        "size": stats.uniform(0.95, 0.1),
        "block mass": stats.uniform(0.5, 1.0),
        "link mass": stats.uniform(0.5, 1.0),
        "friction": stats.uniform(0.7, 0.6),
        "damping": stats.loguniform(0.3, 3.0),
        "gain": stats.loguniform(0.75, 1.5),
        "gravity": stats.norm(0, 0.4),
        "upper limit": stats.norm(0, 0.15),
    }
    for name, values in scale.items():
        assert stats.kstest(values, expected[name].cdf).pvalue > 0.001, name

    # what belongs together moves together
    inertia = physics.batch.expand("body_inertia")[:, block] / nominal("body_inertia")[block]
    solid = scale["block mass"] * scale["size"] ** 2
    np.testing.assert_allclose(inertia, solid[:, None].repeat(3, 1), rtol=1e-6)
    np.testing.assert_allclose(
        physics.batch.expand("actuator_biasprm")[:, 4, 1], -physics.batch.expand("actuator_gainprm")[:, 4, 0]
    )
    friction = physics.batch.expand("geom_friction")[:, [g for g in range(model.ngeom) if model.geom_contype[g]], 0]
    np.testing.assert_allclose(friction, friction[:, :1].repeat(friction.shape[1], 1), rtol=1e-6)
    # and what does not, does not
    gains = physics.batch.expand("actuator_gainprm")[:, :, 0] / nominal("actuator_gainprm")[:, 0]
    assert abs(np.corrcoef(gains[:, 0], gains[:, 1])[0, 1]) < 0.2
    ranges = physics.batch.expand("jnt_range")[:, :-1]
    assert (ranges[..., 1] - ranges[..., 0]).min() > 0.049


def test_a_resized_block_is_what_the_compiler_would_make(dactyl):
    physics, randomizer = prepared({"object_size": dactyl.physics["object_size"]}, 3)
    for _ in range(2):  # the second size follows from the nominal one, too
        randomizer.reset(torch.arange(3))
    for world in range(3):
        ours = physics.batch.get_model(world)
        spec = build_spec(SceneConfig())
        spec.geom("block").size = ours.geom("block").size
        theirs = spec.compile()
        for field in ("geom_rbound", "geom_aabb", "bvh_aabb", "body_inertia"):
            np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "columns", "apply", "message"),
    [
        (["dof_damping"], [0], "scale", r"term x: dof_damping has no columns \[0\]; allowed: none"),
        (["geom_friction"], [3], "scale", r"term x: geom_friction has no columns \[3\]; allowed: 0 to 2"),
        (["body_mass", "body_inertia"], [], "add", "term x: what is added .* have 1 and 3 numbers"),
        (["opt.iterations"], [], "scale", "term x: opt.iterations holds int"),
        (["opt.timestep"], [], "scale", "term x: opt.timestep is set by what lasts a control step; use .* timing"),
    ],
)
def test_terms_that_cannot_be_applied_are_named(fields: list[str], columns: list[int], apply: str, message: str):
    term = PhysicsTerm(fields=fields, draw="uniform(0.9, 1.1)", of="all", apply=apply, columns=columns)
    with pytest.raises(ValueError, match=message):
        prepared({"x": term}, 2)


def test_derived_constants_follow(dactyl):
    physics = randomized({"object_mass": dactyl.physics["object_mass"]}, n=2)
    model = physics.batch.get_model(1)
    before = model.body_invweight0.copy()
    mujoco.mj_setConst(model, mujoco.MjData(model))
    np.testing.assert_allclose(model.body_invweight0, before, rtol=1e-9)
    assert model.body("block").subtreemass[0] == pytest.approx(model.body("block").mass[0])


def test_a_world_keeps_its_draw_until_it_is_reset(dactyl):
    physics, randomizer = prepared(dactyl.physics, 3)
    randomizer.reset(torch.arange(3))
    before = physics.batch.expand("body_mass").copy()
    randomizer.reset(torch.tensor([1]))
    after = physics.batch.expand("body_mass")
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (after[1] != before[1]).any()


def test_terms_on_one_field_follow_one_another_within_their_bounds():
    terms = {
        "twice": PhysicsTerm(["dof_frictionloss"], "constant(2)", of="robot"),
        "more": PhysicsTerm(["dof_frictionloss"], "constant(0.05)", of="robot", apply="add", names="rh_FF*", most=0.06),
    }
    physics = randomized(terms, n=2)
    model = physics.model
    loss = {
        model.joint(int(j)).name: physics.batch.expand("dof_frictionloss")[1, i] for i, j in enumerate(model.dof_jntid)
    }
    assert loss["rh_MFJ3"] == pytest.approx(2 * 0.01) and loss["rh_FFJ3"] == pytest.approx(0.06)
    assert loss["block"] == 0.0


def test_what_is_fixed_to_the_world_stays_there():
    physics = randomized({"place": PhysicsTerm(["body_pos"], "constant(0.001)", of="robot", apply="add")}, n=2)
    moved = physics.batch.expand("body_pos")[1] - physics.model.body_pos
    names = {physics.model.body(i).name for i in np.flatnonzero(moved.any(axis=1))}
    assert "rh_wrist" in names and "rh_forearm" not in names and "block" not in names


def test_one_column_of_a_field_changes():
    physics = randomized({"sliding": PhysicsTerm(["geom_friction"], "constant(2)", columns=[0])}, n=2)
    block = physics.model.geom("block").id
    np.testing.assert_allclose(physics.batch.expand("geom_friction")[1, block], [2, 0.005, 0.0001])


@pytest.mark.parametrize("substeps", [1, 2, 4, 8])
def test_a_delayed_motor_acts_as_one_that_is_told_later(substeps):
    dt = SceneConfig().timestep
    delay = PhysicsTerm(["actuator_delay"], f"constant({substeps * dt})", of="robot", apply="add")
    start, there = torch.full((1, 20), 0.1), torch.full((1, 20), 0.3)
    moved = []
    for terms, told_late in (({"late": delay}, False), ({}, True)):
        physics = randomized(terms, n=1)
        physics.set_target(start)
        physics.remember_target(torch.arange(1))
        physics.forward(torch.arange(1))
        physics.set_target(start if told_late else there)
        physics.step(substeps)
        physics.set_target(there)
        physics.step(4)
        moved.append(physics.measure()["joint_pos"])
    torch.testing.assert_close(moved[0], moved[1], atol=1e-6, rtol=0)
    assert (moved[0] > 0.02).any()


@pytest.mark.parametrize("delay", [0.005, 0.03, 0.08])
def test_delays_between_sub_steps_keep_their_mean(delay):
    physics = randomized({"late": PhysicsTerm(["actuator_delay"], f"constant({delay})", of="robot", apply="add")})
    dt = physics.model.opt.timestep
    substeps = np.ceil(physics.batch.expand("actuator_delay") / dt)  # MuJoCo holds the older sample
    assert set(np.unique(substeps)) <= {np.floor(delay / dt), np.ceil(delay / dt)}
    late, draws = int((substeps - np.floor(delay / dt)).sum()), substeps.size
    share = delay / dt - np.floor(delay / dt)
    if 0.01 < share < 0.99:  # else it is a whole number of sub-steps, but for rounding
        assert stats.binomtest(late, draws, share).pvalue > 0.001


def test_size_mass_and_inertia_of_the_block_multiply():
    terms = {
        "size": PhysicsTerm(["geom_size"], "constant(1.1)", of="object", per="group"),
        "mass": PhysicsTerm(["body_mass", "body_inertia"], "constant(1.5)", of="object"),
        "inertia": PhysicsTerm(["body_inertia"], "constant(3)"),
    }
    physics = randomized(terms, n=2)
    inertia = physics.batch.expand("body_inertia")[1] / np.where(
        physics.model.body_inertia, physics.model.body_inertia, 1.0
    )
    np.testing.assert_allclose(inertia[physics.model.body("block").id], 1.1**2 * 1.5 * 3)
    np.testing.assert_allclose(inertia[physics.model.body("rh_palm").id], 3)


def test_impossible_terms_are_refused():
    for term, word in (
        (PhysicsTerm(fields=["actuator_delay"], draw="uniform(0, 1)", apply="add"), "0 to 0.16 s"),
        (PhysicsTerm(fields=["eq_data"], draw="uniform(0, 1)"), "could be selected"),
        (PhysicsTerm(fields=["body_colour"], draw="uniform(0, 1)"), "body_colour"),
        (PhysicsTerm(fields=["body_mass"], draw="uniform(0, 1)", names="rh_tail*"), "selects nothing"),
        (PhysicsTerm(fields=["geom_size"], draw="uniform(0.9, 1.1)", of="robot"), "cannot be randomized"),
    ):
        with pytest.raises(ValueError, match=word):
            randomized({"term": term}, n=1)
