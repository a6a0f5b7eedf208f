"""The record of a training run: ``progress.jsonl``, one line per update, and the same numbers for TensorBoard."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import msgspec
from torch.utils.tensorboard import SummaryWriter

from robot.files import replacing

Row = dict[str, float | int | None]

FILE = "progress.jsonl"
POINTS = 500
"""Rows that a picture, or the record of a shipped policy, needs at most."""
ADR_ENTROPY = "adr/entropy"
"""In the rows of runs with automatic domain randomization [nats per dimension]."""
HOURS_PER_YEAR = 8766.0
"""Of simulated time; Julian."""


def read_progress(run_dir: Path) -> list[Row]:
    """The rows of a run, oldest first; a last line cut short by a crash is left out.

    Raises:
        FileNotFoundError: if there is no progress file.
    """
    lines = (run_dir / FILE).read_bytes().split(b"\n")
    # every complete line ends with a newline, so what follows the last one is incomplete
    return [msgspec.json.decode(line, type=Row) for line in lines[:-1]]


def thin(rows: Sequence[Row], points: int = POINTS) -> list[Row]:
    """At most ``points`` (2 or more) of the rows, evenly spread; the first and the last always are among them."""
    if len(rows) <= points:
        return list(rows)
    return [rows[round(index * (len(rows) - 1) / (points - 1))] for index in range(points)]


def write_progress(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows into a file, one per line; the file appears, or is replaced, when it is whole."""
    with replacing(path) as file:
        file.writelines(msgspec.json.encode(row) + b"\n" for row in rows)


class ProgressWriter:
    """Appends rows; of a resumed run, drops those that lie after the checkpoint first."""

    def __init__(self, run_dir: Path, update: int) -> None:
        """``update``: the update the run goes on from, 0 for a new run."""
        path = run_dir / FILE
        rows = [row for row in read_progress(run_dir) if int(row["update"] or 0) <= update] if path.exists() else []
        write_progress(path, rows)
        purge = int(rows[-1]["control_steps"] or 0) + 1 if rows else 0
        self._file = path.open("ab")
        self._board = SummaryWriter(run_dir / "tensorboard", purge_step=purge)

    def __enter__(self) -> "ProgressWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._board.close()

    def write(self, row: Row) -> None:
        """Adds a row; it has ``update`` and ``control_steps``, the x axis of TensorBoard.

        In TensorBoard, a name without a group of its own stands in the group ``train``.
        """
        self._file.write(msgspec.json.encode(row) + b"\n")
        self._file.flush()
        for name, value in row.items():
            if value is not None and name not in ("update", "control_steps"):
                self._board.add_scalar(name if "/" in name else f"train/{name}", value, row["control_steps"])
