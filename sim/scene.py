"""The scene: the hand with its palm up, the block, the goal shown beside it, cameras and lights."""

from dataclasses import dataclass

import mujoco
import numpy as np

from robot import hand
from robot.checks import check_choice, check_numbers
from robot.plant import BASE, SHADOW, PlantConfig
from sim.plant import add_hand

CAMERAS = ("camera0", "camera1", "camera2")
BASE_HEIGHT = 0.30
"""Height of the base frame above the floor [m]."""

BASE_QUAT = (0.5, -0.5, 0.5, -0.5)
"""``quat_world_base``: the forearm points along world +x, the palm faces up (+z), the thumb is at world -y."""

GOAL_POS = (0.33, 0.20, 0.44)
"""Where the goal orientation is shown [m, world]; it collides with nothing."""

PALM_CENTER = (0.0, -0.0215, 0.318)
"""A point on the palm, above which the block is placed, in the base frame [m]."""

BLOCK_HALF_DIAGONAL = 0.050
"""From the block's centre to its corner [m], of the largest block that is drawn (5 % over 55 mm)."""

_WORKSPACE = np.array([0.31, 0.0, 0.34])
_CAMERA_POS = {"camera0": (0.45, -0.45, 0.75), "camera1": (0.45, 0.45, 0.75), "camera2": (0.78, 0.0, 0.62)}
_VIDEO_POS = (0.82, -0.42, 0.78)


INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "discrete": mujoco.mjtIntegrator.mjINT_DISCRETE,
}


@dataclass(frozen=True)
class SceneConfig:
    """How the physics of the scene is integrated; docs/physics.md measures what each choice costs and changes.

    Raises:
        ValueError: if there is no such integrator, or a number is out of its range.
    """

    timestep: float = 0.02
    """Seconds per sub-step."""

    integrator: str = "discrete"
    """``discrete`` treats servos and contacts implicitly and stays true at long sub-steps; ``implicitfast`` and
    ``euler`` need sub-steps of 8 ms or less."""

    iterations: int = 20
    """Most solver iterations per sub-step (robogym)."""

    tolerance: float = 1e-4
    """The solver stops when an iteration improves its scaled cost by less; with 1e-3 or more, blocks stick that
    should slide."""

    islands: bool = False
    """Solves groups of bodies that do not touch each other one by one."""

    elliptic: bool = True
    """Elliptic friction cones; pyramidal ones, with less friction across the axes, if false."""

    impratio: float = 10.0
    """Ratio of frictional to normal constraint impedance; above 1 it slows creep of the held block (Menagerie)."""

    def __post_init__(self) -> None:
        check_choice("scene integrator", self.integrator, INTEGRATORS)
        check_numbers("scene", self, "timestep", "iterations", "tolerance", "impratio", above=0)


def build_spec(config: SceneConfig, plant: PlantConfig = SHADOW) -> mujoco.MjSpec:
    """The scene as an editable specification, with our own hand or that of another plant (see ``sim.plant``)."""
    own_hand = "" if plant.foreign else f'<include file="{hand.HAND_MJCF}"/>'
    # included, not attached: attaching would put a prefix before every name
    spec = mujoco.MjSpec.from_string(
        f"""<mujoco model="inhand">
          <compiler angle="radian" texturedir="{hand.ASSETS}"/>
          {own_hand}
          <include file="{hand.BLOCK_MJCF}"/>
        </mujoco>"""
    )
    if plant.foreign:
        add_hand(spec, plant)
    spec.body(BASE).pos = [0.0, 0.0, BASE_HEIGHT]
    spec.body(BASE).quat = list(BASE_QUAT)
    spec.body("block").pos = list(_WORKSPACE + [0.0, 0.0, 0.03])
    option = spec.option
    option.timestep = config.timestep
    option.integrator = INTEGRATORS[config.integrator]
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC if config.elliptic else mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.impratio = config.impratio
    # few contacts touch few joints; MuJoCo would choose dense matrices for so small a model, and be half as fast
    option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    option.iterations = config.iterations
    option.tolerance = config.tolerance
    if not config.islands:
        option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND
    # shadows and multi-sampling cost 70 times on a software renderer
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960
    spec.visual.map.znear = 0.02
    spec.stat.center = _WORKSPACE
    spec.stat.extent = 0.8

    world = spec.worldbody
    _add_surroundings(spec)
    goal = world.add_body(name="goal", mocap=True, pos=list(GOAL_POS))
    block = spec.geom("block")
    goal.add_geom(type=block.type, size=block.size, material="block", contype=0, conaffinity=0, group=1)
    return spec


def build_model(config: SceneConfig | None = None, plant: PlantConfig = SHADOW) -> mujoco.MjModel:
    """The compiled scene; names are those of ``robot.hand``, body and free joint of the block are ``block``."""
    return build_spec(config or SceneConfig(), plant).compile()


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.86, 0.87, 0.89],
        rgb2=[0.80, 0.81, 0.84],
        width=256,
        height=256,
    )
    textures = [""] * mujoco.mjtTextureRole.mjNTEXROLE
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.add_material(name="floor", textures=textures, texrepeat=[8, 8])
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.95, 0.96, 0.98],
        rgb2=[0.80, 0.84, 0.90],
        width=128,
        height=128,
    )
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], material="floor", contype=0, conaffinity=0
    )
    for name, pos in (("key", [0.6, -0.8, 1.6]), ("fill", [0.2, 0.9, 1.4])):
        world.add_light(name=name, pos=pos, dir=list(_WORKSPACE - pos), diffuse=[0.5, 0.5, 0.5], castshadow=False)
    for name, pos in (*_CAMERA_POS.items(), ("video", _VIDEO_POS)):
        world.add_camera(name=name, pos=list(pos), quat=_look_at(np.array(pos), _WORKSPACE).tolist(), fovy=30)


def _look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Orientation (wxyz) of a camera at ``eye`` that looks at ``target``; a camera looks along its -z, y is up."""
    backward = eye - target
    backward = backward / np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right = right / np.linalg.norm(right)
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(backward, right), backward], axis=1).flatten())
    return quat
