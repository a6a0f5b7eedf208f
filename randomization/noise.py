"""Noise on measurements: offsets of an episode, fresh noise at every step, and poses mistaken for others."""

import torch
from torch import Tensor

from randomization.draws import Draw, Source, total
from randomization.memory import Memory
from randomization.terms import SensorTerm
from robot import rotation
from robot.observation import FIELDS, Field

INJECTED_SPREAD = 0.02
"""Standard deviation [m] of a mistaken position about the true one."""


class Noise(Memory):
    """Offsets and fresh noise by field; orientations are turned about random axes."""

    def __init__(self, terms: dict[str, SensorTerm], n: int, source: Source) -> None:
        super().__init__()
        self.source = source
        self.everyone = torch.arange(n, device=source.generator.device)
        self.of_episode: dict[str, list[Draw]] = {}
        self.of_step: list[tuple[Field, Draw]] = []
        for key, term in terms.items():
            if term.effect == "noise":
                for name in term.fields:
                    draw = source.draw(key, term.draw)
                    if term.every == "step":
                        self.of_step.append((FIELDS[name], draw))
                    else:
                        self.of_episode.setdefault(name, []).append(draw)
        # rotations are kept as rotation vectors, three numbers
        self.offset = {
            name: self.remember(name, torch.zeros(n, *_shape(FIELDS[name]), device=source.generator.device))
            for name in self.of_episode
        }

    def reset(self, ids: Tensor) -> None:
        """Draws the offsets of a new episode for worlds ``ids``, (m,)."""
        for name, draws in self.of_episode.items():
            self.offset[name][ids] = total(self._draw(FIELDS[name], draw, ids) for draw in draws)

    def apply(self, seen: dict[str, Tensor]) -> None:
        """Changes the measured fields."""
        shift = dict(self.offset)
        for field, draw in self.of_step:
            fresh = self._draw(field, draw, self.everyone)
            shift[field.name] = shift[field.name] + fresh if field.name in shift else fresh
        for name, value in shift.items():
            if FIELDS[name].unit == "wxyz":
                seen[name] = rotation.multiply(rotation.from_rotation_vector(value), seen[name])
            else:
                seen[name] = seen[name] + value

    def _draw(self, field: Field, draw: Draw, ids: Tensor) -> Tensor:
        shape = _shape(field)
        if field.unit != "wxyz":
            return draw(ids, *shape)
        generator = self.source.generator
        axis = torch.randn(len(ids), *shape, generator=generator, device=generator.device)
        return axis / axis.norm(dim=-1, keepdim=True) * draw(ids, *shape[:-1], 1)


class Injection(Memory):
    """The block is seen, for a step, at a pose where it is not (DeXtreme): turned any way, a little off its place."""

    def __init__(self, terms: dict[str, SensorTerm], n: int, source: Source) -> None:
        super().__init__()
        self.generator = source.generator
        chosen = {key: term for key, term in terms.items() if term.effect == "injection"}
        self.terms = [(term.fields, source.draw(key, term.draw)) for key, term in chosen.items()]
        device = source.generator.device
        self.probability = [self.remember(key, torch.zeros(n, device=device)) for key in chosen]

    def reset(self, ids: Tensor) -> None:
        """Draws how often this happens in worlds ``ids``, (m,)."""
        for (_, draw), probability in zip(self.terms, self.probability, strict=True):
            probability[ids] = draw(ids)

    def apply(self, seen: dict[str, Tensor]) -> None:
        """Changes the measured fields."""
        for (fields, _), probability in zip(self.terms, self.probability, strict=True):
            chance = torch.rand(len(probability), generator=self.generator, device=probability.device)
            mistaken = (chance < probability).nonzero().squeeze(-1)
            for name in fields:
                value = seen[name].clone()
                if name == "object_quat":
                    value[mistaken] = rotation.random_uniform(len(mistaken), self.generator)
                else:
                    noise = torch.randn(len(mistaken), 3, generator=self.generator, device=value.device)
                    value[mistaken] += INJECTED_SPREAD * noise
                seen[name] = value


def _shape(field: Field) -> tuple[int, ...]:
    return (*field.shape[:-1], 3) if field.unit == "wxyz" else field.shape
