"""How well the control loop kept its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from hardware.clock import NS, Wakeup


@dataclass(frozen=True)
class SectionReport:
    """Time spent in one section of a tick [s]."""

    mean: float
    worst: float


@dataclass(frozen=True)
class LoopReport:
    """What the control loop did; times in seconds."""

    ticks: int = 0
    holds: int = 0
    """Ticks at which the hand was told to hold."""
    clamped: int = 0
    """Ticks at which the safety limiter changed a target."""
    missed: int = 0
    """Deadlines that were skipped."""
    period: float = 0.0
    """As planned."""
    period_p50: float = 0.0
    period_p99: float = 0.0
    period_max: float = 0.0
    late_p50: float = 0.0
    """Tick begins this long after its deadline."""
    late_p99: float = 0.0
    late_max: float = 0.0
    sections: dict[str, SectionReport] = field(default_factory=dict)
    successes: int = 0
    """Goals reached, all episodes together."""
    episodes: tuple[int, ...] = ()
    """Goals reached in each episode; the last one may have been cut."""
    stopped: str = ""
    """Why the loop ended."""

    def lines(self) -> str:
        """A table for people."""
        rows = [
            f"ticks {self.ticks}, missed {self.missed}, in hold {self.holds}, clamped {self.clamped}: {self.stopped}",
            f"period [ms]  planned {self.period * 1e3:.1f}  p50 {self.period_p50 * 1e3:.3f}  "
            f"p99 {self.period_p99 * 1e3:.3f}  max {self.period_max * 1e3:.3f}",
            f"late [ms]    p50 {self.late_p50 * 1e3:.3f}  p99 {self.late_p99 * 1e3:.3f}  max {self.late_max * 1e3:.3f}",
        ]
        rows += [
            f"{name:<12} mean {section.mean * 1e3:.3f} ms  worst {section.worst * 1e3:.3f} ms"
            for name, section in self.sections.items()
        ]
        return "\n".join(rows)


class Sections:
    """Stops the time of the named sections of one tick."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to section ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


class LoopStatistics:
    """Collects, tick by tick."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._started_ns: list[int] = []
        self._late: list[float] = []
        self._sections: dict[str, list[float]] = {}
        self._missed = self._holds = self._clamped = 0
        self._episodes: list[int] = []

    def episode(self) -> None:
        """A new episode begins."""
        self._episodes.append(0)

    def reached(self) -> None:
        """A goal was reached in the current episode."""
        self._episodes[-1] += 1

    def tick(self, wakeup: Wakeup, sections: dict[str, float], hold: bool, clamped: bool) -> None:
        """A tick has ended."""
        self._started_ns.append(wakeup.deadline_ns + wakeup.late_ns)
        self._late.append(wakeup.late_ns / NS)
        self._missed += wakeup.missed
        self._holds += hold
        self._clamped += clamped
        for name, seconds in sections.items():
            self._sections.setdefault(name, []).append(seconds)

    def report(self, stopped: str) -> LoopReport:
        """The report; ``stopped`` says why the loop ended."""
        periods = np.diff(np.array(self._started_ns, dtype=np.int64)) / NS
        late = np.array(self._late)
        return LoopReport(
            ticks=len(late),
            holds=self._holds,
            clamped=self._clamped,
            missed=self._missed,
            period=self._period,
            **_spread("period", periods),
            **_spread("late", late),
            sections={
                name: SectionReport(float(np.mean(values)), max(values)) for name, values in self._sections.items()
            },
            successes=sum(self._episodes),
            episodes=tuple(self._episodes),
            stopped=stopped,
        )


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    p50, p99 = np.percentile(values, [50, 99])
    return {f"{name}_p50": float(p50), f"{name}_p99": float(p99), f"{name}_max": float(values.max())}
