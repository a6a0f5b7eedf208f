"""Goals: the laws that draw them, and the count of consecutive successes.

The simulator tracks thousands of hands with this code, the deployed control loop tracks one.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from robot import rotation
from robot.checks import check_choice, check_numbers

GOAL_LAWS = ("parallel", "face_up", "so3")

UP_BASE = (0.0, -1.0, 0.0)
"""Up, in the base frame: the hand lies with its palm facing up."""

DROP_DEPTH = 0.10
"""The block counts as dropped when its centre is this far [m] below the origin of the base frame. (D18 gives no
criterion; robogym's is 0.11 m below its mount.)"""

CANDIDATES = 8
"""Goals drawn at once; the first that is not already reached is taken."""


@dataclass(frozen=True)
class GoalConfig:
    """The task's goals and when an episode ends.

    Raises:
        ValueError: if a value is out of its range.
    """

    law: str = "face_up"
    """``parallel``: one of the 24 orientations with every face parallel to the base frame's axes; ``face_up``: one of
    the six faces up, turned freely about the vertical (R19 C.1, robogym); ``so3``: any rotation (D18)."""

    threshold: float = 0.4
    """A goal is reached when the rotation still to go is below this angle [rad] (D18 C.1)."""

    near: float = 0.0
    """Share of the goals that are the nearest of eight drawn: short turns, which a beginner reaches now and then. A
    curriculum begins with more; with 0 the goals follow the law."""

    max_successes: int = 50
    """The episode ends with this many goals reached (D18 C.1)."""

    time_limit: float = 8.0
    """Seconds per goal: 8 in training (D18 C.1), 80 in evaluation (D18 §6.2)."""

    def __post_init__(self) -> None:
        check_choice("goal law", self.law, GOAL_LAWS)
        check_numbers("goal", self, "threshold", above=0.0, below=math.pi)
        check_numbers("goal", self, "near", least=0.0, most=1.0)
        check_numbers("goal", self, "max_successes", least=1)
        check_numbers("goal", self, "time_limit", above=0.0)


def sample_goals(law: str, n: int, generator: torch.Generator) -> Tensor:
    """``n`` goal orientations in the base frame, (n, 4), drawn by a goal law."""
    if law == "so3":
        return rotation.random_uniform(n, generator)
    device = generator.device
    faces = _face_up_quats(device)
    face = torch.randint(len(faces), (n,), generator=generator, device=device)
    if law == "parallel":
        return _parallel_quats(device)[face, torch.randint(4, (n,), generator=generator, device=device)]
    yaw = torch.rand(n, generator=generator, device=device) * (2.0 * math.pi)
    return rotation.multiply(rotation.from_axis_angle(_up(device, torch.float32), yaw), faces[face])


def nearest_goal(law: str, object_quat: Tensor) -> Tensor:
    """The goal nearest to each block's orientation (n, 4) that a law can draw, (n, 4)."""
    if law == "so3":
        return object_quat
    device, dtype = object_quat.device, object_quat.dtype
    up = _up(device, dtype)
    upright = rotation.multiply(object_quat.unsqueeze(1), rotation.conjugate(_face_up_quats(device).to(dtype)))
    # of each rotation that remains, only the part about the vertical can be had: the twist of its swing and twist
    along = (upright[..., 1:] * up).sum(-1)
    yaw = 2.0 * torch.atan2(along, upright[..., 0])
    if law == "parallel":
        yaw = (yaw / (0.5 * math.pi)).round() * (0.5 * math.pi)
    goals = rotation.multiply(rotation.from_axis_angle(up.expand(*yaw.shape, 3), yaw), _face_up_quats(device).to(dtype))
    best = rotation.distance(goals, object_quat.unsqueeze(1)).argmin(1)
    return goals[torch.arange(len(goals), device=device), best]


def first_unreached(drawn: Tensor, object_quat: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Of goals (n, k, 4) the first that blocks at (n, 4) have not reached, or the farthest if all are; (n, 4).

    Also the rotations to it [rad], (n,).
    """
    away = rotation.distance(drawn, object_quat.to(drawn).unsqueeze(1))
    far = away >= threshold
    choice = torch.where(far.any(1), far.int().argmax(1), away.argmax(1))
    rows = torch.arange(len(drawn), device=drawn.device)
    return drawn[rows, choice], away[rows, choice]


def dropped(object_pos: Tensor) -> Tensor:
    """Whether the block, at (n, 3) in the base frame [m], has fallen off the hand, (n,) bool."""
    return object_pos @ _up(object_pos.device, object_pos.dtype) < -DROP_DEPTH


@cache
def _up(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(UP_BASE, device=device, dtype=dtype)


@cache
def _face_up_quats(device: torch.device) -> Tensor:
    """Six rotations, (6, 4), each bringing another face of the block up (to -y of the base frame)."""
    x, z = torch.tensor([1.0, 0.0, 0.0], device=device), torch.tensor([0.0, 0.0, 1.0], device=device)
    quarter = 0.5 * math.pi
    about = ((x, 0.0), (x, quarter), (x, 2 * quarter), (x, 3 * quarter), (z, quarter), (z, 3 * quarter))
    return torch.stack([rotation.from_axis_angle(axis, torch.tensor(angle, device=device)) for axis, angle in about])


@cache
def _parallel_quats(device: torch.device) -> Tensor:
    """The rotations that bring a cube into itself, (6, 4, 4): by the face that is up, and quarter turns about up."""
    yaw = torch.arange(4, device=device) * (0.5 * math.pi)
    turns = rotation.from_axis_angle(_up(device, torch.float32), yaw)
    return rotation.multiply(turns, _face_up_quats(device).unsqueeze(1))


@dataclass(frozen=True)
class GoalStep:
    """What one control step did for each of n hands; every field is (n,)."""

    progress: Tensor
    """Rotation [rad] by which the block came nearer to the goal that was in force."""
    remaining: Tensor
    """Rotation [rad] still to go to that goal."""
    reached: Tensor
    """The goal was reached; a new one is in force."""
    timed_out: Tensor
    """The time limit of the goal has passed."""
    finished: Tensor
    """The last of ``max_successes`` goals was reached."""


class GoalTracker:
    """The goal in force and the consecutive successes of ``n`` hands."""

    def __init__(self, config: GoalConfig, n: int, generator: torch.Generator, period: float) -> None:
        """``period`` is the control period [s]; the generator's device is the tracker's."""
        device = generator.device
        self.config = config
        self.generator = generator
        self.max_steps = round(config.time_limit / period)
        self.quat = rotation.identity(n, device)
        """The goals, in the base frame, (n, 4)."""
        self.distance = torch.zeros(n, device=device)
        """Rotation still to go [rad], (n,)."""
        self.successes = torch.zeros(n, dtype=torch.int64, device=device)
        """Goals reached in the episode, (n,)."""
        self.steps = torch.zeros(n, dtype=torch.int64, device=device)
        """Control steps since the goal was drawn, (n,)."""

    def reset(self, ids: Tensor, object_quat: Tensor) -> None:
        """Starts an episode for hands ``ids``, (m,), whose blocks lie at ``object_quat``, (m, 4)."""
        self.successes.index_fill_(0, ids, 0)
        self._new_goal(ids, object_quat)

    def step(self, object_quat: Tensor) -> GoalStep:
        """Judges the blocks' new orientation, (n, 4), and draws a new goal where one was reached."""
        now = rotation.distance(self.quat, object_quat)
        progress = self.distance - now
        self.distance = now.clone()  # a new goal changes it in place
        self.steps += 1
        reached = now < self.config.threshold
        self.successes += reached
        ids = reached.nonzero().squeeze(-1)
        if len(ids):
            self._new_goal(ids, object_quat[ids])
        finished = reached & (self.successes >= self.config.max_successes)
        return GoalStep(progress, now, reached, self.steps >= self.max_steps, finished)

    def _new_goal(self, ids: Tensor, object_quat: Tensor) -> None:
        m = len(ids)
        drawn = sample_goals(self.config.law, CANDIDATES * m, self.generator).view(m, CANDIDATES, 4)
        goal, away = first_unreached(drawn, object_quat, self.config.threshold)
        if self.config.near:
            order = rotation.distance(drawn, object_quat.to(drawn).unsqueeze(1)).argsort(1)
            sorted_goals = drawn.gather(1, order.unsqueeze(-1).expand_as(drawn))
            nearest, least = first_unreached(sorted_goals, object_quat, self.config.threshold)
            near = torch.rand(m, generator=self.generator, device=drawn.device) < self.config.near
            goal, away = torch.where(near.unsqueeze(1), nearest, goal), torch.where(near, least, away)
        self.quat[ids] = goal
        self.distance[ids] = away
        self.steps.index_fill_(0, ids, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        return {name: getattr(self, name).clone() for name in ("quat", "distance", "successes", "steps")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on exactly from where ``state_dict`` was taken."""
        for name in ("quat", "distance", "successes", "steps"):
            getattr(self, name).copy_(state[name])
