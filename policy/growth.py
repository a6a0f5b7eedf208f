"""Networks that go on with more to see than they had.

A field that is new, and a column of a field that never changed where the network learnt, has weights of zero at first
and statistics of its own, so that nothing the network does changes until it has learnt to use it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from policy.checkpoint import CheckpointError
from policy.normalizer import never_changed
from robot.observation import FIELDS, ObservationContract

FRESH = {"trunk.normalizer.mean": 0.0, "trunk.normalizer.var": 1.0, "trunk.normalizer.count": 0.0}
"""Statistics of a column before any observation."""


def grow(weights: Mapping[str, Tensor], had: Sequence[str], has: Sequence[str], key: str) -> dict[str, Tensor]:
    """Weights of an ``Actor`` or ``Critic`` that reads the fields ``had``, for one that reads ``has``, in any order.

    ``key`` is that of the configuration which says what it reads, for errors.

    Raises:
        CheckpointError: if a field is missing from ``has``, or if fields are embedded one by one and are not the same.
    """
    if missing := [name for name in had if name not in has]:
        raise CheckpointError(
            f"the network to begin with reads {', '.join(missing)}, which {key} of this run lacks: {', '.join(has)}"
        )
    if any(name.startswith("trunk.fields.") for name in weights):
        if list(had) == list(has):
            return dict(weights)
        raise CheckpointError(
            f"the network to begin with embeds every field by itself (network embedding) and reads {', '.join(had)}; "
            f"{key} must be the same, and is {', '.join(has)}"
        )
    contract = ObservationContract(tuple(had))
    columns = contract.split(torch.arange(contract.size).unsqueeze(0))
    source = torch.cat([columns[name].flatten() if name in had else _fresh(name) for name in has])
    unknown = source < 0
    unknown |= never_changed(weights["trunk.normalizer.var"], weights["trunk.normalizer.count"])[source]
    grown = dict(weights)
    for name, fresh in (FRESH | {"trunk.embed.weight": 0.0}).items():
        # older files have one count for all columns
        old = weights[name].expand(*weights[name].shape[:-1], contract.size)
        grown[name] = old[..., source].masked_fill(unknown.to(old.device), fresh)
    return grown


def _fresh(name: str) -> Tensor:
    return torch.full((FIELDS[name].size,), -1)
