"""Synchronous data parallelism: every rank simulates and learns, and all take the same steps (D18 §4.3, Rapid).

Ranks are the processes that ``torchrun`` starts, on one machine or many. They share nothing but what goes through here,
on ``torch.distributed``: gradients and statistics. In a process that ``torchrun`` did not start there is one rank, and
everything here costs nothing and changes nothing.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others in one exchange; a simulation that is slower than the rest must fit in."""


class RanksDiffer(RuntimeError):
    """The ranks of a run, which must hold the same networks, do not."""


@contextmanager
def group() -> Iterator[None]:
    """Joins the other processes that ``torchrun`` has started, if it has, and leaves them at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    shared, number, of = next(rendezvous("env://", timeout=PATIENCE))
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store = fresh_store(shared, number, of)
    dist.init_process_group(backend, store=store, rank=number, world_size=of, timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # whoever left sooner would take down what the others still use
    finally:
        dist.destroy_process_group()


def fresh_store(shared: Store, number: int, of: int, patience: timedelta = PATIENCE) -> Store:
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


def size() -> int:
    """Number of ranks."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which rank this process is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_size() -> int:
    """Number of ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if dist.is_initialized() else 1


def threads() -> int:
    """CPU threads for this rank: its share of the cores that may be used; 0, a library's own choice, if it is alone."""
    return max(1, len(os.sched_getaffinity(0)) // local_size()) if size() > 1 else 0


def restarted() -> bool:
    """Whether ``torchrun`` or SLURM has started this run again, after a rank or a machine was lost.

    All ranks get the same answer: where nothing was lost, ``torchrun`` counts no restart.
    """
    counts = [int(os.environ.get(f"{launcher}_RESTART_COUNT", "0")) for launcher in ("TORCHELASTIC", "SLURM")]
    return bool(total(torch.tensor(float(sum(counts)))) > 0)


def seed(of_run: int) -> int:
    """This rank's seed for what ranks must draw differently; rank 0 has that of the run."""
    return of_run if rank() == 0 else int(np.random.SeedSequence([of_run, rank()]).generate_state(1)[0])


def total(values: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if size() > 1:
        dist.all_reduce(values)
    return values


def mean(values: Tensor) -> Tensor:
    """The mean over all ranks, in place."""
    return total(values).div_(size()) if size() > 1 else values


def moments(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and variance (of the population) of the rows of ``values``, (m, k), of all ranks; float64."""
    values = values.double()
    var, average = torch.var_mean(values, dim=0, correction=0)
    count = torch.tensor(float(len(values)), dtype=torch.float64, device=values.device)
    if size() == 1:
        return count, average, var
    counts = total(count.clone())
    everywhere = total(average * count) / counts
    return counts, everywhere, total(count * (var + (average - everywhere).square())) / counts


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over all ranks, in one exchange."""
    if size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def agree(seconds: float, stop: bool) -> tuple[float, bool]:
    """Rank 0's clock, and whether any rank wants to stop: what all ranks decide alike from."""
    if size() == 1:
        return seconds, stop
    said = total(torch.tensor([seconds if rank() == 0 else 0.0, float(stop)], dtype=torch.float64))
    return float(said[0]), bool(said[1])


def from_main(value: Any) -> Any:
    """Rank 0's value, on every rank; none goes on before rank 0 has come here."""
    if size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def gather(part: Any) -> list[Any]:
    """The ranks' parts, in their order, on rank 0; on all others nothing."""
    if size() == 1:
        return [part]
    parts: list[Any] | None = [None] * size() if rank() == 0 else None
    dist.gather_object(to_cpu(part), parts)
    return parts or []


def to_cpu(content: Any) -> Any:
    """Nested mappings, sequences and plain values, with all tensors on the CPU: rank 0 need not have their device."""
    if isinstance(content, Tensor):
        return content.cpu()
    if isinstance(content, Mapping):
        return {key: to_cpu(value) for key, value in content.items()}
    return type(content)(map(to_cpu, content)) if isinstance(content, list | tuple) else content


@contextmanager
def main_first() -> Iterator[None]:
    """Lets rank 0 go through a block before all others."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and size() > 1:
        dist.barrier()


def require_equal(content: Mapping[str, Any]) -> None:
    """Compares nested tensors and numbers of all ranks by their hash.

    Raises:
        RanksDiffer: naming the ranks whose content is not rank 0's.
    """
    if size() == 1:
        return
    digests: list[str] = [""] * size()
    dist.all_gather_object(digests, digest(content))
    if others := [number for number, each in enumerate(digests) if each != digests[0]]:
        raise RanksDiffer(
            f"the networks of ranks {others} are no longer those of rank 0; ranks must run the same software on the "
            "same kind of processor; resume from the last checkpoint"
        )


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
