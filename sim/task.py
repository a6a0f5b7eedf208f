"""The configuration of the task."""

from dataclasses import dataclass, field

from torch import Tensor

from robot.action import ActionContract
from robot.checks import check_numbers
from robot.goal import GoalConfig
from robot.observation import ObservationContract
from sim.reset import ResetConfig
from sim.scene import SceneConfig


@dataclass
class RewardConfig:
    """The sum of what a control step earns; the defaults are D18's (C.1).

    Raises:
        ValueError: if a value is not finite.
    """

    progress: float = 1.0
    """Reward per radian by which the block has come nearer to its goal."""

    goal: float = 5.0
    """Reward for reaching a goal."""

    drop: float = -20.0
    """Reward when the block falls, below 0."""

    proximity: float = 0.0
    """Weight of Isaac Gym's reward, 1 / (rotation still to go [rad] + 0.1), instead of progress or beside it."""

    step: float = 0.0
    """Reward of every step; below 0, a block that is only held is worth as little as a lost one."""

    def __post_init__(self) -> None:
        check_numbers("reward", self, "progress", "goal", "drop", "proximity", "step")

    def of(self, progress: Tensor, remaining: Tensor, reached: Tensor, fallen: Tensor) -> Tensor:
        """The reward of a control step of n hands, (n,).

        Args:
            progress: rotation [rad] by which the block came nearer to its goal, (n,).
            remaining: rotation [rad] still to go to it, (n,).
            reached: it was reached, (n,) bool.
            fallen: the block fell, (n,) bool.
        """
        reward = self.progress * progress + self.goal * reached + self.drop * fallen + self.step
        if self.proximity:
            reward = reward + self.proximity / (remaining + 0.1)
        return reward


@dataclass
class TaskConfig:
    """The task and its two contracts.

    Raises:
        ValueError: if the control period is no whole number of sub-steps, or an observation has no or unknown fields.
    """

    goal: GoalConfig = field(default_factory=GoalConfig)
    action: ActionContract = field(default_factory=ActionContract)
    reward: RewardConfig = field(default_factory=RewardConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)

    policy_observation: list[str] = field(
        default_factory=lambda: ["fingertip_pos", "object_pos", "object_quat", "goal_quat", "goal_rel_quat"]
    )
    """What the policy sees, noisy (R19 Table 12)."""

    critic_observation: list[str] = field(
        default_factory=lambda: [
            "fingertip_pos",
            "object_pos",
            "object_quat",
            "goal_quat",
            "goal_rel_quat",
            "joint_pos",
            "joint_vel",
            "joint_target",
            "object_linvel",
            "object_angvel",
        ]
    )
    """What the critic sees, clean (D18 Table 2, and the targets in force)."""

    def __post_init__(self) -> None:
        substeps = self.action.period / self.scene.timestep
        if abs(substeps - round(substeps)) > 1e-6 or round(substeps) < 1:
            raise ValueError(
                f"action period {self.action.period} s is no whole number of sub-steps of {self.scene.timestep} s"
            )
        for name in ("policy_observation", "critic_observation"):
            try:
                ObservationContract(tuple(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    @property
    def substeps(self) -> int:
        """Physics sub-steps in a control step."""
        return round(self.action.period / self.scene.timestep)
