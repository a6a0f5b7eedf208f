"""The control loop on messages made here: what makes it hold, how it goes on, and that replay comes out the same."""

import time
from itertools import pairwise
from pathlib import Path
from typing import cast

import cv2
import msgspec
import numpy as np
import pytest
import torch

from hardware import flightlog
from hardware.bus import Endpoints, HandshakeTimeout, Publisher, Received, Subscriber
from hardware.clock import Wakeup, now_ns
from hardware.controller import Controller, ControllerConfig
from hardware.drivers import Devices, MaxAge
from hardware.flightlog import FlightLogWriter
from hardware.loop import ControlLoop, LoopConfig
from hardware.messages import (
    BLOCK_RESET,
    EPISODE,
    RESUME,
    CameraFrame,
    ControlTick,
    Event,
    HandState,
    JointCommand,
    Message,
    MocapFrame,
    Used,
)
from hardware.replay import LoggedDevices, ReplayRefused, ReplayReport, replay
from policy import artefact
from robot import rotation
from robot.frames import Pose
from robot.goal import DROP_DEPTH, GoalConfig
from robot.hand import actuator_pos, actuator_range, actuator_speed
from tests.hardware.world import HAND, World


def block(height: float, seed: int = 0) -> Pose:
    """A block so far above the base's origin (-y is up), somehow turned."""
    turned = rotation.random_uniform(1, torch.Generator().manual_seed(seed), torch.float64)[0]
    return Pose(torch.tensor([0.0, -height, 0.32], dtype=torch.float64), turned)


ON_HAND, FALLEN = block(0.05), block(-DROP_DEPTH - 0.01)


class Bench:
    """The ports of a rig whose block is put where a test wants it, a loop driving it, and a log of both."""

    def __init__(self, policy: Path, directory: Path, time_limit: float = 80.0) -> None:
        self.world = World(0)
        self.world.block = ON_HAND
        self.deaf = False
        self.captured_ns: int | None = None
        self.target = HAND.target
        self.seq = 0
        self._path = directory / "flight.mcap"
        config = ControllerConfig(policy=str(policy), goal=GoalConfig(time_limit=time_limit))
        loaded = artefact.load(policy)
        metadata = {
            "configuration": {"deploy": msgspec.json.encode(config).decode()},
            "policy": {"sha256": loaded.contract["sha256"][artefact.WEIGHTS]},
        }
        self._log = FlightLogWriter(self._path, metadata)
        endpoints = Endpoints.ipc(directory)
        self.events, out = Publisher(endpoints.hand, "rig"), Publisher(endpoints.control, "loop")
        self._ticks = Subscriber([endpoints.control], ["tick"])
        self.controller = Controller(config)
        max_age = MaxAge(hand=1.0, mocap=1.0, command=1.0)  # a busy machine may halt a test for a while
        loop = LoopConfig(endpoints, config, str(directory / "loop.json"), max_age=max_age, start_timeout=0.3)
        self.loop = ControlLoop(loop, self.controller, Devices(self, self, self), out)
        self.events.wait_for_subscribers(["event"], 2.0)
        out.wait_for_subscribers(["tick"], 2.0)
        self._obeyed_ns = now_ns()

    def state(self, max_age: float) -> HandState:
        state = msgspec.structs.replace(
            HAND, seq=self.seq, capture_ns=self._now(), obeyed_ns=self._obeyed_ns, target=self.target
        )
        return cast(HandState, self._add("hand", state))

    def frame(self, max_age: float) -> MocapFrame:
        frame = msgspec.structs.replace(self.world.frame(), seq=self.seq, capture_ns=self._now())
        return cast(MocapFrame, self._add("mocap", frame))

    def image(self, camera: str, max_age: float):
        raise AssertionError(f"a loop that takes the pose from mocap asked for an image of {camera}")

    def send(self, command: JointCommand) -> None:
        if not self.deaf:
            self._obeyed_ns = command.capture_ns
            self.target = command.target or self.target

    def tick(self) -> ControlTick:
        self.seq += 1
        self.loop.tick(Wakeup(now_ns(), 0, 0))
        received = self._ticks.next(1.0)
        assert received is not None and isinstance(received.message, ControlTick)
        self._log.add(received)
        return received.message

    def replay(self) -> ReplayReport:
        self._log.finish({})
        return replay(self._path)

    def _now(self) -> int:
        return self.captured_ns or now_ns()

    def _add(self, stream: str, message: Message) -> Message:
        sent = msgspec.structs.replace(message, send_ns=now_ns())
        self._log.add(Received(stream, sent, now_ns()))
        return sent


