"""Other simulators and other learners, each in an environment of its own, driven side by side with ours."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from inhand import report

SCRIPTS = Path(__file__).parent / "peers"
HOME = Path("outputs/peers")
"""Where their Python environments are made, once."""

GRACE = 10.0
"""Seconds that a peer has to end by itself."""


class PeerError(OSError):
    """A peer could not be installed, or stopped."""


class Peer:
    """One peer: the ``Contestant`` of a script, in a process of its own."""

    def __init__(self, script: Path, python: Path, **arguments: Any) -> None:
        """Starts it under the interpreter ``python`` and waits until it is ready.

        Args:
            script: what defines the contestant.
            python: the interpreter.
            arguments: the contestant's, that JSON can hold.

        Raises:
            PeerError: if it cannot be started.
        """
        self.name = script.stem
        command = [python, "-P", SCRIPTS / "serve.py", script, json.dumps(arguments)]
        # in a session of its own, so that what it starts itself can be ended with it, and Ctrl-C is ours alone
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            self.facts: dict[str, float] = json.loads(self._answer())
            """What it tells of itself."""
        except BaseException:
            self._kill()
            raise

    def run(self, seconds: float) -> float:
        """Runs for about so long, one step at least, and returns how much it did per second: see ``serve.py``.

        Raises:
            PeerError: if it has stopped.
        """
        assert self._process.stdin is not None
        try:
            print(seconds, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise PeerError(f"peer {self.name} has stopped") from None
        return float(self._answer())

    def close(self) -> None:
        """Ends it, by force if it does not within ``GRACE``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=GRACE)
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise PeerError(f"peer {self.name} has stopped with exit status {status}; peers=false leaves peers out")
        return line


def start(name: str, **arguments: Any) -> Peer:
    """Starts the peer of that name, with its contestant's arguments, and installs it first if that was not done before.

    Raises:
        PeerError: if it cannot be installed or started.
    """
    script = SCRIPTS / f"{name}.py"
    return Peer(script, installed(script.with_suffix(".txt"), (HOME / name).absolute()), **arguments)


def installed(requirements: Path, home: Path) -> Path:
    """The Python of the environment ``home``, which is made anew unless it has these requirements.

    Raises:
        PeerError: if they cannot be installed.
    """
    python, stamp = home / "bin" / "python", home / "installed.txt"
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another benchmark may be about the same
        if python.exists() and stamp.exists() and stamp.read_text() == requirements.read_text():
            return python
        pinned = ", ".join(requirements.read_text().split())
        report.console().print(f"Installing {pinned} into {home} (once; this takes a minute or more)")
        venv.create(home, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "install", "--requirement", requirements], stdout=sys.stderr, check=False)
        if done.returncode != 0:
            raise PeerError(f"{pinned} could not be installed into {home}; peers=false leaves peers out")
        stamp.write_text(requirements.read_text())
    return python
