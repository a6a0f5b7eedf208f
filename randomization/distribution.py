"""Probability distributions, written in configuration as ``uniform(0.95, 1.05)``.

Those whose names begin with ``adr`` follow parameters that automatic domain randomization widens as the policy learns
(R19 §5.2, modes of App. B); with all parameters at zero they leave the calibrated value as it is.
"""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

PARAMETERS = {
    "uniform": 2,
    "log_uniform": 2,
    "reciprocal_uniform": 2,
    "normal": 2,
    "exponential": 1,
    "bernoulli": 2,
    "constant": 1,
    "adr_factor": 1,
    "adr_spread": 1,
    "adr_offset": 1,
    "adr_jitter": 1,
    "adr_amount": 1,
}
"""Number of parameters of every distribution."""

LEARNT: dict[str, dict[str, bool]] = {
    "adr_factor": {"": False},
    "adr_spread": {".mean": False, ".sd": True},
    "adr_offset": {".mean": True, ".sd": True},
    "adr_jitter": {".sd": True},
    "adr_amount": {"": True},
}
"""What automatic domain randomization adapts in each of its distributions: the endings of the parameters' names, and
whether a parameter has one side only, because its sign would mean nothing."""

_SYNTAX = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Distribution:
    """A named distribution and its parameters.

    ``uniform(low, high)``, ``log_uniform(low, high)`` (the logarithm is uniform), ``reciprocal_uniform(low, high)``
    (one over the value is uniform between the two), ``normal(mean, sd)``, ``exponential(mean)``,
    ``bernoulli(p, value)`` (the value with probability p, else 0), ``constant(value)``.

    With a scale α, and λ from automatic domain randomization (g(x) = exp(x) - 1; R19 prints exp(x - 1), which does not
    vanish at zero): ``adr_factor(α)`` is exp(α λ); ``adr_spread(α)`` is exp(N), N ~ N(α λ₁, (α λ₂)²);
    ``adr_offset(α)`` is abs(N), N ~ N(g(α λ₁), g(α λ₂)²); ``adr_jitter(α)`` is N ~ N(0, g(α λ)²); ``adr_amount(α)``
    is α λ.

    Raises:
        ValueError: if the name is unknown or the parameters do not fit it.
    """

    name: str
    parameters: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.name not in PARAMETERS:
            raise ValueError(f"unknown distribution {self.name!r}; known: {', '.join(PARAMETERS)}")
        if len(self.parameters) != PARAMETERS[self.name]:
            raise ValueError(f"{self.name} takes {PARAMETERS[self.name]} parameters, not {len(self.parameters)}")
        first, last = self.parameters[0], self.parameters[-1]
        if not all(map(math.isfinite, self.parameters)):
            raise ValueError(f"{self}: parameters must be finite")
        if self.name.endswith("uniform") and first > last:
            raise ValueError(f"{self}: low is above high")
        if self.name in ("log_uniform", "reciprocal_uniform") and first <= 0:
            raise ValueError(f"{self}: low must be positive")
        if self.name == "normal" and last < 0:
            raise ValueError(f"{self}: sd must not be negative")
        if self.name == "bernoulli" and not 0 <= first <= 1:
            raise ValueError(f"{self}: p must lie in [0, 1]")
        if (self.name in LEARNT or self.name == "exponential") and first <= 0:
            raise ValueError(f"{self}: its parameter must be positive")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{p:g}' for p in self.parameters)})"

    @property
    def learnt(self) -> dict[str, bool]:
        """What automatic domain randomization adapts, as in ``LEARNT``; usually nothing."""
        return LEARNT.get(self.name, {})

    def bounds(self, limit: float) -> tuple[float, float]:
        """The least and the largest value it can have, with learnt parameters up to ``limit``."""
        first, last = self.parameters[0], self.parameters[-1]
        if self.name in ("uniform", "log_uniform", "constant"):
            return first, last
        known = {
            "exponential": lambda: (0.0, math.inf),
            "reciprocal_uniform": lambda: (1.0 / last, 1.0 / first),
            "bernoulli": lambda: (min(0.0, last), max(0.0, last)),
            "adr_factor": lambda: (math.exp(-first * limit), math.exp(first * limit)),
            "adr_amount": lambda: (0.0, first * limit),
        }
        return known[self.name]() if self.name in known else (-math.inf, math.inf)

    @property
    def _has_no_width(self) -> bool:
        """Whether the parameters leave a single value."""
        first, last = self.parameters[0], self.parameters[-1]
        return last == 0.0 if self.name == "normal" else self.name.endswith("uniform") and first == last

    def distance(self, values: Tensor) -> float | None:
        """Kolmogorov-Smirnov distance of draws (n,) from the distribution; None where it follows learnt parameters."""
        first, last = self.parameters[0], self.parameters[-1]
        x = values.double().sort().values
        if self.name == "constant" or self._has_no_width:
            only = first if self.name == "normal" else self.bounds(0.0)[0]
            return float((~torch.isclose(x, torch.tensor(only, dtype=x.dtype))).double().mean())
        if self.name == "bernoulli":
            return abs(float(torch.isclose(x, torch.tensor(last, dtype=x.dtype)).double().mean()) - first)
        if self.learnt:
            return None
        if self.name == "normal":
            below = 0.5 * (1.0 + torch.erf((x - first) / (math.sqrt(2.0) * last)))
        elif self.name == "exponential":
            below = -torch.expm1(-x.clamp(min=0.0) / first)
        else:
            uneven = {"log_uniform": torch.log, "reciprocal_uniform": lambda y: -1.0 / y}
            even = uneven.get(self.name, torch.Tensor.double)
            low, high = (even(torch.tensor(end, dtype=x.dtype)) for end in sorted(self.bounds(0.0)))
            below = ((even(x) - low) / (high - low)).clamp(0.0, 1.0)
        count = torch.arange(len(x) + 1, dtype=x.dtype) / len(x)
        return float(torch.maximum(count[1:] - below, below - count[:-1]).max())

    def sample(self, shape: tuple[int, ...], generator: torch.Generator, learnt: Tensor | None = None) -> Tensor:
        """Independent draws of the given shape, float32, on the generator's device.

        Args:
            shape: worlds first.
            generator: of the draws.
            learnt: the learnt parameters of each world, (n, len(self.learnt)); only where there are any.
        """
        first, last = self.parameters[0], self.parameters[-1]
        if self.learnt:
            assert learnt is not None
            return self._adapted(shape, generator, first * learnt)
        device = generator.device
        if self.name == "normal":
            return first + last * torch.randn(shape, generator=generator, device=device)
        if self.name == "constant":
            return torch.full(shape, first, device=device)
        draw = torch.rand(shape, generator=generator, device=device)
        if self.name == "bernoulli":
            return last * (draw < first).float()
        if self.name == "exponential":
            return -first * (1.0 - draw).log()
        if self.name == "log_uniform":
            return (math.log(first) + (math.log(last) - math.log(first)) * draw).exp()
        uniform = first + (last - first) * draw
        return 1.0 / uniform if self.name == "reciprocal_uniform" else uniform

    def _adapted(self, shape: tuple[int, ...], generator: torch.Generator, scaled: Tensor) -> Tensor:
        columns = [column.view(-1, *(1,) * (len(shape) - 1)).expand(shape) for column in scaled.unbind(-1)]
        if self.name == "adr_factor":
            return columns[0].exp()
        if self.name == "adr_amount":
            return columns[0].clone()
        noise = torch.randn(shape, generator=generator, device=generator.device)
        if self.name == "adr_spread":
            return (columns[0] + columns[1] * noise).exp()
        if self.name == "adr_jitter":
            return columns[0].expm1() * noise
        return (columns[0].expm1() + columns[1].expm1() * noise).abs()


def parse(text: str) -> Distribution:
    """The distribution that ``text`` names.

    Raises:
        ValueError: if the text is not of the form ``name(number, …)`` or names no valid distribution.
    """
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no distribution; write for example uniform(0.5, 1.5)")
    try:
        parameters = tuple(float(part) for part in match[2].split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no distribution: its parameters must be numbers") from None
    return Distribution(match[1], parameters)
