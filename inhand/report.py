"""Results: a table for people, JSON for programs."""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from robot.files import replacing

Row = Mapping[str, object]

WIDTH = 120
"""Columns of a table that goes to a file or a pipe; on a terminal it takes the terminal's width."""


def check_out(out: str | None, key: str = "out", suffix: str = "") -> None:
    """Makes sure, before any work is done, that a file can be written to ``out``; None is no file.

    Args:
        out: path of the file.
        key: key of the configuration that gave it.
        suffix: how its name must end.

    Raises:
        ValueError: if ``out`` ends otherwise, is a directory, or lies in none that can be written to.
    """
    if out is None:
        return
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"{key}={out} is a directory; a file name is needed")
    if not path.name.lower().endswith(suffix):
        raise ValueError(f"{key}={out}: the name of the file must end in {suffix}")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{key}={out}: {path.parent} is not a directory that can be written to")


def console() -> Console:
    """Where reports are printed."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, markup=False, highlight=False)


def show(title: str, rows: Sequence[Row]) -> None:
    """Prints rows that share their keys as a table; numbers stand to the right."""
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(rows[0] if rows else ()):
        numbers = all(isinstance(row[name], int | float) and not isinstance(row[name], bool) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console().print(table)


def write_json(out: str | os.PathLike[str], document: object) -> None:
    """Writes ``document``, plain data or dataclasses, to ``out``: the whole of it or, if that fails, nothing.

    Raises:
        ValueError: if it holds a NaN or an infinity, which JSON has no word for.
    """
    text = json.dumps(document, indent=2, allow_nan=False, default=_plain, ensure_ascii=False)
    with replacing(Path(out)) as file:
        file.write((text + "\n").encode())


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "tolist"):
        return value.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written as JSON")


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
