"""Deployment: starts the processes of the bridge in order, watches them, stops them in order, and reports."""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import msgspec

from hardware.bus import Endpoints
from hardware.controller import ControllerConfig
from hardware.drivers import MaxAge
from hardware.loop import LoopConfig
from hardware.process import READY, save_config
from hardware.recorder import RecorderConfig, RecorderReport
from hardware.rig_config import RigConfig, RigProcess
from hardware.statistics import LoopReport

Report = TypeVar("Report", LoopReport, RecorderReport)

VERSIONED = ("torch", "mujoco", "numpy", "pyzmq", "msgspec", "mcap")
"""Packages whose versions go into the log."""

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class ProcessFailed(RuntimeError):
    """A process of the bridge did not start, or ended when it should not."""


@dataclass(frozen=True)
class DeployConfig:
    """One deployment."""

    controller: ControllerConfig
    """What decides: policy, pose source, goals, limits."""
    directory: str
    """Where the flight log and the reports go; it is created."""
    seconds: float = 20.0
    """How long the policy drives the hand."""
    rig: RigConfig = field(default_factory=RigConfig)
    """The virtual rig."""
    external: Endpoints | None = None
    """Where an external rig serves; if given, no virtual rig is started."""
    max_age: MaxAge = field(default_factory=MaxAge)
    """The oldest messages to act on."""


@dataclass(frozen=True)
class DeployReport:
    """What came of a deployment."""

    log: str
    """Path of the flight log."""
    status: int
    """0 if all went well; else the exit status of the first process that failed."""
    failure: str
    """What failed; empty if nothing did."""
    loop: LoopReport
    """How the loop kept its time, and the goals it reached; zeros if it was killed."""
    recorder: RecorderReport
    """Messages logged and dropped, by stream; empty if the recorder was killed."""


class Child:
    """One process of the bridge."""

    def __init__(self, name: str, config: object, directory: Path) -> None:
        self.name = name
        path = save_config(config, directory / f"{name}.config.json")
        self._errors = directory / f"{name}.log"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"hardware.{name}", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=Path(__file__).parent.parent,
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
                raise ProcessFailed(f"{self.name} ended with status {self.process.returncode}: {self.last_words()}")
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

    def last_words(self) -> str:
        """The end of its standard error."""
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:]) or "(it said nothing)"


class Deployment:
    """The processes of one run; a context manager that leaves none behind."""

    def __init__(self, config: DeployConfig) -> None:
        """Creates the directory.

        Raises:
            FileExistsError: if it holds a flight log already.
        """
        self._config = config
        self.directory = Path(config.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "flight.mcap"
        if self.log.exists():
            raise FileExistsError(f"{self.log} exists; a flight log is never overwritten")
        self._sockets = tempfile.TemporaryDirectory(prefix="inhand-")
        own = Endpoints.ipc(Path(self._sockets.name))
        self.endpoints = own if config.external is None else config.external
        self.children: dict[str, Child] = {}

    def __enter__(self) -> "Deployment":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._sockets.cleanup()

    def start(self) -> None:
        """Starts everything; returns when the policy drives the hand.

        Raises:
            ProcessFailed: if a process does not get ready.
        """
        config, endpoints = self._config, self.endpoints
        recorder = RecorderConfig(
            endpoints, str(self.log), str(self.directory / "recorder.json"), metadata=run_metadata(config)
        )
        loop = LoopConfig(
            endpoints, config.controller, str(self.directory / "loop.json"), config.seconds, max_age=config.max_age
        )
        self._launch("recorder", recorder)
        if config.external is None:
            self._launch("rig", RigProcess(endpoints, config.rig))
            if config.rig.camera_rate:
                self._launch("rig_cameras", RigProcess(endpoints, config.rig))
        for child in self.children.values():
            child.wait_ready()
        self._launch("loop", loop)
        self.children["loop"].wait_ready()

    def _launch(self, name: str, config: object) -> None:
        self.children[name] = Child(name, config, self.directory)

    def watch(self) -> str:
        """Returns when the loop has ended or another process has failed; says what failed."""
        while True:
            for child in self.children.values():
                status = child.process.poll()
                if status is not None and (child.name != "loop" or status):
                    return f"{child.name} ended with status {status}: {child.last_words()}"
                if status == 0:
                    return ""
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops what still runs: the loop first, so that the hand is told to hold; the recorder last."""
        loop = self.children.get("loop")
        if loop is not None:
            loop.stop()
            if loop.process.returncode:
                time.sleep(2.0 * self._config.rig.watchdog)  # the log shall show that the hand went to hold
        for name in ("rig_cameras", "rig", "recorder"):
            if name in self.children:
                self.children[name].stop()


def deploy(config: DeployConfig) -> DeployReport:
    """Runs a policy on a rig for ``config.seconds`` and reports.

    Raises:
        ProcessFailed: if a process does not start.
        FileExistsError: if the directory holds a flight log already.
    """
    with Deployment(config) as deployment:
        deployment.start()
        try:
            failure = deployment.watch()
        except KeyboardInterrupt:
            failure = ""
        deployment.stop()
        statuses = [child.process.returncode for child in deployment.children.values()]
    return DeployReport(
        log=str(deployment.log),
        status=next((abs(status) for status in statuses if status), 0),
        failure=failure,
        loop=_load(deployment.directory / "loop.json", LoopReport) or LoopReport(stopped="killed"),
        recorder=_load(deployment.directory / "recorder.json", RecorderReport) or RecorderReport({}, {}, {}),
    )


def _load(path: Path, kind: type[Report]) -> Report | None:
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def run_metadata(config: DeployConfig) -> dict[str, dict[str, str]]:
    """What was running, for the head of the flight log."""
    policy = Path(config.controller.policy)
    return {
        "contract": {"contract.json": (policy / "contract.json").read_text()},
        "policy": {"directory": str(policy), "sha256": weights_hash(policy)},
        "configuration": {"deploy": msgspec.json.encode(config).decode()},
        "versions": {"python": platform.python_version(), "system": platform.platform()} | _versions(VERSIONED),
    }


def weights_hash(policy: Path) -> str:
    """Fingerprint of a policy artefact's weights.

    Raises:
        FileNotFoundError: if there are none.
    """
    return hashlib.sha256((policy / "weights.safetensors").read_bytes()).hexdigest()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
