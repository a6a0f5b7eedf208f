"""What else a machine does while something is measured on it."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)
_STEAL = 7


@dataclass(frozen=True)
class Load:
    """Totals since the machine started, in seconds of all its processors together."""

    total: float
    idle: float
    stolen: float
    """Taken by other guests of the same host."""
    ours: float
    """Used by this process and by those that it started and that have ended."""

    @classmethod
    def now(cls) -> "Load":
        """The totals up to now, from Linux's ``/proc/stat``."""
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(
            total=sum(ticks) / _TICKS,
            idle=sum(ticks[i] for i in _IDLE) / _TICKS,
            stolen=ticks[_STEAL] / _TICKS,
            ours=sum(each.ru_utime + each.ru_stime for each in usage),
        )

    def figures(self) -> dict[str, float]:
        """Shares of the machine's processors that others used since then, and its load average."""
        now = Load.now()
        total = max(now.total - self.total, 1.0 / _TICKS)
        stolen = now.stolen - self.stolen
        busy = total - (now.idle - self.idle) - stolen
        return {
            "machine_load_average": os.getloadavg()[0],
            "machine_stolen_share": stolen / total,
            "machine_others_share": max(busy - (now.ours - self.ours), 0.0) / total,
        }
