"""Synchronous data parallelism: every rank simulates and learns, and all take the same steps (D18 §4.3, Rapid).

Ranks are the processes that ``torchrun`` starts, on one machine or many. They share nothing but what goes through here,
on ``torch.distributed``: gradients and statistics. In a process that ``torchrun`` did not start there is one rank, and
everything here costs nothing and changes nothing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # now: its functions keep whatever group there is when it is imported (see `group`)
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from policy.digest import digest
from policy.fresh_store import fresh_store

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others in one exchange; a simulation that is slower than the rest must fit in."""


class RanksDiffer(RuntimeError):
    """The ranks of a run, which must hold the same networks, do not."""


@contextmanager
def group() -> Iterator[None]:
    """Joins the other processes that ``torchrun`` has started, if it has, and leaves them at the end.

    The group's threads end with the last reference to it. Were one kept, they would outlive the interpreter, and a
    thread that then lets go of a tensor aborts the process (pytorch/pytorch#190489). ``torch.distributed.nn`` keeps
    one, as a default argument, if an optimizer's first step is what imports it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    shared, number, of = next(rendezvous("env://", timeout=PATIENCE))
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store = fresh_store(shared, number, of, PATIENCE)
    dist.init_process_group(backend, store=store, rank=number, world_size=of, timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # whoever left sooner would take down what the others still use
    finally:
        dist.destroy_process_group()


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


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is true on any rank."""
    return agree(0.0, flag)[1]


def barrier() -> None:
    """Waits until all ranks have come here."""
    if size() > 1:
        dist.barrier()


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
        barrier()
    yield
    if rank() == 0:
        barrier()


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
