"""The replay buffer against a plain list of everything that was ever written."""

import errno
import os
from pathlib import Path

import pytest
import torch

from policy.checkpoint import CheckpointError
from policy.replay import ENDED, Replay

N, CAPACITY, GUARD = 3, 10, 4
SIZES = {"measured": 5, "action": 2, "next_quat": 4}


def replay(directory: Path, capacity: int = CAPACITY, guard: int = GUARD, n: int = N) -> Replay:
    return Replay(directory, SIZES, capacity, guard, n)


def written(time: int, run: int = 0) -> dict[str, torch.Tensor]:
    """What a run writes at a time: other numbers at every time, in every world and column."""
    generator = torch.Generator().manual_seed(1000 * run + time)
    values = {name: torch.randn(N, size, generator=generator) for name, size in SIZES.items()}
    start = torch.randint(time + 1, (N,), generator=generator)
    return values | {"start": start, "end": torch.randint(len(ENDED), (N,), generator=generator)}


def write(buffer: Replay, times: range, run: int = 0) -> None:
    for time in times:
        step = written(time, run)
        buffer.add({name: step[name] for name in SIZES}, step["start"], step["end"])


def assert_holds(buffer: Replay, times: range, run: int = 0) -> None:
    """Every step of every world, read in any order."""
    pairs = torch.cartesian_prod(torch.tensor(times), torch.arange(N))
    time, world = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))].unbind(1)
    expected = [written(t, run) for t in time.tolist()]
    read = buffer.read(time, world)
    assert list(read) == list(SIZES)
    for name in SIZES:
        values = torch.stack([step[name][w] for step, w in zip(expected, world.tolist(), strict=True)])
        assert torch.equal(read[name], values.half().float())  # what half precision keeps, to the bit
        assert torch.equal(buffer.read_one(name, time, world), read[name])
    for name, ours in (("start", buffer.start(time, world)), ("end", buffer.end(time, world))):
        assert ours.tolist() == [int(step[name][w]) for step, w in zip(expected, world.tolist(), strict=True)]


@pytest.mark.parametrize("steps", [1, CAPACITY - 1, CAPACITY, CAPACITY + 1, 3 * CAPACITY + 7])
def test_the_latest_steps_are_read_as_they_were_written(tmp_path: Path, steps: int):
    buffer = replay(tmp_path)
    write(buffer, range(steps))
    assert buffer.time == steps
    assert_holds(buffer, range(max(0, steps - CAPACITY), steps))


def test_the_oldest_time_leaves_the_guard_out(tmp_path: Path):
    buffer, oldest = replay(tmp_path), []
    for time in range(2 * CAPACITY):
        write(buffer, range(time, time + 1))
        oldest.append(buffer.oldest)
    # of ten steps the latest six are read
    assert oldest == [0] * 6 + list(range(1, 15))


@pytest.mark.parametrize("saved", [3, 7, 12, 25])
def test_a_killed_run_finds_all_that_could_be_read_at_its_checkpoint(tmp_path: Path, saved: int):
    buffer = replay(tmp_path)
    write(buffer, range(saved))
    checkpoint, readable = buffer.state_dict(), range(buffer.oldest, saved)
    # as many steps as may lie between two checkpoints; then the process dies
    write(buffer, range(saved, saved + GUARD), run=1)
    del buffer
    again = replay(tmp_path)
    again.load_state_dict(checkpoint)
    assert (again.time, again.oldest) == (saved, readable.start)
    assert_holds(again, readable)
    write(again, range(saved, saved + 5))
    assert_holds(again, range(again.oldest, saved + 5))


def test_files_of_another_size_are_refused(tmp_path: Path):
    replay(tmp_path)
    for other in ({"capacity": 11}, {"n": 4}):
        with pytest.raises(ValueError, match=r"steps\.f16 has 660 bytes, a replay buffer of this run has"):
            replay(tmp_path, **other)
    assert (tmp_path / "steps.f16").stat().st_size == CAPACITY * N * 11 * 2


def test_a_disk_without_room_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ValueError, match=r"steps\.f16 of 0\.00 GB cannot be made: No space left on device"):
        replay(tmp_path)
    monkeypatch.undo()
    assert replay(tmp_path).time == 0


def test_a_run_that_begins_anew_counts_anew(tmp_path: Path):
    write(replay(tmp_path), range(3 * CAPACITY))
    buffer = replay(tmp_path)  # of another run, without a checkpoint, in the same directory
    write(buffer, range(CAPACITY + 2))
    again = replay(tmp_path)
    again.load_state_dict(buffer.state_dict())
    assert_holds(again, range(again.oldest, again.time))


@pytest.mark.parametrize("guard", [CAPACITY, CAPACITY + 1])
def test_a_guard_that_leaves_nothing_is_refused(tmp_path: Path, guard: int):
    with pytest.raises(ValueError, match=f"capacity is 10 control steps per world; more than {guard}"):
        replay(tmp_path / "none", guard=guard)
    assert not (tmp_path / "none").exists()


def test_a_run_does_not_go_on_without_the_steps_it_remembers(tmp_path: Path):
    buffer = replay(tmp_path / "first")
    write(buffer, range(5))
    for _ in range(2):  # the first attempt leaves empty files
        with pytest.raises(CheckpointError, match="remembers 5 control steps"):
            replay(tmp_path / "lost").load_state_dict(buffer.state_dict())
    # a run that remembers nothing yet needs no files
    replay(tmp_path / "new").load_state_dict(replay(tmp_path / "other").state_dict())


def test_a_run_does_not_go_on_from_steps_that_were_overwritten(tmp_path: Path):
    buffer = replay(tmp_path)
    write(buffer, range(CAPACITY))
    checkpoint = buffer.state_dict()
    write(buffer, range(CAPACITY, CAPACITY + GUARD + 1))
    with pytest.raises(CheckpointError, match=r"has overwritten what the checkpoint remembers"):
        replay(tmp_path).load_state_dict(checkpoint)
