"""What the controller keeps and what it forgets at a start."""

from pathlib import Path

import torch

from hardware.controller import Controller, ControllerConfig
from hardware.messages import EPISODE, RESUME, Start
from robot.frames import Pose
from tests.hardware.test_loop import ON_HAND
from tests.hardware.world import HAND, World


def test_a_resume_keeps_goal_and_successes_and_nothing_of_the_policys_memory(policy: Path) -> None:
    controller, world = Controller(ControllerConfig(policy=str(policy))), World(0)
    controller.runtime.actor.head.weight.data *= 100.0
    controller.runtime.actor.head.bias.data.zero_()  # its answers depend on what it remembers
    world.block = ON_HAND
    goal = controller.step(HAND, world.frame(0.0)).goal_quat
    world.block = Pose(ON_HAND.pos, torch.tensor(goal, dtype=torch.float64))
    second = controller.step(HAND, world.frame(0.08))
    assert (second.reached, second.successes) == (True, 1) and second.goal_quat != goal
    starts: list[tuple[Start, int]] = [(RESUME, 0), (EPISODE, 1)]
    for kind, episode in starts:
        controller.start(kind, episode)
        now = controller.step(HAND, world.frame(0.16))
        assert (now.successes == 1) == (now.goal_quat == second.goal_quat) == (kind == RESUME)
        seen = torch.tensor(now.observation).unsqueeze(0)
        fresh, _ = controller.runtime.act(seen, controller.runtime.initial_state(1))
        assert now.action == tuple(fresh[0].tolist())


def test_every_episode_of_a_seed_has_goals_of_its_own(policy: Path) -> None:
    world = World(0)
    world.block = ON_HAND

    def goal(seed: int, episode: int) -> tuple[float, ...]:
        controller = Controller(ControllerConfig(policy=str(policy), seed=seed))
        controller.start(EPISODE, episode)
        return controller.step(HAND, world.frame()).goal_quat

    assert len({goal(0, 0), goal(0, 1), goal(0, 2), goal(7, 0)}) == 4
    assert goal(0, 1) == goal(0, 1)
