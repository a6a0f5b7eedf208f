"""Where the values of terms come from: one generator, and the ranges of automatic domain randomization."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

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
    calibrated: float | None = None
    """The value that changes nothing; None where another draw of the term, a probability, is what grows milder."""

    def __call__(self, ids: Tensor, *shape: int) -> Tensor:
        """Values for worlds ``ids``, (m,), float32, (m, *shape).

        With a share of the randomization, they lie at that share of the way from the calibrated value. A choice between
        two values stays one; it is made with that share of the probability.
        """
        adr = self.source.adr
        learnt = adr.parameters[ids][:, list(self.columns)] if adr is not None and self.columns else None
        generator, share = self.source.generator, self.source.share_of(ids, 1 + len(shape))
        drawn = self.distribution.sample((len(ids), *shape), generator, learnt)
        if self.calibrated is None or (isinstance(share, float) and share == 1.0):
            return drawn
        if self.distribution.name == "bernoulli":
            stays = torch.rand(drawn.shape, generator=generator, device=drawn.device) < share
            return drawn.where(stays, self.calibrated)
        return self.calibrated + share * (drawn - self.calibrated)

    @property
    def largest(self) -> float:
        """The largest value that can come; infinite for distributions without bounds."""
        limit = self.source.adr.config.limit if self.source.adr is not None else 0.0
        return self.distribution.bounds(limit)[1]


def total(draws: Iterable[Tensor]) -> Tensor:
    """The sum of one or more."""
    return reduce(torch.add, draws)


class Source:
    """The generator that every draw comes from, and the learnt ranges, if a preset has any."""

    def __init__(self, generator: torch.Generator, adr: ADR | None = None) -> None:
        self.generator = generator
        self.adr = adr
        self.share: float | Tensor = 1.0
        """Share of the randomization, from 0, calibrated values, to 1, those of the preset; for draws from now on.
        (n,) float32 where it differs from world to world."""

    def share_of(self, ids: Tensor, dims: int) -> float | Tensor:
        """The share for values of worlds ``ids``, (m,), that have so many dimensions, worlds first."""
        if isinstance(self.share, Tensor):
            return self.share[ids].view(-1, *(1,) * (dims - 1))
        return self.share

    def draw(self, term: str, text: str, calibrated: float | None = 0.0) -> Draw:
        """How the values of ``term`` are drawn, whose distribution is ``text``; see ``Draw`` for ``calibrated``."""
        distribution = parse(text)
        names = [term + ending for ending in distribution.learnt]
        columns = [self.adr.names.index(name) for name in names] if self.adr else ()
        return Draw(term, distribution, self, columns, calibrated)
