"""What the terms of a preset draw: of the physics as it stands in the model's fields, of all else as it is drawn."""

from dataclasses import replace

import torch
from torch import Tensor

from randomization.acting import Acting
from randomization.adr import ADR
from randomization.config import RandomizationConfig
from randomization.disturbing import RandomForce, Timing
from randomization.draws import Draw, Source
from randomization.sensing import Sensing
from randomization.terms import PhysicsTerm
from robot import hand
from robot.observation import FIELDS
from robot.plant import SHADOW, PlantConfig
from sim.backend import SimConfig, make_physics
from sim.equipment import equip
from sim.randomize import PhysicsRandomizer, Target
from sim.scene import build_spec
from sim.task import TaskConfig

WORLDS = 250
"""Simulated together when the fields of the physics are drawn."""


class _RecordedDraw(Draw):
    """Keeps what it draws."""

    def __call__(self, ids: Tensor, *shape: int) -> Tensor:
        values = super().__call__(ids, *shape)
        assert isinstance(self.source, _Recorder)
        self.source.values.setdefault(self.term, []).append(values.flatten())
        return values


class _Recorder(Source):
    """Keeps what every term draws."""

    def __init__(self, generator: torch.Generator, adr: ADR | None) -> None:
        super().__init__(generator, adr)
        self.values: dict[str, list[Tensor]] = {}

    def draw(self, term: str, text: str, calibrated: float | None = 0.0) -> Draw:
        return _RecordedDraw(**vars(super().draw(term, text, calibrated)))


def draw_all(
    config: RandomizationConfig,
    task: TaskConfig,
    worlds: int,
    seed: int,
    plant: PlantConfig = SHADOW,
    sim: SimConfig | None = None,
) -> dict[str, Tensor]:
    """Values by entry, of at least ``worlds`` worlds; those of the physics are read from the model's fields."""
    generator = torch.Generator().manual_seed(seed)
    adr = _opened(config, worlds, generator)
    everyone = torch.arange(worlds)
    if adr is not None:
        adr.draw(everyone)
    source = _Recorder(generator, adr)
    period = task.action.period
    sensing = Sensing(config, worlds, source, period)
    acting = Acting(config, worlds, source, period)
    force = RandomForce(config.force, worlds, source, period) if config.force else None
    timing = Timing(config.timing, worlds, source, period) if config.timing else None
    for part in (sensing, acting, force, timing):
        if part is not None:
            part.reset(everyone)
    # what is drawn at every step
    exact = {name: torch.zeros(worlds, *field.shape) for name, field in FIELDS.items()}
    sensing.apply(exact, torch.zeros(worlds, len(hand.FINGERS), dtype=torch.bool))
    acting.disturb(torch.zeros(worlds, hand.NUM_ACTUATORS), exact)
    if force is not None:
        force.probability.fill_(1.0)
        force.step()
    values = {name: torch.cat(drawn) for name, drawn in source.values.items()}
    for name in config.physics:
        values[f"physics.{name}"] = _fields(config, name, task, worlds, seed, plant, sim or SimConfig())
    return values


def _opened(config: RandomizationConfig, worlds: int, generator: torch.Generator) -> ADR | None:
    """Automatic domain randomization, where a preset has it, with ranges of a width that shows."""
    learnt = config.learnt()
    if not learnt:
        return None
    adr = ADR(config.adr, list(learnt), worlds, generator, list(learnt.values()))
    adr.open(1.0)
    return adr


def _fields(
    config: RandomizationConfig,
    name: str,
    task: TaskConfig,
    worlds: int,
    seed: int,
    plant: PlantConfig,
    sim: SimConfig,
) -> Tensor:
    """What a term of the physics made of the first field it names: factors or differences, element by element."""
    term = replace(config.physics[name], least=None, most=None)  # draws are compared, before they are bounded
    spec = build_spec(task.scene, plant)
    equip(spec, config, plant)
    physics = make_physics(spec.compile(), WORLDS, 1, sim)
    generator = torch.Generator(physics.device).manual_seed(seed)
    adr = _opened(config, WORLDS, generator)
    source = Source(generator, adr)
    randomizer = PhysicsRandomizer({name: term}, physics, source)
    target = randomizer.terms[0].targets[0]
    ids, drawn = torch.arange(WORLDS, device=physics.device), []
    for _ in range(-(-worlds // WORLDS)):
        if adr is not None:
            adr.draw(ids)
        randomizer.draw(ids)
        drawn.append(_made(term, target, randomizer, ids))
    return torch.cat(drawn).float().cpu()


def _made(term: PhysicsTerm, target: Target, randomizer: PhysicsRandomizer, ids: Tensor) -> Tensor:
    """Of each draw the factor or the difference that it made; numbers that share a draw are taken once."""
    values = randomizer.physics.expand(target.field)
    before = randomizer.nominal[target.field].expand(values.shape)[target.index(ids)]
    after = values[target.index(ids)]
    if target.rows is None:
        before, after = before[:, None], after[:, None]
    if term.per == "group":
        before, after = before[:, :1], after[:, :1]
    if term.apply == "add":
        return (after - before).flatten()
    before, after = (x.flatten(2) if x.ndim > 2 else x.unsqueeze(2) for x in (before, after))
    first = (before != 0.0) & ((before != 0.0).cumsum(dim=2) == 1)
    return after[first] / before[first]
