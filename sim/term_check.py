"""Whether a randomization preset does what it says: how every term is distributed, and what it does to the world."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from rich.progress import track
from torch import Tensor

from randomization.config import Entry, RandomizationConfig
from randomization.terms import MEASURED
from robot.observation import FIELDS, ObservationContract
from robot.plant import SHADOW, PlantConfig
from sim.backend import SimConfig
from sim.env import ReorientEnv
from sim.task import TaskConfig
from sim.term_draws import draw_all

WORLDS = 200
"""Worlds of a roll-out."""

STEPS = 10
"""Its control steps."""

INERT = 1e-6
"""A term that moves nothing, and changes nothing that is seen, by more than this [m, rad] has no effect."""

KS_LIMIT = 1.95
"""Kolmogorov-Smirnov distances above this over the root of the number of draws have a probability below 0.001."""


@dataclass(frozen=True)
class EntryReport:
    """What was measured of one distribution, and of the term it belongs to."""

    entry: Entry
    draws: int
    """How many were measured; none where a factor meets nothing but zeros."""
    mean: float
    low: float
    """5th percentile."""
    high: float
    """95th percentile."""
    distance: float | None
    """Kolmogorov-Smirnov distance to the distribution; None where that follows learnt parameters."""
    moved: float
    """Root mean square [m] by which fingertips and block are elsewhere than without the term."""
    seen: float
    """The same of everything that the policy is told [m, rad]."""

    @property
    def faithful(self) -> bool:
        """Whether the draws follow the distribution."""
        return self.distance is None or self.distance < KS_LIMIT / math.sqrt(self.draws)

    @property
    def inert(self) -> bool:
        """Whether the term changes nothing."""
        return max(self.moved, self.seen) < INERT


def check(
    config: RandomizationConfig,
    task: TaskConfig,
    worlds: int,
    seed: int,
    threads: int = 0,
    plant: PlantConfig = SHADOW,
    sim: SimConfig | None = None,
) -> list[EntryReport]:
    """Draws ``worlds`` worlds of each term, and plays a roll-out with it, alone, beside the same without any.

    Ranges of automatic domain randomization, which begin at the calibrated value, are opened up to one for that.

    Raises:
        ValueError: if a term does not fit the model.
    """
    without = ReorientEnv(task, RandomizationConfig(), WORLDS, seed, threads, plant, sim)
    without.reset()
    start = _Start(without)
    reference = _Rollout(without, start)
    reports = []
    for number, alone in enumerate(track(list(_terms(config)), description="terms")):
        env = ReorientEnv(task, alone, WORLDS, seed, threads, plant, sim)
        if env.adr is not None:
            env.adr.open(1.0)
        if not env.physics.can_step_some:
            env.reset()  # episodes that end within the roll-out begin again from what settles here
        env.randomize(torch.arange(WORLDS, device=env.device))
        moved, seen = _Rollout(env, start).apart(reference)
        values = draw_all(alone, task, worlds, seed + number, plant, sim)
        reports += [_report(entry, values[entry.name], moved, seen) for entry in alone.entries()]
    return reports


def _terms(config: RandomizationConfig) -> Iterator[RandomizationConfig]:
    """Every term in a preset of its own."""
    empty = RandomizationConfig(adr=replace(config.adr, frozen=True, ranges=None))
    for section in ("physics", "sensors", "actions"):
        for name, term in getattr(config, section).items():
            yield replace(empty, **{section: {name: term}})
    for section in ("adversary", "backlash", "force", "timing"):
        if getattr(config, section) is not None:
            yield replace(empty, **{section: getattr(config, section)})


class _Start:
    """The state of worlds at the beginning of an episode, whatever their physics."""

    def __init__(self, env: ReorientEnv) -> None:
        self.fields = {name: getattr(env.physics, name).clone() for name in ("qpos", "qvel", "ctrl")}
        self.goals, self.path = env.goals.state_dict(), env.path.state_dict()

    def put(self, env: ReorientEnv) -> None:
        """Brings every world of ``env`` into this state; what it has drawn stays."""
        everyone = torch.arange(env.num_envs, device=env.device)
        env.physics.reset(everyone)
        for name, value in self.fields.items():
            getattr(env.physics, name).copy_(value)
        env.physics.remember_target(everyone)
        env.physics.forward(everyone)
        env.commanded = env.physics.joint_target().float()
        env.measurement = env.measure()
        env.goals.load_state_dict(self.goals)
        env.path.load_state_dict(self.path)


class _Rollout:
    """The same motor commands from the same state, whatever the physics; of both, what was and what was seen."""

    def __init__(self, env: ReorientEnv, start: _Start) -> None:
        start.put(env)
        self.places, self.seen, self.alive = [], [], []
        alive = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        generator = torch.Generator().manual_seed(0)
        for _ in range(STEPS):
            action = torch.rand(env.num_envs, env.action_contract.size, generator=generator) * 1.2 - 0.6
            step = env.step(action.to(env.device))
            alive &= ~step.done
            exact = env.measurement
            self.places.append(torch.cat((exact["fingertip_pos"].flatten(1), exact["object_pos"]), dim=1))
            self.seen.append(step.observation.policy[:, _measured(env.policy_contract)])
            self.alive.append(alive.clone())

    def apart(self, other: "_Rollout") -> tuple[float, float]:
        """Root mean squares of the differences in places and in what was seen, while both worlds' episodes lasted.

        Raises:
            ValueError: if no world's did, so that nothing can be said.
        """
        alive = torch.stack(self.alive) & torch.stack(other.alive)
        if not alive.any():
            raise ValueError(f"in none of {alive.shape[1]} worlds did both episodes outlast a step; check more worlds")
        moved, seen = (
            float((torch.stack(a) - torch.stack(b))[alive].square().mean().sqrt())
            for a, b in ((self.places, other.places), (self.seen, other.seen))
        )
        return moved, seen


def _measured(contract: ObservationContract) -> Tensor:
    """Which numbers of an observation are measured, (size,) bool; goals differ as soon as one is reached."""
    return torch.cat([torch.full((FIELDS[name].size,), name in MEASURED) for name in contract.names])


def _report(entry: Entry, values: Tensor, moved: float, seen: float) -> EntryReport:
    if not len(values):
        return EntryReport(entry, 0, math.nan, math.nan, math.nan, None, moved, seen)
    ordered = values.sort().values
    low, high = (float(ordered[int(share * (len(ordered) - 1))]) for share in (0.05, 0.95))
    distance = entry.distribution.distance(values)
    return EntryReport(entry, len(ordered), float(values.mean()), low, high, distance, moved, seen)
