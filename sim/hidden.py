"""What no robot can measure of its world and its own motors; a critic may know it, or a teacher."""

from collections.abc import Callable, Collection

from torch import Tensor

from randomization.acting import Acting
from robot import rotation
from robot.action import ActionPath
from sim.physics import Physics


class Hidden:
    """The hidden observation fields that somebody asks for."""

    def __init__(self, physics: Physics, acting: Acting, path: ActionPath, asked: Collection[str]) -> None:
        """``asked``: names of fields; those that are not hidden are none of its business."""
        self.physics = physics

        def parameter(field: str, *place: int | Tensor) -> Callable[[], Tensor]:
            return lambda: physics.parameter(field)[:, *place]

        known: dict[str, Callable[[], Tensor]] = {
            "smoothed_action": lambda: path.smoothed,
            "motor_target": physics.joint_target,
            "actuator_slack": acting.slack_left,
            "actuator_delay": physics.actuator_delay,
            "actuator_gain": parameter("actuator_gainprm", physics.actuators, 0),
            "joint_damping": parameter("dof_damping", physics.dofs),
            "joint_range": parameter("jnt_range", physics.joints),
            "object_size": parameter("geom_size", physics.block_geom),
            "object_mass": lambda: physics.parameter("body_mass")[:, [physics.block_body]],
            "object_friction": lambda: physics.parameter("geom_friction")[:, physics.block_geom, :1],
            "gravity": self._gravity,
        }
        self._asked = {name: measure for name, measure in known.items() if name in asked}

    def measure(self) -> dict[str, Tensor]:
        """The fields that were asked for, (n, …) float32, in the present state."""
        return {name: measure().float() for name, measure in self._asked.items()}

    def _gravity(self) -> Tensor:
        return rotation.rotate(self.physics.T_base_world.quat, self.physics.parameter("opt.gravity"))
