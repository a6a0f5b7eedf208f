"""Hands that we did not write, put into our scene under our names, so that nothing else need know of it."""

import difflib
import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from robot import hand
from robot.frames import Pose
from robot.plant import BASE, JointMap, PlantConfig

PREFIX = "rh_"
"""Put before every name of the hand, so that it counts as the robot's."""

MENAGERIE = "mujoco_menagerie"

_SIZES = (
    *("njmax", "nconmax", "memory", "nuserdata", "nuser_body", "nuser_jnt", "nuser_geom", "nuser_site"),
    *("nuser_cam", "nuser_tendon", "nuser_actuator", "nuser_sensor"),
)
_TENDON_ATTRIBUTES = (
    *("limited", "margin", "stiffness", "damping", "frictionloss", "armature", "actfrclimited", "actfrcrange"),
    *("solref_limit", "solimp_limit", "solref_friction", "solimp_friction", "group", "width", "rgba"),
)

_TURNED_EQUALITIES = {mujoco.mjtEq.mjEQ_JOINT: "joints", mujoco.mjtEq.mjEQ_TENDON: "tendons"}
"""Those that count angles from a zero, and in a direction, that are not ours."""


class PlantUnavailable(RuntimeError):
    """This machine has no copy of a plant's model; the message says how to get one."""


def locate(plant: PlantConfig) -> Path:
    """The MJCF of a plant's hand on this machine; nothing is downloaded.

    Raises:
        PlantUnavailable: if there is none.
    """
    if not plant.foreign:
        return hand.HAND_MJCF
    install = f".venv/bin/pip install {plant.install}"
    if plant.directory is not None:
        path, remedy = Path(plant.directory) / plant.file, "plant.directory must hold it"
    else:
        found = importlib.util.find_spec(plant.package)
        if found is None or not found.submodule_search_locations:
            raise PlantUnavailable(f"plant {plant.name} needs a package that is not installed: {install}")
        if plant.package == MENAGERIE:
            path, remedy = _in_menagerie(plant.file)
        else:
            path, remedy = Path(found.submodule_search_locations[0]) / plant.file, f"another release has it: {install}"
    if not path.is_file():
        raise PlantUnavailable(f"plant {plant.name} has no copy on this machine, {path} does not exist; {remedy}")
    return path


def _in_menagerie(file: str) -> tuple[Path, str]:
    """Where Menagerie's package keeps a model, and how it gets there: the package itself carries none."""
    import mujoco_menagerie

    model, _, file = file.partition("/")
    cache = mujoco_menagerie.Cache()
    directory = cache.root / model if cache.root else cache.model_path(mujoco_menagerie.get(model))
    remedy = f"fetch it once with .venv/bin/mujoco-menagerie prefetch {model}, or set MENAGERIE_ROOT to a checkout"
    return directory / file, remedy


def add_hand(spec: mujoco.MjSpec, plant: PlantConfig) -> None:
    """Adds the hand of a foreign plant to a scene, its base frame at the world's.

    Joints and actuators get our names, directions and zeros, and our frames with their markers are added; all else
    keeps its name behind ``PREFIX``. Geometry, masses, servos, tendons and contacts stay theirs.

    Raises:
        PlantUnavailable: if this machine has no copy of it.
        ValueError: if the mapping does not fit the model.
    """
    foreign = mujoco.MjSpec.from_file(str(locate(plant)))
    for unread in (*foreign.sensors, *foreign.keys):
        foreign.delete(unread)
    # how physics is integrated, and for how much there is room, is the scene's affair
    foreign.option = spec.option
    for size in _SIZES:
        setattr(foreign, size, getattr(spec, size))
    # in our scene these groups mean the goal's geoms and the markers' sites
    for shown in foreign.geoms:
        shown.group = 0 if shown.group == 1 else shown.group
    for shown in foreign.sites:
        shown.group = 4 if shown.group == 2 else shown.group

    _attach(spec, foreign, plant)
    _map_joints(spec, plant)
    _map_actuators(spec, plant)
    _add_frames(spec, plant)


def _attach(spec: mujoco.MjSpec, foreign: mujoco.MjSpec, plant: PlantConfig) -> None:
    place = plant.frames[BASE]
    root = foreign.body(place.body)
    if root is None:
        raise ValueError(_unknown(plant, "body", place.body, (body.name for body in foreign.bodies)))
    root.pos, root.quat = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    root.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    pos, quat = (torch.tensor(numbers, dtype=torch.float64) for numbers in (place.pos, place.quat))
    T_base_root = Pose(pos, quat).inverse()
    frame = spec.worldbody.add_body(name=BASE).add_frame(pos=T_base_root.pos.numpy(), quat=T_base_root.quat.numpy())
    frame.attach_body(root, PREFIX, "")


