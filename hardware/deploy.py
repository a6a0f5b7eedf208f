"""Deployment: starts the processes of the bridge in order, watches them, stops them in order, and reports."""

import platform
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import msgspec

from hardware.bus import Endpoints
from hardware.child import Child, ProcessFailed
from hardware.controller import Controller, ControllerConfig
from hardware.drivers import MaxAge
from hardware.loop import LoopConfig
from hardware.recorder import RecorderConfig, RecorderReport
from hardware.rig_config import RigConfig, RigProcess
from hardware.statistics import LoopReport
from policy import artefact
from policy.artefact import Artefact, git_hash
from robot.checks import check_numbers
from robot.hand import model_hash
from robot.plant import PlantConfig

Report = TypeVar("Report", LoopReport, RecorderReport)

VERSIONED = ("inhand", "torch", "mujoco", "numpy", "pyzmq", "msgspec", "mcap")
"""Packages whose versions go into the log."""

LISTENER_TIMEOUT = 30.0
"""Seconds that the virtual rig of a deployment waits for the recorder."""


@dataclass(frozen=True, kw_only=True)
class DeployConfig(ControllerConfig):
    """One deployment: the controller's configuration, and where and how long it runs.

    Raises:
        ValueError: if ``seconds`` is negative or not finite, or the virtual rig is configured beside an external one.
    """

    directory: str
    """Where the flight log and the reports go; it is created."""
    seconds: float = 20.0
    """How long the policy drives the hand; 0: until interrupted."""
    external: bool = False
    """A rig already serves at ``endpoints``; if not, the virtual rig is started."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    """Where an external rig serves."""
    rig: RigConfig = field(default_factory=RigConfig)
    """The virtual rig, unless the rig is external."""
    plant: PlantConfig = field(default_factory=PlantConfig)
    """The model of the virtual rig's hand: our own, or one that others wrote."""
    max_age: MaxAge = field(default_factory=MaxAge)
    """The oldest messages to act on."""

    def __post_init__(self) -> None:
        check_numbers("", self, "seconds", least=0.0)
        if self.external and self.rig != RigConfig():
            raise ValueError("external is true; settings of the virtual rig (rig.…) would have no effect")


@dataclass(frozen=True)
class DeployReport:
    """What came of a deployment."""

    log: str
    """Path of the flight log."""
    status: int
    """0 if all went well; else the exit status of the first process that failed, or 1 if one ended of itself."""
    failure: str
    """What failed; empty if nothing did."""
    loop: LoopReport
    """How the loop kept its time, and the goals it reached; zeros if it was killed."""
    recorder: RecorderReport
    """Messages logged and dropped, by stream; empty if the recorder was killed."""


class Deployment:
    """The processes of one run; a context manager that leaves none behind."""

    def __init__(self, config: DeployConfig) -> None:
        """Checks the configuration and creates the directory.

        Raises:
            ArtefactError: if the policy is missing, damaged or not for this hand.
            ValueError: if the policy reads what no rig can measure, or the configuration is wrong.
            VisionUnavailable: if ``pose=vision`` has no artefact.
            FileExistsError: if the directory holds a flight log already.
        """
        Controller(controller_config(config))  # refuses what the loop would, before there is a log
        self._policy = artefact.load(Path(config.policy))
        self.directory = Path(config.directory).resolve()
        self.log = self.directory / "flight.mcap"
        if self.log.exists():
            raise FileExistsError(f"{self.log} exists; a flight log is never overwritten")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._reports = {name: self.directory / f"{name}.json" for name in ("loop", "recorder")}
        for report in self._reports.values():
            report.unlink(missing_ok=True)  # an earlier flight's must not pass for this one's
        self._sockets = tempfile.TemporaryDirectory(prefix="inhand-")
        self.endpoints = config.endpoints if config.external else Endpoints.ipc(Path(self._sockets.name))
        self._config = replace(
            config,
            policy=str(Path(config.policy).resolve()),  # the log outlives this working directory
            directory=str(self.directory),
            endpoints=self.endpoints,
        )
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
            endpoints,
            str(self.log),
            str(self._reports["recorder"]),
            from_start=not config.external,
            metadata=run_metadata(config, self._policy),
        )
        loop = LoopConfig(
            endpoints, controller_config(config), str(self._reports["loop"]), config.seconds, max_age=config.max_age
        )
        self._launch("recorder", recorder)
        if not config.external:
            for name in rig_processes(config.rig):
                self._launch(name, RigProcess(endpoints, config.rig, LISTENER_TIMEOUT, config.plant))
        for child in self.children.values():
            child.wait_ready()
        self._launch("loop", loop)
        self.children["loop"].wait_ready()

    def _launch(self, name: str, config: object) -> None:
        self.children[name] = Child(name, config, self.directory)

    def watch(self) -> str:
        """Returns when the loop has ended or another process has failed; says what failed."""
        ended = first_ended(self.children.values())
        if ended.name == "loop" and not ended.process.returncode:
            return ""
        return ended.epitaph()

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

    def report(self, failure: str) -> DeployReport:
        """What came of it, once it is stopped; ``failure`` says what failed."""
        failed = [child for child in self.children.values() if child.process.returncode]
        if failed and not failure:  # while it was stopped: a recorder may find the disk full when it closes the log
            failure = failed[0].epitaph()
        return DeployReport(
            log=str(self.log),
            status=abs(failed[0].process.returncode) if failed else int(bool(failure)),
            failure=failure,
            loop=_load(self._reports["loop"], LoopReport) or LoopReport(stopped="without a report"),
            recorder=_load(self._reports["recorder"], RecorderReport) or RecorderReport({}, {}, {}),
        )


