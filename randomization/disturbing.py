"""What happens to the world by itself: pushes on the block, and control steps that take longer (D18 C.2)."""

import torch
from torch import Tensor

from randomization.draws import Source
from randomization.memory import Memory
from randomization.terms import ForceTerm, TimingTerm

DECAY_PERIOD = 0.08
"""The time [s] for which a push's decay is given."""

SUBSTEP = 0.008
"""The sub-step [s] of D18, for which the added time is given."""


class RandomForce(Memory):
    """Pushes on the blocks of ``n`` worlds that come at random and fade."""

    def __init__(self, term: ForceTerm, n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s]."""
        super().__init__()
        self.draw = source.draw("force", term.draw)
        self.draw_acceleration = source.draw("force.acceleration", term.acceleration, calibrated=None)
        self.generator = source.generator
        self.decay = term.decay ** (period / DECAY_PERIOD)
        device = source.generator.device
        self.probability = self.remember("probability", torch.zeros(n, device=device))
        self.acceleration = self.remember("acceleration", torch.zeros(n, 3, device=device))

    def reset(self, ids: Tensor) -> None:
        """Draws how often worlds ``ids``, (m,), are pushed; they begin without a push."""
        self.probability[ids] = self.draw(ids)
        self.acceleration.index_fill_(0, ids, 0.0)

    def step(self) -> Tensor:
        """The pushes during the next control step, as accelerations [m/s²] in the world frame, (n, 3)."""
        self.acceleration.mul_(self.decay)
        chance = torch.rand(len(self.probability), generator=self.generator, device=self.probability.device)
        pushed = (chance < self.probability).nonzero().squeeze(-1)
        self.acceleration[pushed] = self.draw_acceleration(pushed, 3)
        return self.acceleration


class Timing(Memory):
    """How long the sub-steps of ``n`` worlds really last.

    D18 adds an exponentially distributed time to each of ten sub-steps of 8 ms. Here the sum of the ten is spread
    evenly over however many sub-steps there are.
    """

    def __init__(self, term: TimingTerm, n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s]."""
        super().__init__()
        self.draw = source.draw("timing", term.draw)
        self.generator = source.generator
        self.count = round(period / SUBSTEP)
        self.mean = self.remember("mean", torch.zeros(n, device=source.generator.device))

    def reset(self, ids: Tensor) -> None:
        """Draws the mean of the added times of worlds ``ids``, (m,)."""
        self.mean[ids] = self.draw(ids)

    def step(self) -> Tensor:
        """The time [s] that the next control step lasts longer than its period, (n,)."""
        shape = (self.count, len(self.mean))
        chance = torch.rand(shape, generator=self.generator, device=self.mean.device)
        return self.mean * -chance.clamp(min=1e-12).log().sum(dim=0)
