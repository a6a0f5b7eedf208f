"""Whether nested content is the same, bit for bit."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def digest(content: Any) -> str:
    """A hash of nested mappings, sequences, tensors and plain values, equal only where all of it is, bit for bit."""
    hashed = hashlib.sha256()

    def feed(value: Any) -> None:
        if isinstance(value, Mapping):
            for key in sorted(value, key=str):
                hashed.update(f"{key}:".encode())
                feed(value[key])
        elif isinstance(value, list | tuple):
            hashed.update(f"{len(value)}[".encode())
            for item in value:
                feed(item)
        elif isinstance(value, Tensor):
            hashed.update(f"{value.dtype}{tuple(value.shape)}".encode())
            hashed.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            hashed.update(repr(value).encode())

    feed(content)
    return hashed.hexdigest()
