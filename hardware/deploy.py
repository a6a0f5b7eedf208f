"""Deployment: starts the processes of the bridge in order, watches them, stops them in order, and reports."""

import hashlib
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import msgspec

from hardware.bus import Endpoints
from hardware.child import Child
from hardware.controller import ControllerConfig
from hardware.drivers import MaxAge
from hardware.loop import LoopConfig
from hardware.recorder import RecorderConfig, RecorderReport
from hardware.rig_config import RigConfig, RigProcess
from hardware.statistics import LoopReport

Report = TypeVar("Report", LoopReport, RecorderReport)

VERSIONED = ("torch", "mujoco", "numpy", "pyzmq", "msgspec", "mcap")
"""Packages whose versions go into the log."""


@dataclass(frozen=True, kw_only=True)
class DeployConfig(ControllerConfig):
    """One deployment: the controller's configuration, and where and how long it runs."""

    directory: str
    """Where the flight log and the reports go; it is created."""
    seconds: float = 20.0
    """How long the policy drives the hand; 0: until interrupted."""
    external: bool = False
    """A rig already serves at ``endpoints``; if not, the virtual rig is started."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    """Where an external rig serves."""
    rig: RigConfig = field(default_factory=RigConfig)
    """The virtual rig."""
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


class Deployment:
    """The processes of one run; a context manager that leaves none behind."""

    def __init__(self, config: DeployConfig) -> None:
        """Creates the directory.

        Raises:
            FileExistsError: if it holds a flight log already.
        """
        self._config = config = replace(config, policy=str(Path(config.policy).resolve()))
        self.directory = Path(config.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "flight.mcap"
        if self.log.exists():
            raise FileExistsError(f"{self.log} exists; a flight log is never overwritten")
        self._sockets = tempfile.TemporaryDirectory(prefix="inhand-")
        self.endpoints = config.endpoints if config.external else Endpoints.ipc(Path(self._sockets.name))
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
            endpoints,
            controller_config(config),
            str(self.directory / "loop.json"),
            config.seconds,
            max_age=config.max_age,
        )
        self._launch("recorder", recorder)
        if not config.external:
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


def serve_rig(process: RigProcess) -> int:
    """Runs the virtual rig alone, cameras included, until interrupted; returns its exit status.

    Raises:
        ProcessFailed: if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="inhand-") as directory:
        names = ("rig", "rig_cameras") if process.rig.camera_rate else ("rig",)
        children = [Child(name, process, Path(directory)) for name in names]
        try:
            for child in children:
                child.wait_ready()
            return children[0].process.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            for child in reversed(children):
                child.stop()


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


def controller_config(config: DeployConfig) -> ControllerConfig:
    """The part of a deployment's configuration that decides."""
    return ControllerConfig(**{each.name: getattr(config, each.name) for each in fields(ControllerConfig)})


def run_metadata(config: DeployConfig) -> dict[str, dict[str, str]]:
    """What was running, for the head of the flight log."""
    policy = Path(config.policy)
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
