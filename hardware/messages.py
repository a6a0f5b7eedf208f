"""What travels over the bridge: one typed message per stream.

Numbers are finite; what was not measured is absent. Quaternions are wxyz, units SI, stamps nanoseconds of the bridge
clock. A message names what it is, who sent it and its place in the sender's sequence, so that a loss is seen.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from robot.hand import NUM_ACTUATORS, NUM_JOINTS

Joints = Annotated[tuple[float, ...], Meta(min_length=NUM_JOINTS, max_length=NUM_JOINTS)]
Actuators = Annotated[tuple[float, ...], Meta(min_length=NUM_ACTUATORS, max_length=NUM_ACTUATORS)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Stamp = Annotated[int, Meta(ge=0)]
"""As a flight log can hold them: 32 and 64 bits without a sign."""
Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]

CAMERAS = ("camera0", "camera1", "camera2")

Mode = Literal["active", "hold"]
ACTIVE: Mode = "active"
HOLD: Mode = "hold"
"""What a hand does: follow commands, or keep its pose with reduced force; and what the loop tells it to do."""

Start = Literal["", "episode", "resume"]
EPISODE: Start = "episode"
RESUME: Start = "resume"
"""What starts afresh at a tick: policy, goals and successes, or the policy alone."""

BLOCK_DROPPED, BLOCK_RESET = "block dropped", "block reset"
"""Events by which whoever watches the hand says that the block is gone, and that it was laid on the palm again: what
was seen before does not count any more."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The stamps every message carries; ``seq``, ``source`` and ``send_ns`` are filled in by the publisher."""

    seq: Count = 0
    """Counts the messages of one source on one stream, from 0."""
    source: str = ""
    """The process that sent it."""
    capture_ns: Stamp
    """When the thing it tells about was true."""
    send_ns: Stamp = 0


class Body(msgspec.Struct, frozen=True):
    """A rigid body as the motion-capture system solved it."""

    pos: Vec3
    quat: Quat


class HandState(Message, frozen=True, kw_only=True, tag="hand"):
    """What the hand reports; joints and actuators in the order of ``robot.hand``."""

    joint_pos: Joints
    joint_vel: Joints
    target: Actuators
    """Actuator targets in force [rad]."""
    mode: Mode
    force: float
    """Share of the full force that the actuators may use."""
    obeyed_ns: Stamp = 0
    """Capture stamp of the command carried out last: proof that the hand hears; 0: none yet."""

    def __post_init__(self) -> None:
        _require_finite("hand state", self.joint_pos, self.joint_vel, self.target, (self.force,))


class MocapFrame(Message, frozen=True, kw_only=True, tag="mocap"):
    """One frame of the motion-capture system, in its own world frame."""

    markers: dict[str, Vec3]
    """Position of each labelled marker that was seen [m]."""
    block: Body | None
    """The block, if it was seen."""

    def __post_init__(self) -> None:
        _require_finite("mocap frame", *self.markers.values())
        if self.block is not None:
            _require_finite("mocap frame", self.block.pos, self.block.quat)


class CameraFrame(Message, frozen=True, kw_only=True, tag="camera"):
    """One image; its bytes travel as a part of their own beside this header."""

    width: int
    height: int
    encoding: str = "jpeg"


class JointCommand(Message, frozen=True, kw_only=True, tag="command"):
    """Actuator targets [rad] for the hand; none is the order to hold the pose it has."""

    tick: int
    target: Actuators | None

    def __post_init__(self) -> None:
        if self.target is not None:
            _require_finite("joint command", self.target)


class Used(msgspec.Struct, frozen=True):
    """The messages a tick worked on, by sequence number."""

    hand: int
    mocap: int
    cameras: tuple[int, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller made of them; replay computes it again and compares."""

    goal_quat: Quat
    """In the base frame."""
    object_pos: Vec3
    object_quat: Quat
    """The block as measured, in the base frame."""
    residual: float
    """Root-mean-square misfit of the base markers [m]."""
    observation: tuple[float, ...]
    action: Actuators
    """Unit action of the policy."""
    target: Actuators
    """What the action path made of it [rad]."""
    applied: Actuators
    """What the safety limiter let pass [rad]."""
    clamped: dict[str, str]
    """Actuators whose target the limiter changed, and why."""
    successes: int
    """Goals reached in this episode."""
    reached: bool
    """A goal was reached at this tick."""
    ended: str
    """Why the episode is over after this tick; empty if it goes on."""

    def __post_init__(self) -> None:
        poses = self.goal_quat, self.object_pos, self.object_quat, (self.residual,)
        _require_finite("decision", *poses, self.observation, self.action, self.target, self.applied)


class ControlTick(Message, frozen=True, kw_only=True, tag="tick"):
    """Everything the control loop took in and decided at one tick."""

    tick: int
    episode: int
    start: Start = ""
    mode: Mode
    """``hold``: without a decision."""
    reason: str = ""
    """Why the hand was told to hold."""
    used: Used | None = None
    """None: the tick held without looking."""
    decision: Decision | None = None
    late: float = 0.0
    """Seconds after its deadline at which the tick began."""
    missed: int = 0
    """Deadlines skipped before this tick."""
    timings: dict[str, float] = {}
    """Seconds spent in each section of the tick."""

    def __post_init__(self) -> None:
        _require_finite("control tick", (self.late,), self.timings.values())


class Event(Message, frozen=True, kw_only=True, tag="event"):
    """Something worth a line in the log."""

    kind: str
    text: str = ""


class Truth(Message, frozen=True, kw_only=True, tag="truth"):
    """Virtual rig only: the true state, for evaluation and for rendering; block in the base frame."""

    joint_pos: Joints
    block: Body

    def __post_init__(self) -> None:
        _require_finite("truth", self.joint_pos, self.block.pos, self.block.quat)


STREAMS: dict[str, type[Message]] = {
    "hand": HandState,
    "mocap": MocapFrame,
    **dict.fromkeys(CAMERAS, CameraFrame),
    "command": JointCommand,
    "tick": ControlTick,
    "event": Event,
    "truth": Truth,
}
"""Every stream of the bridge and what it carries."""


def _require_finite(what: str, *groups: Iterable[float]) -> None:
    for group in groups:
        if not all(map(math.isfinite, group)):
            raise ValueError(f"a {what} carries a number that is not finite: {tuple(group)}")
