"""Other simulators of a hand and a block, each in an environment of its own, driven side by side with ours."""

import subprocess
import sys
import venv
from pathlib import Path

from inhand import report

PEERS = ("gymnasium_robotics", "envpool")
SCRIPTS = Path(__file__).parent / "peers"
HOME = Path("outputs/peers")
"""Where their Python environments are made, once."""


class PeerError(OSError):
    """A peer could not be installed, or stopped."""


class Peer:
    """One peer, on ``threads`` threads or processes: ``benchmarks/peers/NAME.py``."""

    def __init__(self, name: str, threads: int) -> None:
        """Installs it first, if that was not done before.

        Raises:
            PeerError: if it cannot be installed or started.
        """
        self.name = name
        command = [_installed(name), "-P", SCRIPTS / f"{name}.py", str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.substep = self._answer()
        """Its sub-step [s]."""

    def run(self, seconds: float) -> float:
        """Runs for about so long and returns the seconds that it simulated per second.

        Raises:
            PeerError: if it has stopped.
        """
        assert self._process.stdin is not None
        try:
            print(seconds, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise PeerError(f"peer {self.name} has stopped") from None
        return self._answer()

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise PeerError(f"peer {self.name} has stopped with exit status {status}; peers=false leaves peers out")
        return float(line)


def _installed(name: str) -> Path:
    """The Python that has the peer's requirements, ``benchmarks/peers/NAME.txt``."""
    requirements, home = SCRIPTS / f"{name}.txt", (HOME / name).absolute()
    python, stamp = home / "bin" / "python", home / "installed.txt"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return python
    pinned = ", ".join(requirements.read_text().split())
    report.console().print(f"Installing {pinned} into {home} (once; this takes a minute or more)")
    venv.create(home, clear=True, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements]
    done = subprocess.run(pip, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise PeerError(f"peer {name} could not be installed ({pinned}); peers=false leaves peers out")
    stamp.write_text(requirements.read_text())
    return python
