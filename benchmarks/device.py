"""Time and memory of a device."""

import time
from collections.abc import Callable
from typing import Any

import torch

from sim.env import ReorientEnv
from sim.physics import Physics


class DeviceClock:
    """Adds up a device's time in a function: by CUDA events, which do not make the host wait, or by the wall clock."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self._spans: list[tuple[Any, Any]] = []

    def timed(self, function: Callable[..., None]) -> Callable[..., None]:
        """The function, timed."""

        def run(*arguments: Any) -> None:
            begin = self._now()
            function(*arguments)
            self._spans.append((begin, self._now()))

        return run

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def synchronize(self) -> None:
        """Waits until the device has done everything."""
        if self.cuda:
            torch.cuda.synchronize()

    def reset(self) -> None:
        """Forgets what was timed."""
        self._spans.clear()

    def seconds(self) -> float:
        """The time in the function since the last reset [s]; after ``synchronize``."""
        if self.cuda:
            return sum(begin.elapsed_time(end) for begin, end in self._spans) / 1000.0
        return sum(end - begin for begin, end in self._spans)


def facts(env: ReorientEnv) -> dict[str, float | str]:
    """What a figure of a GPU has to be read with."""
    cuda = env.device.type == "cuda"
    free, total = torch.cuda.mem_get_info(env.device) if cuda else (0, 0)
    return {
        "gpu": torch.cuda.get_device_name(env.device) if cuda else "none",
        "memory_gib": (total - free) / 2**30,
        **_room(env.physics),
    }


def _room(physics: Physics) -> dict[str, float]:
    capacity = getattr(physics, "capacity", None)
    return {} if capacity is None else {"contacts": capacity.contacts, "constraints": capacity.constraints}
