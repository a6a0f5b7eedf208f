"""Measurements that arrive late (robogym's observation delay, DeXtreme's pose latency)."""

import math

import torch
from torch import Tensor

from randomization.draws import Draw, Source
from randomization.memory import Memory
from randomization.terms import SensorTerm
from robot import rotation
from robot.observation import FIELDS


class _Line(Memory):
    """The past of a few fields, and the age at which each is seen."""

    def __init__(self, key: str, fields: list[str], draw: Draw, n: int, device: torch.device, period: float) -> None:
        super().__init__()
        if not math.isfinite(draw.largest):
            raise ValueError(f"{key}: a delay needs a distribution with bounds, not {draw.distribution}")
        self.draw = draw
        self.period = period
        length = math.ceil(draw.largest / period) + 2
        self.delay = self.remember("delay", torch.zeros(n, device=device))
        """(n,) [steps]"""
        self.fresh = self.remember("fresh", torch.ones(n, dtype=torch.bool, device=device))
        self.past = {
            name: self.remember(name, torch.zeros(length, n, *FIELDS[name].shape, device=device)) for name in fields
        }
        """(length, n, …), the newest first."""

    def reset(self, ids: Tensor) -> None:
        self.delay[ids] = self.draw(ids) / self.period
        self.fresh[ids] = True

    def apply(self, seen: dict[str, Tensor]) -> None:
        whole = self.delay.long()
        worlds = torch.arange(len(whole), device=whole.device)
        for name, past in self.past.items():
            past.copy_(past.roll(1, dims=0))
            past[0] = seen[name]
            past[:, self.fresh] = seen[name][self.fresh]
            newer, older = past[whole, worlds], past[whole + 1, worlds]
            share = (self.delay - whole).view(-1, *(1,) * (newer.dim() - 1))
            seen[name] = (
                _between(newer, older, share) if FIELDS[name].unit == "wxyz" else torch.lerp(newer, older, share)
            )
        self.fresh.fill_(False)


class Latency(Memory):
    """Values between two control steps are interpolated."""

    def __init__(self, terms: dict[str, SensorTerm], n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s].

        Raises:
            ValueError: if a delay has no bound.
        """
        super().__init__()
        device = source.generator.device
        self.lines = [
            self.include(key, _Line(key, term.fields, source.draw(key, term.draw), n, device, period))
            for key, term in terms.items()
            if term.effect == "delay"
        ]

    def reset(self, ids: Tensor) -> None:
        """Draws how late measurements come in worlds ``ids``, (m,); what they see first is fresh."""
        for line in self.lines:
            line.reset(ids)

    def apply(self, seen: dict[str, Tensor]) -> None:
        """Changes the measured fields."""
        for line in self.lines:
            line.apply(seen)


def _between(newer: Tensor, older: Tensor, share: Tensor) -> Tensor:
    turn = rotation.to_rotation_vector(rotation.multiply(older, rotation.conjugate(newer)))
    return rotation.multiply(rotation.from_rotation_vector(share * turn), newer)
