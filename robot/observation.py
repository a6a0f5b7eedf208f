"""The observation contract: the only code that turns measurements into network inputs.

The simulator calls it with a batch of thousands, the deployed control loop with a batch of one. A *measurement* is a
mapping from field names to tensors ``(n, *shape)``; a contract names the fields a network reads, and in which order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robot import rotation
from robot.hand import NUM_ACTUATORS, NUM_JOINTS


@dataclass(frozen=True)
class Field:
    """One measured quantity, without its batch dimension."""

    name: str
    shape: tuple[int, ...]
    unit: str
    frame: str
    meaning: str

    @property
    def size(self) -> int:
        """The number of scalars."""
        return int(torch.Size(self.shape).numel())


_HIDDEN = (
    Field("smoothed_action", (NUM_ACTUATORS,), "-", "-", "unit actions as noise and smoothing have left them"),
    Field("motor_target", (NUM_ACTUATORS,), "rad", "-", "targets less what slack has swallowed, as motors got them"),
    Field("actuator_slack", (NUM_ACTUATORS, 2), "-", "-", "full actions lost before a joint follows, down and up"),
    Field("actuator_delay", (NUM_ACTUATORS,), "s", "-", "how late a motor obeys"),
    Field("actuator_gain", (NUM_ACTUATORS,), "Nm/rad", "-", "stiffness of the motors' position control"),
    Field("joint_damping", (NUM_JOINTS,), "Nms/rad", "-", "damping of the joints"),
    Field("joint_range", (NUM_JOINTS, 2), "rad", "-", "lower and upper limits of the joints"),
    Field("object_size", (3,), "m", "-", "half the edges of the block"),
    Field("object_mass", (1,), "kg", "-", "mass of the block"),
    Field("object_friction", (1,), "-", "-", "sliding friction of the block"),
    Field("gravity", (3,), "m/s²", "base", "gravity"),
)

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("fingertip_pos", (5, 3), "m", "base", "fingertip markers, first finger to thumb"),
        Field("fingertip_quat", (5, 4), "wxyz", "base", "distal links, first finger to thumb"),
        Field("object_pos", (3,), "m", "base", "centre of the block"),
        Field("object_quat", (4,), "wxyz", "base", "orientation of the block"),
        Field("goal_quat", (4,), "wxyz", "base", "orientation the block has to reach"),
        Field("goal_rel_quat", (4,), "wxyz", "base", "rotation still to go: goal ⊗ object⁻¹"),
        Field("goal_rel_matrix", (3, 3), "-", "base", "the same as a matrix, in which no rotation has two values"),
        Field("object_lattice", (3, 3), "-", "base", "how the block lies, whichever face is which: (R∘R∘R) Rᵀ"),
        Field("joint_pos", (NUM_JOINTS,), "rad", "-", "joint angles"),
        Field("joint_vel", (NUM_JOINTS,), "rad/s", "-", "joint velocities"),
        Field("joint_target", (NUM_ACTUATORS,), "rad", "-", "actuator targets in force"),
        Field("object_linvel", (3,), "m/s", "base", "velocity of the block's centre"),
        Field("object_angvel", (3,), "rad/s", "base", "angular velocity of the block"),
        *_HIDDEN,
    )
}
"""Every field a contract may name."""

HIDDEN = tuple(field.name for field in _HIDDEN)
"""Fields that no robot measures: a critic may read them, and a teacher."""


def _goal_rel_quat(goal_quat: Tensor, object_quat: Tensor) -> Tensor:
    return rotation.multiply(goal_quat, rotation.conjugate(object_quat))


def _goal_rel_matrix(goal_quat: Tensor, object_quat: Tensor) -> Tensor:
    return rotation.to_matrix(_goal_rel_quat(goal_quat, object_quat))


def _object_lattice(object_quat: Tensor) -> Tensor:
    """Fourth moments of the block's axes: equal for all 24 orientations in which a cube looks alike, and only for them.

    Which faces are which decides nothing but the goal, and the rotation still to go holds all of that: with these two
    in place of two orientations, a learner meets every way in which a cube can lie 24 times as often.
    """
    axes = rotation.to_matrix(object_quat)
    return axes.pow(3) @ axes.transpose(-1, -2)


DERIVED: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "goal_rel_quat": (_goal_rel_quat, ("goal_quat", "object_quat")),
    "goal_rel_matrix": (_goal_rel_matrix, ("goal_quat", "object_quat")),
    "object_lattice": (_object_lattice, ("object_quat",)),
}
"""Fields computed here, and from which others, so that simulation and deployment cannot compute them differently."""


@dataclass(frozen=True)
class ObservationContract:
    """Which fields a network reads, in order.

    Raises:
        ValueError: if a name is unknown or given twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError(f"an observation has no fields; known: {', '.join(FIELDS)}")
        for name in self.names:
            if name not in FIELDS:
                raise ValueError(f"unknown observation field {name!r}; known: {', '.join(FIELDS)}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"an observation field is named twice in {self.names}")

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields in order."""
        return tuple(FIELDS[name] for name in self.names)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Scalars of every field, in order."""
        return tuple(field.size for field in self.fields)

    @property
    def size(self) -> int:
        """Length of the observation vector."""
        return sum(self.sizes)

    @property
    def measured(self) -> tuple[str, ...]:
        """The fields somebody has to measure, derived ones replaced by their sources."""
        sources = [source for name in self.names for source in (DERIVED[name][1] if name in DERIVED else (name,))]
        return tuple(dict.fromkeys(sources))

    def vector(self, measurement: Mapping[str, Tensor]) -> Tensor:
        """The network input, ``(n, size)`` float32; quaternions with a non-negative scalar part.

        Raises:
            KeyError: if a field that the contract needs was not measured.
            ValueError: if a field has another shape than its description.
        """
        parts = []
        for field in self.fields:
            value = _value(field.name, measurement)
            if tuple(value.shape[1:]) != field.shape:
                raise ValueError(f"{field.name} has shape (n, {value.shape[1:]}), the contract says (n, {field.shape})")
            if field.unit == "wxyz":
                value = rotation.canonical(value)
            parts.append(value.flatten(1).float())
        return torch.cat(parts, dim=1)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """The fields ``(n, *shape)`` of a network input ``(n, size)``."""
        parts = vector.split(self.sizes, dim=1)
        return {field.name: part.unflatten(1, field.shape) for field, part in zip(self.fields, parts, strict=True)}

    def describe(self) -> list[dict[str, object]]:
        """The contract as plain data, for ``contract.json``."""
        return [
            {"name": f.name, "shape": list(f.shape), "unit": f.unit, "frame": f.frame, "meaning": f.meaning}
            for f in self.fields
        ]


def _value(name: str, measurement: Mapping[str, Tensor]) -> Tensor:
    if name in measurement or name not in DERIVED:
        return measurement[name]
    function, sources = DERIVED[name]
    return function(*(measurement[source] for source in sources))
