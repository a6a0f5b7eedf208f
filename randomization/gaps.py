"""Times without a new measurement, when the last one stays: dropouts, occlusion, slow refresh (D18 C.2, DeXtreme)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from randomization.draws import Draw, Source
from randomization.memory import Memory
from randomization.terms import SensorTerm
from robot.observation import FIELDS

FINGERTIPS = 5
EFFECTS = ("dropout", "occlusion", "refresh")


@dataclass(frozen=True)
class _Term:
    effect: str
    fields: list[str]
    draw: Draw
    draw_time: Draw
    value: Tensor
    """(n,): of dropouts and occlusion the probability per step, of refresh its interval [steps]."""
    left: Tensor
    """(n, markers): steps until something new is seen."""


class Gaps(Memory):
    """Holds back what is not seen. Fingertip markers are lost one by one, the block's pose as a whole."""

    def __init__(self, terms: dict[str, SensorTerm], n: int, source: Source, period: float) -> None:
        """``period`` is the control period [s]."""
        super().__init__()
        self.period = period
        self.generator = source.generator
        device = source.generator.device
        self.everyone = torch.arange(n, device=device)
        self.terms: list[_Term] = []
        for key, term in terms.items():
            if term.effect in EFFECTS:
                count = FINGERTIPS if all(FIELDS[name].shape[0] == FINGERTIPS for name in term.fields) else 1
                value = self.remember(f"{key}.value", torch.zeros(n, device=device))
                left = self.remember(f"{key}.left", torch.zeros(n, count, device=device))
                never = period if term.effect == "refresh" else 0.0  # something new at every step
                draws = source.draw(key, term.draw, never), source.draw(f"{key}.time", term.time, calibrated=None)
                self.terms.append(_Term(term.effect, term.fields, *draws, value, left))
        fields = {name for term in self.terms for name in term.fields}
        self.last = {name: self.remember(name, torch.zeros(n, *FIELDS[name].shape, device=device)) for name in fields}
        self.fresh = self.remember("fresh", torch.ones(n, dtype=torch.bool, device=device))

    def reset(self, ids: Tensor) -> None:
        """Draws how often and how long worlds ``ids``, (m,), see nothing new; what they see first is fresh."""
        for term in self.terms:
            drawn = term.draw(ids)
            if term.effect == "dropout":
                # given per second; robogym: 1 - 0.8^0.08 per step of 80 ms
                drawn = 1.0 - (1.0 - drawn) ** self.period
            elif term.effect == "refresh":
                drawn = drawn / self.period
            term.value[ids] = drawn
            term.left.index_fill_(0, ids, 0.0)
            if term.effect == "refresh":  # the first value is fresh, the next comes at any time within the interval
                term.left[ids] = (drawn * self._chance(drawn)).unsqueeze(-1)
        self.fresh.index_fill_(0, ids, True)

    def apply(self, seen: dict[str, Tensor], touched: Tensor | None) -> None:
        """Changes the measured fields; ``touched`` (n, 5) bool tells which fingertip markers have something in the way.

        Raises:
            ValueError: if there is occlusion and ``touched`` is missing.
        """
        if not self.terms:
            return
        hidden: dict[str, Tensor] = {}
        for term in self.terms:
            missing = self._missing(term, touched)
            for name in term.fields:
                hidden[name] = hidden[name] | missing if name in hidden else missing
        for name, missing in hidden.items():
            stays = missing & ~self.fresh.unsqueeze(-1)
            if seen[name].dim() == 3:
                stays = stays.unsqueeze(-1)
            seen[name] = torch.where(stays, self.last[name], seen[name])
            self.last[name].copy_(seen[name])
        self.fresh.fill_(False)

    def _missing(self, term: _Term, touched: Tensor | None) -> Tensor:
        """What a term keeps from being seen, (n, markers)."""
        if term.effect == "refresh":
            missing = term.left >= 1.0
            # fractions of a step add up, so that the mean interval is the one that was drawn
            left = torch.where(missing, term.left - 1.0, term.left + term.value.unsqueeze(-1) - 1.0)
            torch.clamp(left, min=0.0, out=term.left)
            return missing
        if term.effect == "occlusion":
            if touched is None:
                raise ValueError("occlusion needs to know what touches the fingertip markers")
            return touched & (self._chance(term.left) < term.value.unsqueeze(-1))
        begins = (term.left <= 0.0) & (self._chance(term.left) < term.value.unsqueeze(-1))
        steps = (term.draw_time(self.everyone, term.left.shape[1]) / self.period).round()
        torch.clamp(torch.where(begins, steps, term.left - 1.0), min=0.0, out=term.left)
        return term.left > 0.0

    def _chance(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, device=like.device)
