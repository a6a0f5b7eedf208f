"""Probability distributions, written in configuration as ``uniform(0.95, 1.05)``."""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

_PARAMETERS = {"uniform": 2, "log_uniform": 2, "normal": 2, "bernoulli": 1, "constant": 1}
_SYNTAX = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Distribution:
    """A named distribution and its parameters.

    ``uniform(low, high)``, ``log_uniform(low, high)`` (the logarithm is uniform), ``normal(mean, sd)``,
    ``bernoulli(p)`` (1 with probability p, else 0), ``constant(value)``.

    Raises:
        ValueError: if the name is unknown or the parameters do not fit it.
    """

    name: str
    parameters: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.name not in _PARAMETERS:
            raise ValueError(f"unknown distribution {self.name!r}; known: {', '.join(_PARAMETERS)}")
        if len(self.parameters) != _PARAMETERS[self.name]:
            raise ValueError(f"{self.name} takes {_PARAMETERS[self.name]} parameters, not {len(self.parameters)}")
        first, last = self.parameters[0], self.parameters[-1]
        if not all(map(math.isfinite, self.parameters)):
            raise ValueError(f"{self}: parameters must be finite")
        if self.name in ("uniform", "log_uniform") and first > last:
            raise ValueError(f"{self}: low is above high")
        if self.name == "log_uniform" and first <= 0:
            raise ValueError(f"{self}: low must be positive")
        if self.name == "normal" and last < 0:
            raise ValueError(f"{self}: sd must not be negative")
        if self.name == "bernoulli" and not 0 <= first <= 1:
            raise ValueError(f"{self}: p must lie in [0, 1]")

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{p:g}' for p in self.parameters)})"

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Independent draws of the given shape, float32, on the generator's device."""
        first, last = self.parameters[0], self.parameters[-1]
        device = generator.device
        if self.name == "normal":
            return first + last * torch.randn(shape, generator=generator, device=device)
        if self.name == "constant":
            return torch.full(shape, first, device=device)
        draw = torch.rand(shape, generator=generator, device=device)
        if self.name == "bernoulli":
            return (draw < first).float()
        if self.name == "uniform":
            return first + (last - first) * draw
        return (math.log(first) + (math.log(last) - math.log(first)) * draw).exp()


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
