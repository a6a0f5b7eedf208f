"""The bridge clock and absolute deadlines.

Every stamp on the bridge is nanoseconds of CLOCK_MONOTONIC, which all processes of one machine share and which never
jumps; the flight log notes its offset to the wall clock.
"""

import time
from dataclasses import dataclass

NS = 1_000_000_000


def now_ns() -> int:
    """The bridge clock [ns]."""
    return time.monotonic_ns()


def wall_offset_ns() -> int:
    """What to add to the bridge clock to get nanoseconds since 1970."""
    return time.time_ns() - time.monotonic_ns()


def sleep_until(deadline_ns: int) -> None:
    """Returns at ``deadline_ns`` or, if that has passed, at once."""
    while (remaining := deadline_ns - now_ns()) > 0:
        time.sleep(remaining / NS)


@dataclass(frozen=True)
class Wakeup:
    """How one deadline was met."""

    deadline_ns: int
    late_ns: int
    """Time by which the caller woke up after the deadline."""
    missed: int
    """Deadlines that had passed altogether before this one; they are skipped, never caught up in a burst."""


class Pacer:
    """Wakes its caller at ``start + k * period``: a late cycle does not shift those after it."""

    def __init__(self, period: float) -> None:
        """``period`` is in seconds; the first deadline is now.

        Raises:
            ValueError: if the period is not positive.
        """
        if period <= 0.0:
            raise ValueError(f"a period is {period} s; it must be positive")
        self.period_ns = round(period * NS)
        self._deadline_ns = now_ns()

    def wait(self) -> Wakeup:
        """Sleeps until the next deadline that lies less than one period back."""
        missed = max(0, (now_ns() - self._deadline_ns) // self.period_ns)
        deadline = self._deadline_ns + missed * self.period_ns
        sleep_until(deadline)
        self._deadline_ns = deadline + self.period_ns
        return Wakeup(deadline, now_ns() - deadline, missed)
