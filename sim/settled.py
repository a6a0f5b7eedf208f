"""First states of episodes, and a pool of settled ones to begin from again."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from robot import hand, rotation
from robot.goal import sample_goals

CANDIDATES = 8
"""States of the pool among which a world finds one that its joint limits allow."""

TOLERANCE = 0.02
"""How far [rad] a joint may lie outside a world's limits, which push it back while the block settles."""


@dataclass(frozen=True)
class FirstState:
    """Where ``m`` hands and blocks are, at rest, and what the hands are told; base frame."""

    joint_pos: Tensor
    """(m, 24) [rad]."""
    joint_target: Tensor
    """(m, 20) [rad]."""
    object_pos: Tensor
    """(m, 3) [m]."""
    object_quat: Tensor
    """(m, 4)."""

    def within(self, joint_range: Tensor) -> "FirstState":
        """The hands told to stand, and standing, within joint limits (m, 24, 2) [rad]."""
        joints = self.joint_pos.clamp(*joint_range.unbind(-1))
        return replace(self, joint_pos=joints, joint_target=hand.actuator_pos(joints))

    def __getitem__(self, rows: Tensor) -> "FirstState":
        return FirstState(*(getattr(self, field.name)[rows] for field in fields(self)))


class SettledPool:
    """The last ``capacity`` first states that settled; nothing can be drawn before it is full."""

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self.added = 0
        """States ever added; each takes the place of the oldest."""
        sizes = {"joint_pos": hand.NUM_JOINTS, "joint_target": hand.NUM_ACTUATORS, "object_pos": 3, "object_quat": 4}
        self.states = FirstState(**{name: torch.zeros(capacity, size, device=device) for name, size in sizes.items()})

    @property
    def capacity(self) -> int:
        """How many states are kept."""
        return len(self.states.joint_pos)

    @property
    def full(self) -> bool:
        """Whether states can be drawn."""
        return 0 < self.capacity <= self.added

    def add(self, settled: dict[str, Tensor]) -> None:
        """Keeps settled states, measured, by the names and shapes of ``FirstState``."""
        if self.capacity == 0:
            return
        m = len(settled["joint_pos"])
        rows = torch.arange(self.added, self.added + m)[-self.capacity :] % self.capacity
        for field in fields(FirstState):
            getattr(self.states, field.name)[rows] = settled[field.name][-self.capacity :]
        self.added += m

    def draw(self, joint_range: Tensor, generator: torch.Generator) -> FirstState:
        """States for ``m`` hands with joint limits (m, 24, 2) [rad].

        Of some drawn at random, each hand takes the first that its limits allow, or else the nearest to them. The block
        is turned by one of the 24 rotations that bring a cube into itself: one that lies still does so whichever face
        is which, so that the pool stands for 24 times as many states.
        """
        m = len(joint_range)
        lower, upper = joint_range.unbind(-1)
        rows = torch.randint(self.capacity, (m, CANDIDATES), generator=generator, device=joint_range.device)
        joints = self.states.joint_pos[rows]
        outside = torch.maximum(lower.unsqueeze(1) - joints, joints - upper.unsqueeze(1)).amax(-1)
        drawn = self.states[rows.gather(1, outside.clamp(min=TOLERANCE).argmin(1, keepdim=True)).squeeze(1)]
        return replace(
            drawn,
            joint_target=drawn.joint_target.clamp(hand.actuator_pos(lower), hand.actuator_pos(upper)),
            object_quat=rotation.multiply(drawn.object_quat, sample_goals("parallel", m, generator)),
        )

    def state_dict(self) -> dict[str, Tensor | int]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        states = {field.name: getattr(self.states, field.name).clone() for field in fields(FirstState)}
        return states | {"added": self.added}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Goes on exactly from where ``state_dict`` was taken.

        Raises:
            ValueError: if that pool had another capacity.
        """
        states = {field.name: torch.as_tensor(state[field.name]) for field in fields(FirstState)}
        saved = len(states["joint_pos"])
        if saved != self.capacity:
            raise ValueError(f"the saved pool keeps {saved} settled states, this one {self.capacity} (reset.cache)")
        for name, values in states.items():
            getattr(self.states, name).copy_(values)
        self.added = int(state["added"])
