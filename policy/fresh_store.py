"""How the ranks of one start find each other, where ranks of earlier starts have left their traces."""

import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed.distributed_c10d import PrefixStore, Store


def fresh_store(shared: Store, number: int, of: int, patience: timedelta) -> Store:
    """The part of ``shared`` that only the present start of the ranks writes to and reads from.

    ``torchrun`` keeps one store over all restarts, with the addresses of dead ranks in it, and a rank that reads one
    waits for ever (pytorch/pytorch#135712). Restart counts cannot tell starts apart: every machine has its own. So rank
    0 makes up a name for this start and answers every greeting with it until all ranks of this start, and not only ones
    that are dead by now, have taken it.

    Args:
        shared: the store that all ranks of all starts see.
        number: this rank, from 0.
        of: number of ranks.
        patience: how long rank 0 waits for the others.

    Raises:
        TimeoutError: on rank 0, if some rank does not come in time; on others, the store's own error.
    """
    own = uuid4().hex
    if number > 0:
        shared.set(f"inhand/hello/{number}", own)
        start = shared.get(f"inhand/welcome/{own}").decode()
        shared.add(f"inhand/taken/{start}", 1)
        return PrefixStore(f"inhand/{start}", shared)
    end = time.monotonic() + patience.total_seconds()
    while (taken := shared.add(f"inhand/taken/{own}", 0)) < of - 1:
        if time.monotonic() > end:
            raise TimeoutError(f"only {taken + 1} of {of} ranks have come within {patience}")
        for other in range(1, of):
            if shared.check([f"inhand/hello/{other}"]):
                shared.set(f"inhand/welcome/{shared.get(f'inhand/hello/{other}').decode()}", own)
        time.sleep(0.02)
    return PrefixStore(f"inhand/{own}", shared)
