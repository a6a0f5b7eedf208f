"""Hands that others wrote, under our names: against our own model, whose kinematics are the maker's."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from inhand.config import load
from inhand.evaluate import EvalJob
from robot import hand
from robot.plant import SHADOW, ActuatorMap, FrameMap, JointMap, PlantConfig
from sim.cpu_physics import CpuPhysics
from sim.env import ReorientEnv
from sim.plant import PlantUnavailable, locate
from sim.reset import ResetConfig, Resetter, Unsettled
from sim.scene import build_model, build_spec
from sim.task import TaskConfig


def plant(*overrides: str) -> PlantConfig:
    return load("eval", EvalJob, ["policy=none", *overrides]).plant


@pytest.fixture(scope="module")
def foreign() -> PlantConfig:
    return plant("plant=gymnasium_robotics")


@pytest.fixture(scope="module")
def theirs(foreign) -> mujoco.MjModel:
    return build_model(plant=foreign)


@pytest.fixture(scope="module")
def ours() -> mujoco.MjModel:
    return build_model()


def fingertips(model: mujoco.MjModel, joint_pos: np.ndarray) -> tuple[np.ndarray, Rotation]:
    """Places of the markers (5, 3) and orientations of the distal phalanges, base frame."""
    data = mujoco.MjData(model)
    for name, angle in zip(hand.JOINT_NAMES, joint_pos, strict=True):
        data.joint(name).qpos = angle
    mujoco.mj_kinematics(model, data)
    base = data.body("rh_forearm")
    to_base = base.xmat.reshape(3, 3).T
    places = np.array([to_base @ (data.site(name).xpos - base.xpos) for name in hand.FINGERTIP_MARKERS])
    bodies = model.site_bodyid[[model.site(name).id for name in hand.FINGERTIP_MARKERS]]
    return places, Rotation.from_matrix([to_base @ data.xmat[body].reshape(3, 3) for body in bodies])


def common_range(*models: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    ranges = np.array([[model.joint(name).range for name in hand.JOINT_NAMES] for model in models])
    return ranges[..., 0].max(axis=0), ranges[..., 1].min(axis=0)


def test_gymnasium_robotics_is_our_hand_but_for_two_millimetres(ours, theirs):
    lower, upper = common_range(ours, theirs)
    generator = np.random.default_rng(0)
    # their palm is ours; the little finger's metacarpal and the base of the thumb are placed otherwise
    most = np.array([1e-5, 1e-5, 1e-5, 0.002, 0.0005])
    for _ in range(100):
        joint_pos = generator.uniform(lower, upper)
        (a, turned_a), (b, turned_b) = fingertips(ours, joint_pos), fingertips(theirs, joint_pos)
        assert (np.linalg.norm(a - b, axis=1) < most).all()
        assert (turned_a * turned_b.inv()).magnitude().max() < math.radians(0.2)


@pytest.mark.parametrize("joint", range(24))
def test_every_joint_moves_its_fingertips_the_same_way(ours, theirs, joint):
    lower, upper = common_range(ours, theirs)
    middle = (lower + upper) / 2
    nudged = middle + 0.01 * np.eye(24)[joint]
    a, b = (fingertips(model, nudged)[0] - fingertips(model, middle)[0] for model in (ours, theirs))
    assert np.linalg.norm(a) > 1e-5
    np.testing.assert_allclose(b, a, atol=0.02 * np.linalg.norm(a, axis=1).max())


def test_every_actuator_drives_what_ours_drives(theirs):
    physics = CpuPhysics(theirs, 1, threads=1)
    physics.set_block(torch.tensor([0]), torch.tensor([[0.3, 0.3, 0.3]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    physics.forward(torch.tensor([0]))
    share = torch.linspace(0.2, 0.8, 20)
    lower, upper = hand.actuator_range()
    target = lower + share * (upper - lower)
    physics.set_target(target.unsqueeze(0))
    physics.step(250)
    reached = hand.actuator_pos(physics.measure()["joint_pos"][0])
    error = dict(zip(hand.ACTUATOR_NAMES, (reached - target).tolist(), strict=True))
    # servos without an integral part give way to gravity, most of all the wrist; fingers whose tendons have slack lag
    most = {name: 0.25 if name.endswith(("J0", "WRJ1")) else 0.1 for name in error}
    assert all(abs(error[name]) < most[name] for name in error), error


def test_the_block_settles_and_episodes_run_under_randomization(foreign, dactyl):
    env = ReorientEnv(TaskConfig(), dactyl, 16, seed=0, threads=1, plant=foreign)
    env.reset()
    assert float(env.measurement["object_linvel"].norm(dim=1).max()) < 0.2
    assert float(env.measurement["object_pos"][:, 1].max()) < -0.02
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        step = env.step(env.action_contract.from_bins(torch.randint(0, 11, (16, 20), generator=generator)))
        assert torch.isfinite(step.observation.policy).all() and torch.isfinite(step.observation.critic).all()
    assert env.diverged == 0


@pytest.mark.parametrize("model", ["ours", "theirs"])
def test_nearly_every_block_settles_at_the_first_try(model, request):
    physics = CpuPhysics(request.getfixturevalue(model), 256, threads=1)
    resetter = Resetter(ResetConfig(max_retries=0, cache=0), physics, torch.Generator().manual_seed(0))
    with pytest.raises(Unsettled) as failed:
        resetter.reset(torch.arange(256))
    assert len(failed.value.worlds) < 0.08 * 256  # 4 % of 1024, on either


@pytest.mark.parametrize("preset", ["extended", "adr"])
def test_what_is_added_to_tendons_must_be_in_their_unit(foreign, preset):
    def worlds(plant: PlantConfig, *without: str) -> ReorientEnv:
        job = load("eval", EvalJob, ["policy=none", f"randomization={preset}", *without])
        return ReorientEnv(TaskConfig(), job.randomization, 1, seed=0, threads=1, plant=plant)

    terms = [f"~randomization.physics.tendon_{name}" for name in ("stiffness", "range")]
    with pytest.raises(ValueError, match=rf"physics\.tendon_stiffness of preset {preset} adds Nm/rad .* in m; .*~rand"):
        worlds(foreign)
    with pytest.raises(ValueError, match=r"physics\.tendon_range .* adds rad to tendon_range, but tendons of plant"):
        worlds(foreign, terms[0])
    worlds(foreign, *terms)
    worlds(SHADOW)


def test_pictures_show_the_hand_and_not_its_collision_shapes(theirs):
    groups = {theirs.geom(i).name: int(theirs.geom_group[i]) for i in range(theirs.ngeom)}
    assert groups["rh_robot0:V_palm"] == 0 and groups["rh_robot0:C_palm0"] == 4
    markers = {theirs.site(i).name for i in range(theirs.nsite) if theirs.site_group[i] == 2}
    assert markers == {*hand.BASE_MARKERS, *hand.FINGERTIP_MARKERS}


TURNED = {
    "FFJ4": (-1, 0.0),
    "FFJ2": (-1, 0.3),
    "FFJ1": (-1, 0.0),
    "LFJ2": (1, -0.2),
    "THJ1": (-1, -0.4),
    "WRJ1": (1, 0.1),
}
"""Sign and offset of some joints of a copy of our hand."""


def write_turned_copy(path: Path) -> PlantConfig:
    """Writes our own hand with joints that have other names, directions and zeros, and maps it back."""
    signs = {f"rh_{name}": turn for name, turn in TURNED.items()}
    model = mujoco.MjModel.from_xml_path(str(hand.HAND_MJCF))
    tree = ET.parse(hand.HAND_MJCF)
    root = tree.getroot()

    def text(numbers) -> str:
        return " ".join(repr(float(number)) for number in numbers)

    def turn(limits: np.ndarray, sign: int, offset: float) -> str:
        return text(sorted(sign * (limits - offset)))

    for joint in root.findall(".//worldbody//joint"):
        name = joint.attrib["name"]
        sign, offset = signs.get(name, (1, 0.0))
        compiled = model.joint(name)
        joint.attrib |= {"name": f"their {name}", "axis": text(sign * compiled.axis)}
        joint.attrib |= {"range": turn(compiled.range, sign, offset)}
        joint.attrib |= {"ref": repr(-sign * offset), "springref": repr(-sign * offset)}
    longer = {}
    for tendon in root.findall("./tendon/fixed"):
        terms = [(each, *signs.get(each.attrib["joint"], (1, 0.0))) for each in tendon]
        longer[tendon.attrib["name"]] = sum(float(each.attrib["coef"]) * offset for each, _, offset in terms)
        for each, sign, _ in terms:
            each.attrib |= {"joint": f"their {each.attrib['joint']}", "coef": repr(sign * float(each.attrib["coef"]))}
        if "range" in tendon.attrib:
            limits = np.array(tendon.attrib["range"].split(), float)
            tendon.attrib["range"] = text(limits - longer[tendon.attrib["name"]])
    for actuator in root.findall("./actuator/position"):
        name = actuator.attrib["name"]
        limits = model.actuator(name).ctrlrange
        if "joint" in actuator.attrib:
            actuator.attrib |= {"ctrlrange": turn(limits, *signs.get(actuator.attrib["joint"], (1, 0.0)))}
            actuator.attrib["joint"] = f"their {actuator.attrib['joint']}"
        else:
            actuator.attrib["ctrlrange"] = text(limits - longer[actuator.attrib["tendon"]])
        actuator.attrib["name"] = f"their {name}"
    tree.write(path)
    maps = {name: JointMap(f"their {name}", *signs.get(name, (1.0, 0.0))) for name in hand.JOINT_NAMES}
    return PlantConfig(
        name="turned",
        file=path.name,
        directory=str(path.parent),
        joints=maps,
        actuators={name: ActuatorMap(f"their {name}") for name in hand.ACTUATOR_NAMES},
        frames={"rh_forearm": FrameMap("rh_forearm")}
        | {f"rh_{finger}distal": FrameMap(f"rh_{finger}distal") for finger in ("ff", "mf", "rf", "lf", "th")},
    )


def test_a_turned_copy_of_our_hand_that_is_mapped_back_moves_as_ours(ours, tmp_path):
    copy = build_model(plant=write_turned_copy(tmp_path / "turned.xml"))
    lower, upper = hand.actuator_range()
    targets = lower + (upper - lower) * torch.rand(10, 1, 20, generator=torch.Generator().manual_seed(0))
    worlds = [CpuPhysics(model, 1, threads=1) for model in (ours, copy)]
    for target in targets:
        for physics in worlds:
            physics.set_target(target)
            physics.step(10)
        a, b = (physics.measure() for physics in worlds)
        for field in ("joint_pos", "joint_vel", "fingertip_pos", "fingertip_quat", "object_pos"):
            torch.testing.assert_close(b[field], a[field], atol=1e-5, rtol=1e-4)
    for name in hand.JOINT_NAMES:
        np.testing.assert_allclose(copy.joint(name).range, ours.joint(name).range, atol=1e-9)
    for name in hand.ACTUATOR_NAMES:
        np.testing.assert_allclose(copy.actuator(name).ctrlrange, ours.actuator(name).ctrlrange, atol=1e-6)


@pytest.mark.parametrize(
    ("what", "equality"),
    [("joints", '<joint joint1="their rh_FFJ1"/>'), ("tendons", '<tendon tendon1="rh_FFJ0"/>')],
)
def test_equalities_that_a_mapping_cannot_turn_are_refused(tmp_path, what, equality):
    tied = write_turned_copy(tmp_path / "turned.xml")
    copy = tmp_path / "turned.xml"
    copy.write_text(copy.read_text().replace("</mujoco>", f"<equality>{equality}</equality></mujoco>"))
    with pytest.raises(ValueError, match=f"plant turned ties {what} by equality constraints"):
        build_model(plant=tied)


def test_menagerie_is_found_in_a_checkout_and_its_forearm_turned(ours, tmp_path, monkeypatch):
    text = hand.HAND_MJCF.read_text()
    wrist = '<body name="rh_wrist" pos="0 -0.010 0.21301">'
    assert wrist in text
    (tmp_path / "shadow_hand").mkdir()
    copy = tmp_path / "shadow_hand" / "right_hand.xml"
    copy.write_text(text.replace(wrist, '<body name="rh_wrist" pos="0.01 0 0.21301" quat="1 0 0 1">'))  # as theirs is
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    menagerie = plant("plant=menagerie")
    assert locate(menagerie) == copy
    joint_pos = np.random.default_rng(0).uniform(*common_range(ours))
    np.testing.assert_allclose(fingertips(build_model(plant=menagerie), joint_pos)[0], fingertips(ours, joint_pos)[0])


def test_without_a_copy_of_menagerie_the_message_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setenv("MENAGERIE_CACHE_DIR", str(tmp_path))
    with pytest.raises(PlantUnavailable, match="mujoco-menagerie prefetch shadow_hand, or set MENAGERIE_ROOT"):
        build_model(plant=plant("plant=menagerie"))


def test_without_its_package_the_message_names_it(foreign):
    missing = replace(foreign, package="no_such_package")
    with pytest.raises(PlantUnavailable, match=r"pip install -e '\.\[plants\]'"):
        build_spec(TaskConfig().scene, missing)
    with pytest.raises(PlantUnavailable, match=r"plant\.directory must hold it"):
        locate(replace(foreign, directory="elsewhere"))
    assert locate(SHADOW) == hand.HAND_MJCF


def test_a_mapping_that_does_not_fit_is_refused_by_name(foreign):
    joints = foreign.joints | {"rh_FFJ1": JointMap("robot0:FFJ9")}
    with pytest.raises(ValueError, match=r"maps joint 'robot0:FFJ9'.*nearest is robot0:FFJ"):
        build_model(plant=replace(foreign, joints=joints))
    with pytest.raises(ValueError, match="maps joint 'robot0:FFJ0' to none of ours"):
        build_model(plant=replace(foreign, joints=foreign.joints | {"rh_FFJ1": JointMap("robot0:MFJ0")}))
    with pytest.raises(ValueError, match="maps body 'robot0:thtip'"):
        build_model(plant=replace(foreign, frames=foreign.frames | {"rh_thdistal": FrameMap("robot0:thtip")}))
    with pytest.raises(ValueError, match="maps no rh_WRJ2 in its joints"):
        replace(foreign, joints={name: each for name, each in foreign.joints.items() if name != "rh_WRJ2"})
    with pytest.raises(ValueError, match="neither a package nor a directory"):
        replace(foreign, package="")
    with pytest.raises(ValueError, match="tendon_unit of plant gymnasium_robotics is 'mm'; allowed: rad, m"):
        replace(foreign, tendon_unit="mm")
    with pytest.raises(ValueError, match="allowed: 1, -1"):
        JointMap("robot0:FFJ0", sign=0.5)
