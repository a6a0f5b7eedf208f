"""The two contracts as Gymnasium spaces, and what lies in them: observations by field name, actions as arrays."""

from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from robot.action import ActionContract
from robot.observation import ObservationContract

Fields: TypeAlias = dict[str, Any]
"""Float32 arrays by field name, or ``{"policy": Fields, "critic": Fields}``."""


def fields_space(contract: ObservationContract) -> spaces.Dict:
    """The fields of a contract, in its order: flattened, they are the network's input."""
    boxes = [(field.name, spaces.Box(-np.inf, np.inf, field.shape, np.float32)) for field in contract.fields]
    return spaces.Dict(boxes)


def fields_of(contract: ObservationContract, vector: Tensor) -> Fields:
    """The fields (n, *shape) in observation vectors (n, size)."""
    return {name: value.numpy() for name, value in contract.split(vector).items()}


def of_world(fields: Fields, world: int) -> Fields:
    """A copy of the fields of one world."""
    return {
        name: of_world(value, world) if isinstance(value, dict) else value[world].copy()
        for name, value in fields.items()
    }


def action_space(contract: ActionContract) -> spaces.Box | spaces.MultiDiscrete:
    """Unit actions (20,), float32; for a contract with ``bins``, the class of each actuator."""
    if contract.bins:
        return spaces.MultiDiscrete([contract.bins] * contract.size)
    return spaces.Box(-1.0, 1.0, (contract.size,), np.float32)


def unit_action(contract: ActionContract, n: int, action: np.ndarray) -> Tensor:
    """The unit actions (n, 20) that ``action`` (n, 20) means in the contract's space; beyond ±1 is for the action path.

    Raises:
        ValueError: if it has another shape, is not finite, or is no class.
    """
    action = np.asarray(action)
    if action.shape != (n, contract.size):
        raise ValueError(f"actions have shape {action.shape}; allowed: ({n}, {contract.size})")
    if not contract.bins:
        finite = np.isfinite(action).all(axis=1)
        if not finite.all():
            raise ValueError(f"actions are not finite in worlds {np.flatnonzero(~finite)}")
        return torch.from_numpy(action.astype(np.float32))
    if not np.issubdtype(action.dtype, np.integer) or action.min() < 0 or action.max() >= contract.bins:
        raise ValueError(
            f"actions are {action.dtype} from {action.min()} to {action.max()}; allowed: whole numbers from 0 to "
            f"{contract.bins - 1}"
        )
    return contract.from_bins(torch.from_numpy(action.astype(np.int64)))
