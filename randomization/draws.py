"""Where the values of terms come from: one generator, and the ranges of automatic domain randomization."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from randomization.adr import ADR
from randomization.distribution import Distribution, parse


@dataclass(frozen=True)
class Draw:
    """Draws the values of one term for chosen worlds."""

    term: str
    distribution: Distribution
    source: "Source"
    columns: Sequence[int] = ()
    """Of the parameters that automatic domain randomization adapts."""

    def __call__(self, ids: Tensor, *shape: int) -> Tensor:
        """Values for worlds ``ids``, (m,), float32, (m, *shape)."""
        adr = self.source.adr
        learnt = adr.parameters[ids][:, list(self.columns)] if adr is not None and self.columns else None
        return self.distribution.sample((len(ids), *shape), self.source.generator, learnt)

    @property
    def largest(self) -> float:
        """The largest value that can come; infinite for distributions without bounds."""
        limit = self.source.adr.config.limit if self.source.adr is not None else 0.0
        return self.distribution.bounds(limit)[1]


class Source:
    """The generator that every draw comes from, and the learnt ranges, if a preset has any."""

    def __init__(self, generator: torch.Generator, adr: ADR | None = None) -> None:
        self.generator = generator
        self.adr = adr

    def draw(self, term: str, text: str) -> Draw:
        """How the values of ``term`` are drawn, whose distribution is ``text``."""
        distribution = parse(text)
        names = [term + ending for ending in distribution.learnt]
        return Draw(term, distribution, self, [self.adr.names.index(name) for name in names] if self.adr else ())
