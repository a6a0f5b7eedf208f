"""What a setting of the physics does to a block that rests, is pressed, slides or is moved: figures to compare."""

import math
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from mujoco import batch
from scipy.spatial.transform import Rotation
from torch import Tensor

from robot import hand, rotation
from robot.goal import UP_BASE
from sim.cpu_physics import CpuPhysics
from sim.puppet import base_pose
from sim.reset import home_joint_pos
from sim.scene import BLOCK_HALF_DIAGONAL, PALM_CENTER

GRAVITY = 9.81

PALM_MIDDLE = (0.2845, -0.011, 0.3495)
"""Where the block lies flat on the middle of the palm [m, world]."""

OVER_FINGERTIPS = (0.432, -0.011, 0.3506)
"""Where it hovers 6 mm above the straight fingers."""

PRESSES = tuple((knuckles, outer) for knuckles in (0.3, 0.4, 0.5, 0.6) for outer in (0.0, 0.25, 0.5))
"""Targets [rad] of the fingers' J3 and J0 that press them against it."""

HEADINGS = 8
"""Headings of a block, and directions of a slope, that are tried."""

SLOPE_FRICTION = 0.5
"""Coefficient of friction of the sliding block: with more, a cube would tip over before it slides."""

SLOPE_RATE = math.radians(0.5)
"""How fast the palm is tilted [rad/s]: slowly, against the angle's tolerance."""

SLIDES = 0.010
"""The block slides when it is faster than this [m/s]."""

FLAT = 0.010
"""Half the height [m] of a block so flat that it slides before it topples, whatever its friction here."""

FLAT_FRICTION = (0.3, 0.5, 0.7, 0.9, 1.1, 1.3)
FLAT_POS = (PALM_CENTER[0] - 0.010, PALM_CENTER[1] - FLAT, PALM_CENTER[2])
"""Where it lies on the palm, clear of the thumb [m, base frame]."""

FLAT_HEADINGS = (-0.5 * math.pi, -0.4 * math.pi)
"""Directions of its slope: away from the fingers."""

FLAT_TIME = 0.4

MASS, GAIN = (0.5, 1.5), (0.5, 2.0)
SPREAD = {
    "dof_damping": (0.3, 3.0),
    "dof_armature": (0.3, 3.0),
    "dof_frictionloss": (0.3, 3.0),
    "geom_friction": (0.5, 1.5),
}
"""Factors by which the stability test changes masses, servo gains and model fields: D18's ranges (Table 1) or wider."""

EPISODE = 50
"""Control steps of an episode of the stability test."""


def at_rest(model: mujoco.MjModel, seconds: float = 10.0) -> dict[str, float]:
    """How far a block at rest on the palm drifts, and how deep it sinks in [mm]: the worst of several headings."""
    drift, deepest = 0.0, 0.0
    for heading in np.arange(HEADINGS) * 2 * math.pi / HEADINGS:
        data = _on_palm(model, heading)
        start = data.joint("block").qpos[:3].copy()
        for _ in range(10):
            _run(model, data, seconds / 10)
            deepest = max(deepest, *(-data.contact.dist).tolist())
        drift = max(drift, float(np.linalg.norm(data.joint("block").qpos[:3] - start)))
    return {"drift_mm": 1e3 * drift, "penetration_mm": 1e3 * deepest}


def pressed(spec: mujoco.MjSpec) -> dict[str, float]:
    """The force [N] of three fingers on a block that cannot move: in the first 0.3 s, and when all is still.

    The fingers are ordered beyond the block's surface, so that their servos press with known torques; the mean of
    several such orders, because where a fingertip sticks to the surface differs between any two settings.
    """
    fixed = spec.copy()
    fixed.delete(fixed.joint("block"))
    fixed.body("block").pos = OVER_FINGERTIPS
    model = fixed.compile()
    data = mujoco.MjData(model)
    closing, holding = [], []
    for knuckles, outer in PRESSES:
        mujoco.mj_resetData(model, data)
        _run(model, data, 0.5)
        for finger in ("FF", "MF", "RF"):
            data.actuator(f"rh_A_{finger}J3").ctrl = knuckles
            data.actuator(f"rh_A_{finger}J0").ctrl = outer
        forces = []
        for _ in range(round(2.0 / model.opt.timestep)):
            mujoco.mj_step(model, data)
            forces.append(_touch(model, data, model.body("block").id)[0])
        closing.append(np.mean(forces[: round(0.32 / model.opt.timestep)]))
        holding.append(np.mean(forces[-round(0.5 / model.opt.timestep) :]))
    return {"closing_N": float(np.mean(closing)), "holding_N": float(np.mean(holding))}


