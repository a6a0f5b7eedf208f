"""Which elements of a model a randomization term means."""

import fnmatch

import mujoco
import numpy as np
from mujoco.batch import MODEL_FIELDS

KINDS = {
    "body": ("nbody", "body"),
    "jnt": ("njnt", "joint"),
    "geom": ("ngeom", "geom"),
    "site": ("nsite", "site"),
    "tendon": ("ntendon", "tendon"),
    "actuator": ("nu", "actuator"),
}
"""First words of model fields: the model's count of such elements, and its accessor by name or number."""


def select(field: str, of: str, names: str, model: mujoco.MjModel) -> np.ndarray | None:
    """Indices of the elements of ``field``; None for options, which are no elements.

    What belongs neither to the hand (``rh_…``) nor to the block never changes.

    Raises:
        ValueError: if the field cannot vary by world, or nothing is selected.
    """
    if field not in MODEL_FIELDS:
        raise ValueError(f"MuJoCo has no per-world model field {field!r}")
    if field.startswith("opt."):
        return None
    elements = _names(field.split("_")[0], model)
    if not elements:
        raise ValueError(
            f"the model has no elements of {field!r} that could be selected; kinds: dof, {', '.join(KINDS)}"
        )
    still = _welded(field, model)
    owners = ["object" if e == "block" else "robot" if e.startswith("rh_") else "scene" for e in elements]
    rows = [
        i
        for i, (element, owner) in enumerate(zip(elements, owners, strict=True))
        if i not in still and owner != "scene" and of in (owner, "all") and fnmatch.fnmatchcase(element, names)
    ]
    if not rows:
        raise ValueError(f"{field} selects nothing: of={of}, names={names}")
    return np.array(rows)


def nominal(field: str, model: mujoco.MjModel) -> np.ndarray:
    """The value of a field in the model as it was compiled."""
    owner, _, name = field.rpartition(".")
    return np.array(getattr(model.opt if owner == "opt" else model, name))


def _welded(field: str, model: mujoco.MjModel) -> set[int]:
    """Bodies that stand still in the world have no place that could differ: theirs is the base frame."""
    if field not in ("body_pos", "body_quat"):
        return set()
    return set(np.flatnonzero(model.body_weldid == 0).tolist())


def _names(kind: str, model: mujoco.MjModel) -> list[str]:
    """Names of all elements that a field's first word stands for; a geom without one goes by its body's."""
    if kind == "dof":
        return [model.joint(int(joint)).name for joint in model.dof_jntid]
    if kind not in KINDS:
        return []
    count, accessor = KINDS[kind]
    names = [getattr(model, accessor)(i).name for i in range(getattr(model, count))]
    if kind == "geom":
        return [name or model.body(int(model.geom_bodyid[i])).name for i, name in enumerate(names)]
    return names
