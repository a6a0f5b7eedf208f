"""A made-up past of several blocks, in a replay buffer and beside it as plain records."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from policy.replay import ENDED, Replay
from robot import rotation
from robot.goal import sample_goals
from robot.observation import ObservationContract

WORLDS, STEPS, CAPACITY, GUARD, ACTUATORS = 6, 150, 110, 20, 2
THRESHOLD = 0.4
CONTRACT = ObservationContract(("object_pos", "object_quat", "goal_quat"))


@dataclass
class Record:
    """One control step of one world, in half precision as the buffer keeps it."""

    time: int
    world: int
    quat: torch.Tensor
    goal: torch.Tensor
    action: torch.Tensor
    next_quat: torch.Tensor
    start: int
    end: str

    @property
    def measured(self) -> torch.Tensor:
        """The position tells time and world, so that whoever reads a record knows where it came from."""
        return torch.cat((torch.tensor([self.time, self.world, 0.0]), self.quat, self.goal))


def half(quat: torch.Tensor) -> torch.Tensor:
    return rotation.canonical(quat).half().float()


def angle(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of the rotation between two orientations [rad], from the chord between their quaternions."""
    a, b = (quat.double() / quat.double().norm() for quat in (a, b))
    return 4.0 * math.asin(0.5 * min(float((a - b).norm()), float((a + b).norm())))


def past(law: str, seed: int = 0) -> list[list[Record]]:
    """Steps of every world: blocks turn at random, jump to their goal, fall and are cut off now and then."""
    generator = torch.Generator().manual_seed(seed)
    worlds = []
    for world in range(WORLDS):
        steps: list[Record] = []
        quat, goal, start = rotation.random_uniform(1, generator)[0], sample_goals(law, 1, generator)[0], 0
        for time in range(STEPS):
            chance = float(torch.rand((), generator=generator))
            turn = rotation.from_rotation_vector(0.2 * torch.randn(3, generator=generator))
            after = half(rotation.multiply(turn, goal if chance < 0.1 else quat))
            end = "terminated" if 0.9 < chance < 0.94 else "truncated" if chance > 0.96 else "running"
            action = torch.rand(ACTUATORS, generator=generator).half().float()
            steps.append(Record(time, world, half(quat), half(goal), action, after, start, end))
            quat = after
            if end != "running":
                start, quat = time + 1, rotation.random_uniform(1, generator)[0]
            while end != "running" or angle(quat, goal) < THRESHOLD:
                goal, end = sample_goals(law, 1, generator)[0], "running"
        worlds.append(steps)
    return worlds


def remember(worlds: list[list[Record]], directory: Path, contract: ObservationContract) -> Replay:
    sizes = {"measured": contract.size, "action": ACTUATORS, "next_quat": 4}
    replay = Replay(directory, sizes, CAPACITY, GUARD, WORLDS)
    for step in zip(*worlds, strict=True):
        measured = contract.vector(CONTRACT.split(torch.stack([each.measured for each in step])))
        values = {name: torch.stack([getattr(each, name) for each in step]) for name in ("action", "next_quat")}
        start, end = (torch.tensor(part) for part in zip(*((e.start, ENDED.index(e.end)) for e in step), strict=True))
        replay.add(values | {"measured": measured}, start, end)
    return replay
