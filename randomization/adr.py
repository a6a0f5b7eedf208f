"""Automatic domain randomization: a parameter's range grows for as long as the policy copes at its ends (R19 §5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from robot.checks import check_numbers
from robot.files import replacing

NO_BOUNDARY = -1
"""In place of the index of a boundary: the world is an ordinary one."""

DECIMALS = 9
"""Decimals to which boundaries are rounded, so that steps out and steps back cancel."""


@dataclass(frozen=True)
class ADRConfig:
    """How the ranges move; the defaults are R19's Table 15.

    Raises:
        ValueError: if a value lies outside what is allowed.
    """

    boundary_probability: float = 0.5
    """Share of the episodes in which one parameter is pinned to an end of its range."""

    step: float = 0.02
    """How far an end moves at once, in units of λ."""

    widen_at: float = 20.0
    """Mean successes per episode from which on an end moves outwards."""

    narrow_at: float = 10.0
    """Mean successes per episode down to which an end moves inwards."""

    queue: int = 240
    """Episodes at an end that are averaged before it moves."""

    limit: float = 4.0
    """Largest |λ|."""

    ranges: str | None = None
    """JSON file of the ranges to start from, as a training run leaves it; without, all are [0, 0]."""

    frozen: bool = False
    """The ranges stay as they are and no episode tries their ends, as evaluation needs it."""

    def __post_init__(self) -> None:
        check_numbers("adr", self, "boundary_probability", least=0.0, most=1.0)
        check_numbers("adr", self, "limit", above=0.0)
        check_numbers("adr", self, "step", above=0.0, most=self.limit)
        check_numbers("adr", self, "queue", least=1)
        check_numbers("adr", self, "widen_at")
        check_numbers("adr", self, "narrow_at", below=self.widen_at)


class ADR:
    """The ranges of d parameters λ, 0 being the calibrated value, and what n worlds drew from them.

    A world draws its parameters uniformly for an episode. With probability p_b it tries a boundary: one parameter is
    pinned to an end of its range, and the successes of the episode join the queue of that end. A full queue is
    averaged and emptied, and its end moves outwards, inwards or not at all, never past 0 or the limit.

    Boundaries are counted from 0 to 2d: first the lower ends, then the upper ones.
    """

    def __init__(
        self,
        config: ADRConfig,
        names: Sequence[str],
        n: int,
        generator: torch.Generator,
        one_sided: Sequence[bool] | None = None,
    ) -> None:
        """Nothing is drawn yet: every world has the calibrated values.

        Args:
            config: how the ranges move.
            names: of the d parameters.
            n: number of worlds.
            generator: of the draws; everything lies on its device.
            one_sided: for each parameter, whether its lower end stays at 0, negative values meaning nothing.

        Raises:
            ValueError: if there are no names or one stands twice, ``one_sided`` has another length, or the file of
                ranges cannot be read or does not fit.
        """
        d, device = len(names), generator.device
        sides = [False] * d if one_sided is None else list(one_sided)
        if not d or len(set(names)) != d:
            raise ValueError(f"ADR needs parameters with names of their own, not {list(names)}")
        if len(sides) != d:
            raise ValueError(f"one_sided has {len(sides)} entries for {d} parameters")
        self.config = config
        self.names = tuple(names)
        self.generator = generator
        self.one_sided = torch.tensor(sides, device=device)
        self.reach = torch.zeros(2 * d, dtype=torch.float64, device=device)
        """Distance of every boundary from 0."""
        if config.ranges is not None:
            self.reach.copy_(torch.tensor(self._read(Path(config.ranges)), dtype=torch.float64))
        self.parameters = torch.zeros(n, d, device=device)
        """λ of the running episode of each world, (n, d)."""
        self.boundary = torch.full((n,), NO_BOUNDARY, device=device)
        """The boundary each world tries, (n,)."""
        # a mean needs no more of a queue than these; sums of whole numbers are exact
        self.count = torch.zeros(2 * d, dtype=torch.int64, device=device)
        """Episodes in the queue of each boundary."""
        self.total = torch.zeros(2 * d, dtype=torch.float64, device=device)
        """Their successes."""

    @property
    def low(self) -> Tensor:
        """Lower ends of the ranges, (d,) float64."""
        return 0.0 - self.reach[: len(self.names)]  # a plain minus would make -0.0 of 0.0

    @property
    def high(self) -> Tensor:
        """Upper ends of the ranges, (d,) float64."""
        return self.reach[len(self.names) :].clone()

    def draw(self, ids: Tensor) -> None:
        """Draws the parameters of a new episode for worlds ``ids``, (m,).

        A boundary that such a world tried is forgotten, and its episode does not count unless ``finish`` came first.
        """
        m, d = len(ids), len(self.names)
        low, high = self.low, self.high
        drawn = low + (high - low) * self._uniform(m, d)
        tries = self._uniform(m) < (0.0 if self.config.frozen else self.config.boundary_probability)
        parameter = torch.randint(d, (m,), generator=self.generator, device=self.generator.device)
        upper = (self._uniform(m) < 0.5) | self.one_sided[parameter]
        pinned = torch.where(upper, high[parameter], low[parameter])
        rows = torch.arange(m, device=drawn.device)
        drawn[rows, parameter] = torch.where(tries, pinned, drawn[rows, parameter])
        self.parameters[ids] = drawn.float()
        self.boundary[ids] = torch.where(tries, parameter + d * upper, NO_BOUNDARY)

    def calibrate(self, ids: Tensor) -> None:
        """Gives worlds ``ids``, (m,), the calibrated values for their next episode, which tries no boundary."""
        self.parameters[ids] = 0.0
        self.boundary[ids] = NO_BOUNDARY

    def finish(self, ids: Tensor, successes: Tensor) -> None:
        """Takes in the episodes that ended in worlds ``ids``, (m,), with ``successes``, (m,).

        The result is that of taking them in one by one, in this order. An episode counts for its boundary as it was
        drawn, even if the boundary has moved since: left out, the long episodes, which are the successful ones, would
        be missing most.
        """
        boundary = self.boundary[ids]
        self.boundary[ids] = NO_BOUNDARY
        tried = boundary != NO_BOUNDARY
        boundary, successes = boundary[tried], successes[tried].double()
        if not len(boundary):
            return
        same = torch.nn.functional.one_hot(boundary, len(self.reach))
        earlier = same.cumsum(0).gather(1, boundary.unsqueeze(1)).squeeze(1) - 1
        filling = (self.count[boundary] + earlier) // self.config.queue
        # a queue may be filled, averaged and filled again in one call
        for now in range(int(filling.max()) + 1):
            members = filling == now
            self.count.index_add_(0, boundary[members], torch.ones_like(boundary[members]))
            self.total.index_add_(0, boundary[members], successes[members])
            full = self.count == self.config.queue
            if full.any():
                self._move(full)

    def open(self, reach: float) -> None:
        """Makes every range that from -``reach``, or 0 where one-sided, to ``reach``."""
        self.reach.fill_(reach)
        self.reach[: len(self.names)][self.one_sided] = 0.0

    def _move(self, full: Tensor) -> None:
        """Averages and empties the queues that are ``full``, (2d,) bool, and moves their boundaries."""
        mean = self.total / self.config.queue
        outwards = (mean >= self.config.widen_at).double() - (mean <= self.config.narrow_at).double()
        moved = (self.reach + self.config.step * outwards).round(decimals=DECIMALS).clamp(0.0, self.config.limit)
        self.reach = torch.where(full, moved, self.reach)
        self.count = torch.where(full, 0, self.count)
        self.total = torch.where(full, 0.0, self.total)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of every parameter."""
        return dict(zip(self.names, zip(self.low.tolist(), self.high.tolist(), strict=True), strict=True))

    def entropy(self) -> float:
        """(1/d) Σ log(high − low), in nats per dimension; a range narrower than one step counts as one step.

        The initial ranges have no width, and an entropy of −∞.
        """
        return (self.high - self.low).clamp(min=self.config.step).log().mean().item()

    def metrics(self) -> dict[str, float]:
        """The entropy and both ends of every range, named for a log."""
        ends = {
            f"adr/{name}/{side}": end
            for name, pair in self.ranges().items()
            for side, end in zip(("low", "high"), pair, strict=True)
        }
        return {"adr/entropy": self.entropy()} | ends

    def save(self, path: Path) -> None:
        """Writes the ranges as a JSON file, which ``ADRConfig.ranges`` can name: the whole of it or nothing."""
        with replacing(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self.ranges()), indent=2) + b"\n")

    def _read(self, path: Path) -> list[float]:
        """The distances of all boundaries from 0, from a file that ``save`` wrote."""
        try:
            ranges = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[float, float]])
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"adr ranges cannot be read from {path}: {error}") from error
        missing, unknown = [set(self.names) - ranges.keys(), ranges.keys() - set(self.names)]
        if missing or unknown:
            raise ValueError(
                f"adr ranges in {path} belong to other parameters: "
                f"missing {sorted(missing) or 'none'}, unknown {sorted(unknown) or 'none'}"
            )
        limit = self.config.limit
        for name, one_sided in zip(self.names, self.one_sided.tolist(), strict=True):
            low, high = ranges[name]
            floor = 0.0 if one_sided else -limit
            if not (floor <= low <= 0.0 <= high <= limit):
                raise ValueError(
                    f"adr range of {name} in {path} is [{low}, {high}]; it must contain 0 and lie in [{floor}, {limit}]"
                )
        return [abs(ranges[name][side]) for side in (0, 1) for name in self.names]

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, the generator aside (its owner keeps it)."""
        state = {name: getattr(self, name).clone() for name in ("reach", "count", "total", "parameters", "boundary")}
        return state | {"names": list(self.names)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly from where ``state_dict`` was taken.

        Raises:
            ValueError: if that had other parameters.
        """
        if list(state["names"]) != list(self.names):
            raise ValueError(f"the saved ranges are those of {list(state['names'])}, not of {list(self.names)}")
        for name in ("reach", "count", "total", "parameters", "boundary"):
            getattr(self, name).copy_(state[name])
