"""How a process of the bridge is started, told to stop, and heard when it is ready.

``python -m hardware.<name> CONFIG.json [PARENT]``: the configuration is one JSON file, PARENT the id of the process
that starts this one and must not be survived, the line ``ready`` on standard output says that the process serves,
SIGTERM asks it to stop.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TypeVar

import msgspec

from robot.files import replacing

Config = TypeVar("Config")

READY = "ready"


class Lifetime:
    """Whether this process goes on: until SIGTERM or SIGINT, or until the parent that was named is gone."""

    def __init__(self) -> None:
        self._asked = False
        # told, not asked of the system: the parent may have died while this process imported its modules
        self._parent = int(sys.argv[2]) if len(sys.argv) == 3 else None
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    @property
    def over(self) -> bool:
        """True once the process has to end."""
        return self._asked or (self._parent is not None and os.getppid() != self._parent)


def load_config(kind: type[Config]) -> Config:
    """The configuration named on the command line.

    Raises:
        SystemExit: with one line that says what is wrong.
    """
    if len(sys.argv) not in (2, 3) or not all(map(str.isdecimal, sys.argv[2:])):
        raise SystemExit(f"usage: {Path(sys.argv[0]).name} CONFIG.json [PARENT]")
    try:
        return msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise SystemExit(f"{sys.argv[1]}: {error}") from error


def save_config(config: object, path: Path) -> Path:
    """Writes a configuration for ``load_config``, or a report for who waits for this process: all of it or nothing."""
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(config)))
    return path


def say_ready() -> None:
    """Tells the process that started this one that it serves."""
    print(READY, flush=True)
