"""The mind at the hand: from device messages to actuator targets.

The control loop runs this code on live devices and replay runs the same code on a log. Everything it does follows from
its configuration and the messages it is given; it reads no clock and no socket.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hardware.measurement import MeasurementConfig, MeasurementRefused, Measurer, require_measurable
from hardware.messages import EPISODE, Decision, HandState, MocapFrame, Start
from hardware.pose_source import make_pose_source
from hardware.safety import Limiter, SafetyConfig, out_of_range
from hardware.statistics import Sections
from policy.runtime import NotFinite, PolicyRuntime
from robot.action import ActionPath
from robot.goal import GoalConfig, GoalTracker, dropped
from robot.hand import actuator_pos
from vision.estimator import Image


class BlockDropped(RuntimeError):
    """The block is not on the hand; once it is seen there again, a new episode has to start."""


HOLD_REASONS = (MeasurementRefused, BlockDropped, NotFinite)
"""What makes the hand hold without being a defect of the program."""


@dataclass(frozen=True, kw_only=True)
class ControllerConfig:
    """Everything that decides what the controller does with the messages."""

    policy: str
    """Directory of the policy artefact."""
    pose: str = "mocap"
    """Where the block's pose comes from: ``mocap`` or ``vision``."""
    vision: str = ""
    """Directory of the vision artefact, for ``pose=vision``."""
    seed: int = 0
    """Decides the goals."""
    goal: GoalConfig = field(default_factory=lambda: GoalConfig(time_limit=80.0))
    """Goals, and when an episode ends (80 s per goal: D18 §6.2)."""
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    """How much may be hidden."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """How fast targets may move."""


class Controller:
    """Policy, goals, action path and limiter of one hand."""

    def __init__(self, config: ControllerConfig) -> None:
        """Loads the policy.

        Raises:
            ArtefactError: if the policy is missing, damaged or not for this hand.
            ValueError: if the policy reads what no rig can measure, or the configuration is wrong.
            VisionUnavailable: if ``pose=vision`` has no artefact.
        """
        self.config = config
        self.runtime = PolicyRuntime.load(Path(config.policy))
        require_measurable(self.runtime.policy_contract)
        self.period = self.runtime.action_contract.period
        self.source = make_pose_source(config.pose, config.vision)
        self.limiter = Limiter(config.safety, self.period)
        self._path = ActionPath(self.runtime.action_contract, 1)
        self._one = torch.zeros(1, dtype=torch.int64)
        self.start(EPISODE, 0)

    def start(self, kind: Start, episode: int) -> None:
        """Makes the next step start ``kind`` (``EPISODE`` or ``RESUME``); ``episode`` counts from 0."""
        self._pending = kind
        self._state = self.runtime.initial_state(1)
        if kind == EPISODE:
            # nothing of the past is left, so that a log can be replayed from any episode on
            self._measurer = Measurer(self.config.measurement, self.source)
            generator = torch.Generator().manual_seed(self.config.seed + episode)
            self._goals = GoalTracker(self.config.goal, 1, generator, self.period)

    def step(
        self, hand: HandState, frame: MocapFrame, images: Sequence[Image] = (), timed: Sections | None = None
    ) -> Decision:
        """Decides one tick.

        Raises:
            MeasurementRefused: if too little is seen, or what is seen or reported is impossible.
            BlockDropped: if the block is seen below the hand.
            NotFinite: if the policy's answer or memory is not finite.
        """
        timed = timed or Sections()
        with timed("measure"):
            measured = self._measurer.measure(hand, frame, images)
            position = actuator_pos(measured.fields["joint_pos"])
            if dropped(measured.fields["object_pos"]):
                raise BlockDropped("the block has dropped")
        with timed("goal"):
            reached, ended = self._begin_or_judge(measured.fields["object_quat"], measured.fields["joint_target"])
            goal_quat = self._goals.quat.clone()
        with timed("policy"):
            observation = self.runtime.policy_contract.vector({**measured.fields, "goal_quat": goal_quat})
            if not torch.isfinite(observation).all():
                raise MeasurementRefused("the observation is not finite")
            action, self._state = self.runtime.act(observation, self._state)
        with timed("safety"):
            target = self._path.step(action, position)
            applied = self.limiter.apply(target[0])
            self._path.continue_from(applied.target.unsqueeze(0))
        pose = measured.object_pose.T_base_object
        return Decision(
            goal_quat=tuple(goal_quat[0].tolist()),
            object_pos=tuple(pose.pos.tolist()),
            object_quat=tuple(pose.quat.tolist()),
            residual=measured.residual,
            observation=tuple(observation[0].tolist()),
            action=tuple(action[0].tolist()),
            target=tuple(target[0].tolist()),
            applied=tuple(applied.target.tolist()),
            clamped=applied.clamped,
            successes=int(self._goals.successes[0]),
            reached=reached,
            ended=ended,
        )

    def _begin_or_judge(self, object_quat: Tensor, in_force: Tensor) -> tuple[bool, str]:
        """Carries out a pending start; in an episode that goes on, tells (goal reached, why the episode has ended)."""
        pending = self._pending
        if pending:
            self._begin(in_force)
        if pending == EPISODE:
            self._goals.reset(self._one, object_quat)
            return False, ""
        return self._judge(object_quat)

    def _begin(self, in_force: Tensor) -> None:
        """Starts path and limiter from the target that the hand has (1, 20) [rad].

        Not from where it is: a hand that presses against the block, and goes on to the next episode, would let go.
        """
        if out := out_of_range(in_force[0]):
            raise MeasurementRefused(f"the hand's target in force is out of range: {out}")
        self._path.reset(self._one, in_force)
        self.limiter.start(in_force[0])
        self._pending = ""

    def _judge(self, object_quat: Tensor) -> tuple[bool, str]:
        """Counts a success, draws the next goal and tells (goal reached, why the episode has ended)."""
        step = self._goals.step(object_quat)
        ended = "last goal reached" if bool(step.finished) else "time limit" if bool(step.timed_out) else ""
        return bool(step.reached), ended
