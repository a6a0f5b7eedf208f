"""Networks that go on with more observation fields than they had.

What is new has weights of zero at first, so that nothing the network does changes until it has learnt to use it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from policy.checkpoint import CheckpointError
from robot.observation import FIELDS

FRESH = {"mean": 0.0, "var": 1.0, "count": 0.0}
"""Statistics of a normalizer's column before any observation."""


def grow(weights: Mapping[str, Tensor], had: Sequence[str], has: Sequence[str]) -> dict[str, Tensor]:
    """Weights of an ``Actor`` or ``Critic`` that reads the fields ``had``, for one that reads ``has``, in any order.

    Raises:
        CheckpointError: if a field is missing from ``has``, or if fields are embedded one by one and are not the same.
    """
    if list(had) == list(has):
        return dict(weights)
    if missing := [name for name in had if name not in has]:
        raise CheckpointError(
            f"the network to begin with reads {', '.join(missing)}, which this run's observation lacks: "
            f"{', '.join(has)}"
        )
    if any(name.startswith("trunk.fields.") for name in weights):
        raise CheckpointError(
            f"the network to begin with embeds every field by itself (network embedding) and reads {', '.join(had)}; "
            f"it can go on only with the same, not with {', '.join(has)}"
        )
    sizes = [FIELDS[name].size for name in had]
    grown = dict(weights)
    for name, fresh in FRESH.items():
        key = f"trunk.normalizer.{name}"
        old = weights[key].expand(sum(sizes))  # older files have one count for all columns
        grown[key] = torch.cat(_parts(old, had, has, sizes, fresh))
    key = "trunk.embed.weight"
    grown[key] = torch.cat(_parts(weights[key], had, has, sizes, 0.0), dim=-1)
    return grown


def _parts(columns: Tensor, had: Sequence[str], has: Sequence[str], sizes: Sequence[int], fresh: float) -> list[Tensor]:
    known = dict(zip(had, columns.split(list(sizes), dim=-1), strict=True))
    rows = columns.shape[:-1]
    return [known[name] if name in known else columns.new_full((*rows, FIELDS[name].size), fresh) for name in has]
