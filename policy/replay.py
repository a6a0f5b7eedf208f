"""The replay buffer of off-policy learning: the latest control steps of n worlds, in half precision, on disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policy.checkpoint import CheckpointError

ENDED = ("running", "terminated", "truncated")
"""What a step's ``end`` says: the episode went on after it, ended for good, or was cut."""

TERMINATED, TRUNCATED = ENDED.index("terminated"), ENDED.index("truncated")


class Replay:
    """A ring of ``capacity`` control steps of each of n worlds, addressed by their time since the run began.

    It lies in files that are mapped into memory, so that a checkpoint need not hold it: what was written survives the
    process. A run that goes on from a checkpoint writes the steps after it again, and finds everything older as it was;
    for that the oldest ``guard`` steps, which would be overwritten before the next checkpoint, are never read.
    """

    def __init__(self, directory: Path, sizes: Mapping[str, int], capacity: int, guard: int, n: int) -> None:
        """Opens the files in ``directory``, or makes them.

        Args:
            directory: where.
            sizes: how many scalars each quantity has.
            capacity: control steps per world.
            guard: most steps between two checkpoints.
            n: worlds.

        Raises:
            ValueError: if nothing is left beside the guard, the disk has no room, or the files are of another size.
        """
        if guard >= capacity:
            raise ValueError(f"replay capacity is {capacity} control steps per world; more than {guard} are needed")
        self.capacity, self.guard, self.n = capacity, guard, n
        self.time = 0
        """Control steps written, of each world."""
        self._columns: dict[str, slice] = {}
        width = 0
        for name, size in sizes.items():
            self._columns[name] = slice(width, width + size)
            width += size
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._files = (
            _mapped(directory / "steps.f16", np.float16, (capacity * n, width)),
            _mapped(directory / "start.i32", np.int32, (capacity * n,)),
            _mapped(directory / "end.u8", np.uint8, (capacity * n,)),
            _mapped(directory / "written.i64", np.int64, (1,)),
        )
        self._rows, self._start, self._end, self._written = map(torch.from_numpy, self._files)
        """Control steps ever written, by this process or one that was killed after its last checkpoint."""

    def add(self, values: Mapping[str, Tensor], start: Tensor, end: Tensor) -> None:
        """Writes one control step of every world.

        Args:
            values: every quantity, (n, size).
            start: the time at which each world's episode began, (n,).
            end: index into ``ENDED``, (n,).
        """
        if self.time == 0:
            self._written.zero_()  # what lay there is another run's
        first = self.time % self.capacity * self.n
        rows = slice(first, first + self.n)
        for name, columns in self._columns.items():
            self._rows[rows, columns] = values[name].flatten(1)
        self._start[rows] = start
        self._end[rows] = end
        self.time += 1
        self._written.clamp_(min=self.time)

    @property
    def oldest(self) -> int:
        """The earliest time that may be read."""
        return max(0, self.time - self.capacity + self.guard)

    def read(self, time: Tensor, world: Tensor) -> dict[str, Tensor]:
        """Every quantity at times (m,) of worlds (m,); (m, size) float32 each."""
        rows = self._rows[self._index(time, world)].float()
        return {name: rows[:, columns] for name, columns in self._columns.items()}

    def read_one(self, name: str, time: Tensor, world: Tensor) -> Tensor:
        """One quantity, (m, size) float32."""
        return self._rows[self._index(time, world), self._columns[name]].float()

    def start(self, time: Tensor, world: Tensor) -> Tensor:
        """When the episodes began to which steps (m,) belong, (m,)."""
        return self._start[self._index(time, world)]

    def end(self, time: Tensor, world: Tensor) -> Tensor:
        """How steps (m,) ended, (m,), indices into ``ENDED``."""
        return self._end[self._index(time, world)]

    def _index(self, time: Tensor, world: Tensor) -> Tensor:
        return time % self.capacity * self.n + world

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds; the steps themselves are on disk, and stay there when the power fails."""
        for file in self._files:  # the count of what was written last
            file.flush()
        return {"time": self.time, "capacity": self.capacity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from where ``state_dict`` was taken.

        Raises:
            CheckpointError: if the files do not hold the steps: they were lost and made anew, or overwritten by a run
                that went on for longer than the guard.
        """
        time, written = state["time"], int(self._written)
        if written < time:
            raise CheckpointError(
                f"the checkpoint remembers {time} control steps of every world, but {self._directory} does not hold "
                "them; bring back the files that lay there"
            )
        if written > self.capacity and written - time > self.guard:
            raise CheckpointError(
                f"the checkpoint is of control step {time} of every world, but the run went on to {written}, and has "
                f"overwritten what the checkpoint remembers (teacher.guard, {self.guard} of every world)"
            )
        self.time = time


def _mapped(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if path.exists() and path.stat().st_size != size:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, a replay buffer of this run has {size}")
    if not path.exists():
        # all of it at once: where a disk gets full later, a mapped file is a bus error
        with path.open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                path.unlink()
                raise ValueError(f"{path} of {size / 1e9:.2f} GB cannot be made: {error.strerror}") from error
    return np.memmap(path, dtype, "r+", shape=shape)
