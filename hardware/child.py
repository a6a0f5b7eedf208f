"""Starting, hearing and stopping one process of the bridge."""

import os
import subprocess
import sys
import time
from pathlib import Path

from hardware.process import READY, save_config

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0

ROOT = str(Path(__file__).resolve().parents[1])
"""Where the packages lie; a child looks there first, and never in the directory in which it is started."""


class ProcessFailed(ChildProcessError):
    """A process of the bridge did not start, or ended when it should not."""


class Child:
    """One process of the bridge."""

    def __init__(self, name: str, config: object, directory: Path) -> None:
        self.name = name
        path = save_config(config, directory / f"{name}.config.json")
        self._errors = directory / f"{name}.log"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"hardware.{name}", str(path), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))},
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops its children in order
            )

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Returns when the process says that it is ready.

        Raises:
            ProcessFailed: if it ends or is silent for too long, with its last words.
        """
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        deadline = time.monotonic() + timeout
        heard = b""
        while READY.encode() not in heard:
            heard += self.process.stdout.read() or b""
            if self.process.poll() is not None:
                raise ProcessFailed(self.epitaph())
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} is not ready after {timeout} s: {self.last_words()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Asks the process to end, and insists after a while."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def epitaph(self) -> str:
        """How it ended, for a message."""
        return f"{self.name} ended with status {self.process.returncode}: {self.last_words()}"

    def last_words(self) -> str:
        """The end of its standard error."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]) or "(it said nothing)"
