"""What a person sees of a training run: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from policy.progress import ADR_ENTROPY, Row

LINE_PERIOD = 10.0
"""Seconds between two lines where there is no terminal."""


class TrainDisplay:
    """Shows the latest row of a run."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._printed = -LINE_PERIOD
        self._unprinted = ""

    def __enter__(self) -> "TrainDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._unprinted:
            self._print(self._unprinted)

    def show(self, row: Row, seconds_left: float) -> None:
        """Shows a row of the progress file and the estimated time left [s]."""
        cells = _cells(row, seconds_left)
        if self._live:
            table = Table(title="training", show_header=False)
            for name, text in cells:
                table.add_row(name, text)
            self._live.update(table, refresh=True)
            return
        self._unprinted = " | ".join(f"{name} {text}" for name, text in cells)
        if time.monotonic() - self._printed >= LINE_PERIOD:
            self._print(self._unprinted)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
        self._printed, self._unprinted = time.monotonic(), ""


def _learning(row: Row, number: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """What tells how well an algorithm learns, whichever it is."""
    if "greedy_successes" in row:
        return [
            ("without exploration", number("greedy_successes", ".2f")),
            ("critics' loss, value", f"{number('critic_loss', '.2f')}, {number('value', '.2f')}"),
        ]
    imitation = [("imitation loss", number("imitation_loss", ".2f"))] if "imitation_loss" in row else []
    return [
        *imitation,
        ("entropy, KL", f"{number('entropy', '.1f')}, {number('kl', '.4f')}"),
        ("explained variance", number("explained_variance", ".2f")),
    ]


def duration(seconds: float) -> str:
    """A time span for people: ``1:02:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}"


def _cells(row: Row, seconds_left: float) -> list[tuple[str, str]]:
    def number(name: str, form: str) -> str:
        value = row.get(name)
        return "-" if value is None else format(value, form)

    return [
        ("update", number("update", "d")),
        ("control steps", number("control_steps", ",d")),
        ("simulated", f"{number('simulated_hours', ',.1f')} h"),
        ("speed", f"{number('steps_per_second', ',.0f')} steps/s, {number('years_per_hour', '.4f')} years/h"),
        ("successes per episode", number("successes", ".2f")),
        ("reward per episode", number("episode_reward", ".1f")),
        ("steps per episode", number("episode_steps", ".0f")),
        *_learning(row, number),
        *([("ADR entropy", number(ADR_ENTROPY, ".3f"))] if ADR_ENTROPY in row else []),
        ("elapsed, left", f"{duration(row['elapsed'] or 0.0)}, {duration(seconds_left)}"),
    ]