def first_ended(children: Iterable[Child]) -> Child:
    """Waits until one of them ends."""
    children = list(children)
    while True:
        for child in children:
            if child.process.poll() is not None:
                return child
        time.sleep(0.02)


def rig_processes(rig: RigConfig) -> tuple[str, ...]:
    """The processes of a virtual rig."""
    return ("rig", "rig_cameras") if rig.camera_rate else ("rig",)


def serve_rig(process: RigProcess) -> int:
    """Runs the virtual rig alone, cameras included, until interrupted; returns 0.

    Raises:
        ProcessFailed: if one of its processes does not start, or ends of itself.
    """
    with tempfile.TemporaryDirectory(prefix="inhand-") as directory:
        children = [Child(name, process, Path(directory)) for name in rig_processes(process.rig)]
        try:
            for child in children:
                child.wait_ready()
            ended = first_ended(children)
            raise ProcessFailed(ended.epitaph())
        except KeyboardInterrupt:
            return 0
        finally:
            for child in reversed(children):
                child.stop()


def deploy(config: DeployConfig) -> DeployReport:
    """Runs a policy on a rig for ``config.seconds`` and reports.

    Raises:
        ArtefactError: if the policy is missing, damaged or not for this hand; nothing is created then.
        FileExistsError: if the directory holds a flight log already.
        ProcessFailed: if a process does not start.
    """
    with Deployment(config) as deployment:
        deployment.start()
        try:
            failure = deployment.watch()
        except KeyboardInterrupt:
            failure = ""
        deployment.stop()
        return deployment.report(failure)


def _load(path: Path, kind: type[Report]) -> Report | None:
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def controller_config(config: DeployConfig) -> ControllerConfig:
    """The part of a deployment's configuration that decides."""
    return ControllerConfig(**{each.name: getattr(config, each.name) for each in fields(ControllerConfig)})


def run_metadata(config: DeployConfig, policy: Artefact) -> dict[str, dict[str, str]]:
    """What was running, for the head of the flight log."""
    flown = msgspec.to_builtins(config)
    if config.external:
        del flown["rig"], flown["plant"]  # what serves there is its own affair
    return {
        "contract": {"contract.json": (Path(config.policy) / artefact.CONTRACT).read_text()},
        "policy": {"directory": config.policy, "sha256": policy.contract["sha256"][artefact.WEIGHTS]},
        "configuration": {"deploy": msgspec.json.encode(flown).decode()},
        "hand": {"model_hash": model_hash()},
        "versions": {
            "git": git_hash(artefact.ROOT) or "unknown",
            "python": platform.python_version(),
            "system": platform.platform(),
            **_versions(VERSIONED),
        },
    }


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
