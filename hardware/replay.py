"""Replay: the loop's decisions, computed again from the raw messages of a flight log and compared bit for bit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from hardware.bus import Received, StaleStream
from hardware.clock import NS
from hardware.controller import HOLD_REASONS, Controller, ControllerConfig
from hardware.drivers import Devices, Inputs, MaxAge, decode_image
from hardware.flightlog import FlightLog, read
from hardware.measurement import MeasurementConfig, MeasurementRefused, Measurer
from hardware.messages import EPISODE, CameraFrame, ControlTick, Decision, HandState, JointCommand, MocapFrame, Used
from hardware.pose_source import MocapPose
from policy import artefact
from robot.plant import SHADOW, PlantConfig
from vision.estimator import Image


class ReplayRefused(ValueError):
    """The log cannot be replayed with this policy."""


@dataclass(frozen=True)
class ReplayReport:
    """How today's decisions compare with those in the log."""

    ticks: int
    """Decisions that were compared."""
    identical: int
    """Decisions whose observation, action, target and all else are equal to the bit."""
    holds: int
    """Ticks at which the hand held, then and now; they are not among ``ticks``."""
    first_difference: str
    """The first tick and value that differ; empty if none does."""
    skipped: int
    """Ticks that could not be compared because ticks before them, or their messages, are missing in the log."""
    complete: bool
    """False if the recorder was killed: the log then ends up to a quarter of a second before the run did."""


class LoggedDevices:
    """The devices as the log has them: each gives the message that the tick in hand names."""

    def __init__(self, log: FlightLog, cameras: tuple[str, ...] = ()) -> None:
        """``cameras``: those of the pose source, in its order."""
        self._cameras = cameras
        self._tick: ControlTick | None = None
        # of the many messages of a flight only those are kept that a tick names
        self._messages: dict[tuple[str, int], list[Received]] = {
            named: [] for tick in _ticks(log) if tick.used is not None for named in self._names(tick.used)
        }
        for received in log.messages("hand", "mocap", *cameras):
            named = received.stream, received.message.seq
            if named in self._messages:
                self._messages[named].append(received)

    def _names(self, used: Used) -> Iterator[tuple[str, int]]:
        yield from (("hand", used.hand), ("mocap", used.mocap), *zip(self._cameras, used.cameras, strict=True))

    def seek(self, tick: ControlTick) -> None:
        """Goes to a tick."""
        self._tick = tick

    def state(self, max_age: float) -> HandState:
        """See ``HandDriver``."""
        return cast(HandState, self._find("hand").message)

    def frame(self, max_age: float) -> MocapFrame:
        """See ``MocapDriver``."""
        return cast(MocapFrame, self._find("mocap").message)

    def image(self, camera: str, max_age: float) -> tuple[CameraFrame, Image]:
        """See ``CameraDriver``."""
        received = self._find(camera)
        return cast(CameraFrame, received.message), decode_image(camera, received.image, received.message.capture_ns)

    def send(self, command: JointCommand) -> None:
        """See ``HandDriver``; a log takes no commands."""

    def _find(self, stream: str) -> Received:
        """The message of a stream that the tick in hand worked on."""
        if self._tick is None or self._tick.used is None:
            raise StaleStream("the tick used no messages")
        seq = dict(self._names(self._tick.used))[stream]
        # a producer that was restarted counts from 0 again: of those that the tick can have seen, the last
        seen = [each for each in self._messages[stream, seq] if each.message.send_ns <= self._tick.send_ns]
        if not seen:
            raise StaleStream(f"the log lacks message {seq} of stream {stream}")
        return seen[-1]


def replay(path: Path, policy: Path | None = None) -> ReplayReport:
    """Computes every tick of a log again, in lockstep, and compares.

    Args:
        path: the flight log.
        policy: directory of the policy, if it has moved since.

    Raises:
        ReplayRefused: if the log has no decision or configuration, or another policy was flown.
        ArtefactError: if the policy is damaged.
    """
    log = read(path)
    controller = Controller(_flown(log, policy))
    source = LoggedDevices(log, controller.source.cameras)
    devices = Devices(source, source, source)
    compared = identical = holds = skipped = 0
    first_difference = ""
    following, expected = False, 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the loop: the order of sums depends on the number of threads
    try:
        for tick in _ticks(log):
            following = (following and tick.tick == expected) or tick.start == EPISODE
            expected = tick.tick + 1
            if tick.used is None:  # it held without looking, which changes nothing
                holds += 1
                continue
            if not following:
                skipped += 1
                continue
            source.seek(tick)
            try:
                difference = _differs(tick, controller, devices)
            except StaleStream:  # its messages were lost on the way to the recorder
                skipped += 1
                following = False
                continue
            if tick.decision is None and not difference:
                holds += 1
                continue
            compared += 1
            identical += not difference
            if difference and not first_difference:
                first_difference = f"tick {tick.tick}: {difference}"
    finally:
        torch.set_num_threads(threads)
    if not compared:
        raise ReplayRefused(
            f"{path} has no decision to compare: the hand held at {holds} ticks, {skipped} more lack their messages"
        )
    return ReplayReport(compared, identical, holds, first_difference, skipped, log.complete)