def _map_joints(spec: mujoco.MjSpec, plant: PlantConfig) -> None:
    for equality in spec.equalities:
        if what := _TURNED_EQUALITIES.get(equality.type):
            raise ValueError(f"plant {plant.name} ties {what} by equality constraints, which a mapping cannot turn")
    theirs = {joint.name: joint for joint in spec.joints if joint.name.startswith(PREFIX)}
    names = {name: each.joint for name, each in plant.joints.items()}
    found = _match(plant, "joint", names, theirs)
    maps = {joint.name: (name, plant.joints[name]) for name, joint in found.items()}
    for tendon in list(spec.tendons):
        if all(wrap.type == mujoco.mjtWrap.mjWRAP_JOINT for wrap in tendon.path):
            _map_tendon(spec, tendon, maps)
    for actuator in spec.actuators:
        if actuator.target in maps:
            actuator.target, turn = maps[actuator.target]
            actuator.ctrlrange = _turned(actuator.ctrlrange, turn.sign, turn.offset)
            actuator.forcerange = _turned(actuator.forcerange, turn.sign)
    for name, joint in found.items():
        turn = plant.joints[name]
        offset = math.degrees(turn.offset) if joint.compiler.degree else turn.offset
        joint.name = name
        joint.axis = turn.sign * joint.axis
        joint.ref, joint.springref = turn.sign * joint.ref + offset, turn.sign * joint.springref + offset
        joint.range = _turned(joint.range, turn.sign, offset)
        joint.actfrcrange = _turned(joint.actfrcrange, turn.sign)


def _map_tendon(spec: mujoco.MjSpec, old: mujoco.MjsTendon, maps: dict[str, tuple[str, JointMap]]) -> None:
    """Makes a tendon over joints anew, because neither the joints nor the coefficients of one can be changed."""
    name, path = old.name, [(*maps[wrap.target.name], wrap.coef) for wrap in old.path]
    new = spec.add_tendon()
    for attribute in _TENDON_ATTRIBUTES:
        setattr(new, attribute, getattr(old, attribute))
    longer = sum(coef * turn.sign * turn.offset for _, turn, coef in path)
    new.range = _turned(old.range, 1.0, longer)
    new.springlength = [length + longer if length >= 0.0 else length for length in old.springlength]
    for joint, turn, coef in path:
        new.wrap_joint(joint, turn.sign * coef)
    for actuator in spec.actuators:
        if actuator.target == name:
            actuator.ctrlrange = _turned(actuator.ctrlrange, 1.0, longer)
    spec.delete(old)
    new.name = name


def _turned(limits: np.ndarray, sign: float, offset: float = 0.0) -> np.ndarray:
    """A range (2,) in our direction and from our zero; (0, 0) means that none is given."""
    return np.sort(sign * limits) + offset if limits.any() else limits


def _map_actuators(spec: mujoco.MjSpec, plant: PlantConfig) -> None:
    names = {name: each.actuator for name, each in plant.actuators.items()}
    found = _match(plant, "actuator", names, {actuator.name: actuator for actuator in spec.actuators})
    for name, actuator in found.items():
        if actuator.gainprm[0] <= 0.0 or actuator.biasprm[1] != -actuator.gainprm[0] or actuator.gear[0] != 1.0:
            raise ValueError(f"actuator {names[name]!r} of plant {plant.name} is no position servo in radians")
        scale = plant.actuators[name].scale
        actuator.name = name
        actuator.gainprm[0] *= scale  # force = kp (scale · target − position)
        actuator.ctrlrange = actuator.ctrlrange / scale


def _add_frames(spec: mujoco.MjSpec, plant: PlantConfig) -> None:
    own = mujoco.MjSpec.from_file(str(hand.HAND_MJCF))
    for name, place in plant.frames.items():
        body = spec.body(name)
        if name != BASE:
            parent = spec.body(PREFIX + place.body)
            if parent is None:
                theirs = (each.name.removeprefix(PREFIX) for each in spec.bodies)
                raise ValueError(_unknown(plant, "body", place.body, theirs))
            body = parent.add_body(name=name, pos=place.pos, quat=place.quat)
        for site in own.body(name).sites:
            body.add_site(name=site.name, pos=site.pos, size=site.size, rgba=site.rgba, group=site.group)


def _match(plant: PlantConfig, kind: str, names: dict[str, str], elements: dict[str, Any]) -> dict[str, Any]:
    """The element of each of our names.

    Raises:
        ValueError: if one is missing, or one is left over, which nothing would drive or measure.
    """
    for theirs in names.values():
        if PREFIX + theirs not in elements:
            raise ValueError(_unknown(plant, kind, theirs, (name.removeprefix(PREFIX) for name in elements)))
    if left := elements.keys() - {PREFIX + theirs for theirs in names.values()}:
        raise ValueError(f"plant {plant.name} maps {kind} {min(left).removeprefix(PREFIX)!r} to none of ours")
    return {ours: elements[PREFIX + theirs] for ours, theirs in names.items()}


def _unknown(plant: PlantConfig, kind: str, name: str, known: Iterable[str]) -> str:
    near = ", ".join(difflib.get_close_matches(name, list(known), n=1, cutoff=0.0))
    return f"plant {plant.name} maps {kind} {name!r}, which its model has not; the nearest is {near or 'none'}"