@pytest.fixture
def bench(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(policy, tmp_path_factory.mktemp("bench"))


def test_the_loop_itself_sees_that_the_block_has_dropped(bench: Bench) -> None:
    assert [bench.tick().start for _ in range(3)] == [EPISODE, "", ""]
    bench.world.block = FALLEN
    for _ in range(3):
        tick = bench.tick()
        assert (tick.mode, tick.reason) == ("hold", "the block has dropped")
    bench.world.block = block(0.05, seed=1)
    ticks = [bench.tick(), bench.tick()]
    assert [(tick.mode, tick.start, tick.episode) for tick in ticks] == [("active", EPISODE, 1), ("active", "", 1)]
    report = bench.replay()
    assert (report.ticks, report.identical, report.holds) == (5, 5, 3), report.first_difference


def test_what_was_seen_before_the_block_was_laid_back_does_not_count(bench: Bench) -> None:
    bench.tick()
    bench.captured_ns = now_ns()
    bench.events.send("event", Event(capture_ns=now_ns(), kind=BLOCK_RESET))
    time.sleep(0.05)
    before = bench.tick()
    assert before.mode == "hold" and "moved after the devices last saw it" in before.reason
    bench.captured_ns = None
    bench.world.block = block(0.05, seed=1)
    after = bench.tick()
    assert (after.mode, after.start, after.episode) == ("active", EPISODE, 1)
    assert after.decision is not None and not after.decision.reached
    report = bench.replay()
    assert (report.ticks, report.identical, report.holds) == (2, 2, 1), report.first_difference


def test_a_policy_that_answers_with_nan_makes_the_hand_hold(bench: Bench) -> None:
    bench.tick()
    weights = {name: value.clone() for name, value in bench.controller.runtime.actor.state_dict().items()}
    for value in bench.controller.runtime.actor.parameters():
        value.data.fill_(float("nan"))
    tick = bench.tick()
    assert tick.mode == "hold" and "not finite" in tick.reason
    bench.controller.runtime.actor.load_state_dict(weights)
    after = bench.tick()
    assert (after.mode, after.start) == ("active", RESUME)
    report = bench.replay()  # with sound weights, today's controller acts where that one held
    assert (report.ticks, report.identical, report.holds) == (3, 2, 0)
    assert report.first_difference.startswith("tick 1: the log holds")


def test_a_log_without_a_decision_is_no_success(bench: Bench) -> None:
    bench.world.block = FALLEN
    for _ in range(3):
        bench.tick()
    with pytest.raises(ReplayRefused, match="no decision to compare: the hand held at 3 ticks"):
        bench.replay()


def test_the_loop_does_not_start_on_a_hand_that_does_not_obey(bench: Bench) -> None:
    bench.loop.wait_for_devices()
    bench.deaf = True
    with pytest.raises(HandshakeTimeout, match=r"has carried out no command in 0\.3 s"):
        bench.loop.wait_for_devices()


def test_a_hand_that_ceases_to_obey_makes_the_loop_hold(bench: Bench) -> None:
    assert bench.tick().mode == "active"
    bench.deaf = True
    time.sleep(1.1)
    tick = bench.tick()
    assert tick.mode == "hold" and "the hand carries out no orders: its last is " in tick.reason
    bench.deaf = False
    assert bench.tick().mode == "hold"  # it is told to, and that it obeys
    after = bench.tick()
    assert (after.mode, after.start) == ("active", RESUME)
    report = bench.replay()
    assert (report.ticks, report.identical, report.holds) == (2, 2, 2), report.first_difference


def test_the_next_episode_goes_on_from_the_target_in_force(
    policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench = Bench(policy, tmp_path_factory.mktemp("bench"), time_limit=0.4)
    lower, upper = actuator_range()
    pressing = (actuator_pos(torch.tensor(HAND.joint_pos)) + 0.5).clamp(lower, upper)
    bench.target = tuple(pressing.tolist())
    ticks = [bench.tick() for _ in range(25)]
    assert sum(tick.start == EPISODE for tick in ticks) > 2
    targets = torch.stack((pressing, *(torch.tensor(tick.decision.applied) for tick in ticks if tick.decision)))
    steps = targets.diff(dim=0).abs()
    assert bool((steps <= 0.08 * actuator_speed() + 1e-6).all())
    assert bool((steps[0] <= 0.08**2 * actuator_speed() + 1e-6).all()), "rates grow over a second"


def test_a_target_in_force_that_cannot_be_makes_the_loop_hold(bench: Bench) -> None:
    bench.target = (6.0, *HAND.target[1:])
    tick = bench.tick()
    assert tick.mode == "hold" and "the hand's target in force is out of range: rh_A_" in tick.reason
    assert "6.00 rad, allowed: " in tick.reason
    bench.target = HAND.target
    assert bench.tick().mode == "active"
    report = bench.replay()
    assert (report.ticks, report.identical, report.holds) == (1, 1, 1), report.first_difference


def test_replay_tells_the_messages_of_a_restarted_producer_apart(bench: Bench) -> None:
    for _ in range(3):
        bench.tick()
    bench.seq = 0
    bench.world.block = block(0.05, seed=1)
    for _ in range(3):
        bench.tick()
    report = bench.replay()
    assert (report.ticks, report.identical, report.skipped) == (6, 6, 0), report.first_difference


def test_images_are_found_in_the_order_of_the_pose_source(tmp_path: Path) -> None:
    log = FlightLogWriter(tmp_path / "flight.mcap", {})
    for camera, seq, value in (("camera0", 9, 10), ("camera2", 4, 200)):
        _, encoded = cv2.imencode(".jpg", np.full((16, 16, 3), value, np.uint8))
        header = CameraFrame(capture_ns=0, seq=seq, width=16, height=16)
        log.add(Received(camera, header, 0, encoded.tobytes()))
    tick = ControlTick(capture_ns=0, tick=0, episode=0, mode="active", used=Used(0, 0, cameras=(4, 9)))
    log.add(Received("tick", tick, 0))
    log.finish({})
    devices = LoggedDevices(flightlog.read(tmp_path / "flight.mcap"), cameras=("camera2", "camera0"))
    devices.seek(tick)
    for camera, seq, value in (("camera0", 9, 10), ("camera2", 4, 200)):
        header, image = devices.image(camera, 1.0)
        assert header.seq == seq and abs(float(image.pixels.mean()) - value) < 2.0


def test_while_the_rates_grow_the_path_does_not_run_ahead(policy: Path, tmp_path_factory) -> None:
    bench = Bench(policy, tmp_path_factory.mktemp("bench"))
    lower, upper = actuator_range()
    bench.target = tuple((actuator_pos(torch.tensor(HAND.joint_pos)) + 0.5).clamp(lower, upper).tolist())
    decisions = [tick.decision for tick in (bench.tick() for _ in range(8)) if tick.decision]
    for before, after in pairwise(decisions):
        step = (torch.tensor(after.target) - torch.tensor(before.applied)).abs()
        assert bool((step <= 0.08 * actuator_speed() + 1e-6).all())