def _flown(log: FlightLog, policy: Path | None) -> ControllerConfig:
    """The configuration the log was flown with."""
    try:
        config = msgspec.json.decode(log.metadata["configuration"]["deploy"], type=ControllerConfig)
        flown = log.metadata["policy"]["sha256"]
    except KeyError as error:
        raise ReplayRefused(
            f"{log.path} does not say what was flown: the metadata record {error} is missing"
        ) from error
    if policy is not None:
        config = replace(config, policy=str(policy))
    elif not Path(config.policy).is_dir():
        raise ReplayRefused(f"the policy flown is not at {config.policy} any more; say where: policy=DIRECTORY")
    found = artefact.load(Path(config.policy)).contract["sha256"][artefact.WEIGHTS]
    if found != flown:
        raise ReplayRefused(f"{config.policy} is not the policy that was flown: weights {found[:12]}, log {flown[:12]}")
    return config


def _differs(tick: ControlTick, controller: Controller, devices: Devices) -> str:
    """What differs between a tick and the same tick computed today; empty if nothing does."""
    inputs = Inputs.read(devices, controller.source.cameras, MaxAge())
    if tick.start:
        controller.start(tick.start, tick.episode)
    try:
        decision = controller.step(inputs.hand, inputs.frame, inputs.images)
    except HOLD_REASONS as error:
        return "" if str(error) == tick.reason else f"reason: {tick.reason!r} in the log, {str(error)!r} now"
    if tick.decision is None:
        return f"the log holds ({tick.reason}), today acts"
    for name in decision.__struct_fields__:
        logged, now = getattr(tick.decision, name), getattr(decision, name)
        if logged != now:
            return f"{name}: {logged} in the log, {now} now"
    return ""


def _ticks(log: FlightLog) -> Iterator[ControlTick]:
    for received in log.messages("tick"):
        yield cast(ControlTick, received.message)


class _Deployment(msgspec.Struct):
    """Of the configuration of a deployment, what a picture needs; defaults where the log does not say."""

    plant: PlantConfig = SHADOW
    measurement: MeasurementConfig = MeasurementConfig()


def _deployment(log: FlightLog) -> _Deployment:
    return msgspec.json.decode(log.metadata.get("configuration", {}).get("deploy", "{}"), type=_Deployment)


def flown_plant(path: Path) -> PlantConfig:
    """Whose hand the virtual rig had; our own where the log does not say, as of a rig that was not the deployment's."""
    return _deployment(read(path)).plant


@dataclass(frozen=True)
class Trajectory:
    """What an episode looked like, for rendering: t samples."""

    times: npt.NDArray[np.float64]
    """(t,) seconds since the first."""
    joint_pos: npt.NDArray[np.float64]
    """(t, 24) [rad]."""
    object_pos: npt.NDArray[np.float64]
    """(t, 3) in the base frame [m]."""
    object_quat: npt.NDArray[np.float64]
    """(t, 4) in the base frame, wxyz."""
    goal_quat: npt.NDArray[np.float64]
    """(t, 4) in the base frame, wxyz."""
    successes: npt.NDArray[np.int64]
    """(t,) goals reached so far in the episode."""


def trajectory(path: Path, rate: float = 25.0) -> Trajectory:
    """What the mocap system and the joint sensors saw, ``rate`` times per second.

    Raises:
        ReplayRefused: if the log shows no moment at which hand and block were seen and a goal was set.
    """
    samples: list[tuple[float, Sequence[float], Sequence[float], Sequence[float], Sequence[float], int]] = []
    log = read(path)
    measurer = Measurer(_deployment(log).measurement, MocapPose())
    hand: HandState | None = None
    decision: Decision | None = None
    next_ns = 0
    for received in log.messages("hand", "mocap", "tick"):
        message = received.message
        if isinstance(message, HandState):
            hand = message
        elif isinstance(message, ControlTick):
            decision = message.decision or decision
        elif isinstance(message, MocapFrame) and hand and decision and message.capture_ns >= next_ns:
            try:
                pose = measurer.measure(hand, message).object_pose.T_base_object
            except MeasurementRefused:
                continue
            place, turn = pose.pos.tolist(), pose.quat.tolist()
            seconds = message.capture_ns / NS
            samples.append((seconds, hand.joint_pos, place, turn, decision.goal_quat, decision.successes))
            # on a grid, so that the samples keep their rate whatever the rate of the frames
            step_ns = round(NS / rate)
            next_ns = (next_ns if next_ns > message.capture_ns - step_ns else message.capture_ns) + step_ns
    if not samples:
        raise ReplayRefused(f"{path} shows no moment at which hand and block were seen and a goal was set")
    times, *columns = (np.array(column) for column in zip(*samples, strict=True))
    return Trajectory(times - times[0], *columns)
