"""Many worlds at once, for statistics."""

import torch

from randomization.draws import Source

N = 4000
IDS = torch.arange(N)
PERIOD = 0.08


def source(seed: int = 0) -> Source:
    return Source(torch.Generator().manual_seed(seed))