def _touch(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> tuple[float, float]:
    """Sum of the normal forces [N] on a body, and how deep others are in it [m]."""
    force, total, depth = np.empty(6), 0.0, 0.0
    for i, contact in enumerate(data.contact[: data.ncon]):
        if body in model.geom_bodyid[contact.geom]:
            mujoco.mj_contactForce(model, data, i, force)
            total += force[0]
            depth = max(depth, -contact.dist)
    return total, depth


def sliding(model: mujoco.MjModel) -> dict[str, float]:
    """The slope at which the block begins to slide over that of Coulomb's law, least and most of several directions."""
    model.geom_friction[:, 0] = SLOPE_FRICTION
    touching = [model.geom(name).id for name in ("block", "rh_C_palm")]
    model.geom_contype[:] = model.geom_conaffinity[:] = 0
    model.geom_contype[touching] = model.geom_conaffinity[touching] = 1
    shares = []
    for direction in np.arange(HEADINGS) * 2 * math.pi / HEADINGS:
        level = np.array([math.cos(direction), math.sin(direction), 0.0])
        model.opt.gravity = [0.0, 0.0, -GRAVITY]
        data = _on_palm(model, 0.0)
        tilt, end = 0.0, 1.5 * math.atan(SLOPE_FRICTION)
        while np.linalg.norm(data.joint("block").qvel[:3]) < SLIDES and tilt < end:
            tilt += (SLOPE_RATE if tilt > end / 2 else 8.0 * SLOPE_RATE) * model.opt.timestep
            model.opt.gravity = GRAVITY * (math.sin(tilt) * level - [0.0, 0.0, math.cos(tilt)])
            mujoco.mj_step(model, data)
        # the wrist yields a little under the weight of the hand
        up = -data.body("rh_palm").xmat.reshape(3, 3)[:, 1]
        slope = math.acos(float(-up @ model.opt.gravity) / GRAVITY)
        shares.append(math.tan(slope) / SLOPE_FRICTION)
    return {"slope_least": min(shares), "slope_most": max(shares)}


def flat(spec: mujoco.MjSpec) -> dict[str, float]:
    """A flat block on a hand that cannot give way, on slopes 5 % below and above Coulomb's.

    How far [mm] it creeps below, at most, and how far it slides above over Coulomb's way, at least.
    """
    friction = np.array(FLAT_FRICTION)
    below = [slid(spec, 0.95 * friction, friction, heading) for heading in FLAT_HEADINGS]
    above = [slid(spec, 1.05 * friction, friction, heading) for heading in FLAT_HEADINGS]
    angle = np.arctan(1.05 * friction)
    coulomb = 0.5 * GRAVITY * (np.sin(angle) - friction * np.cos(angle)) * FLAT_TIME**2
    return {"creep_mm": 1e3 * float(np.abs(below).max()), "slide_share": float((above / coulomb).min())}


def slid(spec: mujoco.MjSpec, slope: np.ndarray, friction: np.ndarray, heading: float) -> np.ndarray:
    """How far [m] flat blocks slide in ``FLAT_TIME``, each with its own friction on its own slope (tangent)."""
    spec = spec.copy()
    for part in (*spec.actuators, *spec.tendons, *(joint for joint in spec.joints if joint.name != "block")):
        spec.delete(part)
    spec.geom("block").size[1] = FLAT
    model = spec.compile()
    base = base_pose(model)
    worlds = batch.Batch(model, nsim=len(slope), nthread=1)
    worlds.expand("geom_friction")[:, :, 0] = friction[:, None]
    worlds.bind("qpos")[:, :3] = base.apply(torch.tensor(FLAT_POS).double()).numpy()
    worlds.bind("qpos")[:, 3:] = base.quat.numpy()
    ahead = np.array([math.cos(heading), 0.0, math.sin(heading)])  # in the palm's plane
    angle = np.arctan(slope)[:, None]
    down = -np.array(UP_BASE)
    to_world = Rotation.from_quat(base.quat.numpy(), scalar_first=True)
    level, tilted = np.tile(down, (len(slope), 1)), np.sin(angle) * ahead + np.cos(angle) * down
    moved = np.empty(0)
    for pull, seconds in ((level, 0.5), (tilted, FLAT_TIME)):
        worlds.expand("opt.gravity")[:] = GRAVITY * to_world.apply(pull)
        start = worlds.bind("qpos")[:, :3].copy()
        worlds.step(nstep=round(seconds / model.opt.timestep))
        moved = worlds.bind("qpos")[:, :3] - start
    return moved @ to_world.apply(ahead)


def coupling(model: mujoco.MjModel) -> dict[str, float]:
    """By how much the distal joints lead the middle ones [rad] while a torque of 0.1 N m bends them on."""
    data = mujoco.MjData(model)
    fingers = [f"rh_{finger}J" for finger in hand.COUPLED_FINGERS]
    lead = 0.0
    for _ in range(round(1.0 / model.opt.timestep)):
        for finger in fingers:
            data.joint(f"{finger}1").qfrc_applied = 0.1
        mujoco.mj_step(model, data)
        lead = max(lead, *(float(data.joint(f"{f}1").qpos[0] - data.joint(f"{f}2").qpos[0]) for f in fingers))
    return {"lead_rad": lead}


@dataclass(frozen=True)
class Scenario:
    """States to begin from and what the actuators are then told: the same for every setting."""

    states: np.ndarray
    """(worlds, size of ``mjSTATE_INTEGRATION``)."""
    targets: np.ndarray
    """Per control step the targets of all actuators, (steps, worlds, 20), which move at most at the maker's speeds."""


def scenario(model: mujoco.MjModel, worlds: int, steps: int, period: float) -> Scenario:
    """Hands that hold a block, after a second of random motion under ``model``; those that drop it are left out."""
    generator = torch.Generator().manual_seed(0)
    physics = CpuPhysics(model, worlds, threads=1)
    target = _begin(physics, generator)
    physics.step(round(0.4 / model.opt.timestep))

    lower, upper = hand.actuator_range()
    reach = hand.actuator_speed() * period
    velocity = torch.zeros_like(target)
    before, targets = round(1.0 / period), []
    for step in range(before + steps):
        # motions that last a few steps, as those of a policy do
        velocity = 0.5 * velocity + torch.randn(target.shape, generator=generator)
        target = (target + reach * velocity.clamp(-1.0, 1.0)).clamp(lower, upper)
        if step < before:
            physics.set_target(target)
            physics.step(round(period / model.opt.timestep))
        else:
            targets.append(target)
    held = (physics.measure()["object_pos"][:, 1] < 0.0).numpy()
    order = np.argsort([model.actuator(name).id for name in hand.ACTUATOR_NAMES])
    return Scenario(physics.batch.state[held].copy(), torch.stack(targets).double().numpy()[:, held][..., order])


def play(model: mujoco.MjModel, scene: Scenario, period: float) -> np.ndarray:
    """Positions after every control step of a scenario, (steps, worlds, nq)."""
    worlds = batch.Batch(model, nsim=len(scene.states), nthread=1)
    worlds.state[:] = scene.states
    ctrl, qpos = worlds.bind("ctrl"), worlds.bind("qpos")
    path = []
    for targets in scene.targets:
        ctrl[:] = targets
        worlds.step(nstep=round(period / model.opt.timestep))
        path.append(qpos.copy())
    return np.stack(path)


def moving(model: mujoco.MjModel, scene: Scenario, period: float) -> dict[str, float]:
    """The normal force [N] on a block that is held firmly, and how deep a block is penetrated [mm].

    Per control step: the mean force, so that sub-steps of any length compare, and the deepest penetration. Of all steps
    the force's ninth decile, because in half of them the block merely lies, with its weight, in every setting, while
    a few hard hits, others in every setting, decide the mean; and the penetration's median.
    """
    data = mujoco.MjData(model)
    block = model.body("block").id
    forces, depths = [], []
    for world, state in enumerate(scene.states):
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        for targets in scene.targets[:, world]:
            data.ctrl[:] = targets
            within = []
            for _ in range(round(period / model.opt.timestep)):
                mujoco.mj_step(model, data)
                within.append(_touch(model, data, block))
            forces.append(np.mean([force for force, _ in within]))
            depths.append(max(depth for _, depth in within))
    return {
        "moving_N": float(np.quantile(forces, 0.9)),
        "moving_penetration_mm": 1e3 * float(np.median(depths)),
    }


def apart(model: mujoco.MjModel, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Medians over worlds of how far two positions, (worlds, nq), differ: block [mm] and [rad], joints [rad, RMS]."""
    block = int(model.joint("block").qposadr[0])
    joints = [int(model.joint(name).qposadr[0]) for name in hand.JOINT_NAMES]
    moved = np.linalg.norm(one[:, block : block + 3] - other[:, block : block + 3], axis=1)
    quats = [torch.from_numpy(x[:, block + 3 : block + 7]) for x in (one, other)]
    bent = np.sqrt(((one[:, joints] - other[:, joints]) ** 2).mean(axis=1))
    return {
        "apart_mm": 1e3 * float(np.median(moved)),
        "apart_rad": float(rotation.distance(*quats).median()),
        "apart_joints_rad": float(np.median(bent)),
    }


def diverged(model: mujoco.MjModel, worlds: int, episodes: int, period: float) -> dict[str, float]:
    """How many episodes of random physics diverge in which every target jumps across its whole range at random."""
    generator = torch.Generator().manual_seed(0)
    random = np.random.default_rng(0)
    physics = CpuPhysics(model, worlds, threads=1)
    lower, upper = hand.actuator_range()
    lost = 0
    for _ in range(episodes):
        _randomize(physics, random)
        _begin(physics, generator)
        for _ in range(EPISODE):
            physics.set_target(lower + (upper - lower) * torch.rand(worlds, len(lower), generator=generator))
            physics.step(round(period / model.opt.timestep))
        lost += int(physics.diverged().sum())
    return {"diverged": lost}


def _randomize(physics: CpuPhysics, random: np.random.Generator) -> None:
    model, n = physics.model, physics.n
    mass = random.uniform(*MASS, (n, model.nbody))
    physics.batch.expand("body_mass")[:] = mass * model.body_mass
    physics.batch.expand("body_inertia")[:] = mass[..., None] * model.body_inertia
    gain = random.uniform(*GAIN, (n, model.nu))
    physics.batch.expand("actuator_gainprm")[..., 0] = gain * model.actuator_gainprm[:, 0]
    physics.batch.expand("actuator_biasprm")[..., 1] = gain * model.actuator_biasprm[:, 1]
    for field, span in SPREAD.items():
        nominal = getattr(model, field)
        physics.batch.expand(field)[:] = nominal * random.uniform(*span, (n, *nominal.shape))
    physics.set_const(torch.arange(n))


def _begin(physics: CpuPhysics, generator: torch.Generator) -> Tensor:
    """Half opens all hands and hangs the blocks above their palms; returns the actuators' targets [rad], (n, 20)."""
    n, everyone = physics.n, torch.arange(physics.n)
    joints = home_joint_pos().expand(n, -1)
    pos = torch.tensor(PALM_CENTER) + 0.005 * torch.randn(n, 3, generator=generator)
    pos[:, 1] -= BLOCK_HALF_DIAGONAL  # up is -y
    target = hand.actuator_pos(joints)
    physics.reset(everyone)
    physics.set_joints(everyone, joints)
    physics.set_block(everyone, pos, rotation.random_uniform(n, generator))
    physics.set_target(target)
    physics.forward(everyone)
    return target


def _on_palm(model: mujoco.MjModel, heading: float) -> mujoco.MjData:
    """The flat hand with the block in the middle of its palm, at rest for a second."""
    data = mujoco.MjData(model)
    _place(data, PALM_MIDDLE, heading)
    _run(model, data, 1.0)
    return data


def _place(data: mujoco.MjData, pos: tuple[float, float, float], heading: float) -> None:
    data.joint("block").qpos[:3] = pos
    data.joint("block").qpos[3:] = math.cos(heading / 2), 0.0, 0.0, math.sin(heading / 2)


def _run(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    mujoco.mj_step(model, data, nstep=round(seconds / model.opt.timestep))
