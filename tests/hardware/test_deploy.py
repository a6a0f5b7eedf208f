"""Deployment on the virtual rig with real processes, and the replay of its flight logs."""

import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from hardware import flightlog
from hardware.bus import Subscriber
from hardware.child import ProcessFailed
from hardware.deploy import DeployConfig, Deployment, DeployReport, deploy
from hardware.messages import ControlTick, HandState, JointCommand, MocapFrame, Truth
from hardware.replay import ReplayRefused, replay, trajectory
from hardware.rig_config import RigConfig
from hardware.safety import SafetyConfig
from robot import rotation
from robot.hand import actuator_pos


@pytest.fixture(scope="module")
def flight(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> DeployReport:
    """Five seconds on the virtual rig."""
    directory = tmp_path_factory.mktemp("flight")
    return deploy(DeployConfig(policy=str(policy), seed=3, directory=str(directory / "run"), seconds=5.0))


def test_a_deployment_runs_in_time_and_loses_nothing(flight: DeployReport) -> None:
    assert flight.status == 0, flight.failure
    loop, recorder = flight.loop, flight.recorder
    assert loop.stopped == "time is up"
    assert loop.ticks + loop.missed == pytest.approx(5.0 / 0.08, abs=2)
    assert loop.holds < loop.ticks
    assert loop.period_p50 == pytest.approx(0.08, abs=0.005)
    assert {"read", "measure", "policy", "safety", "command", "tell"} <= set(loop.sections)
    assert recorder.logged["tick"] == loop.ticks
    assert recorder.logged["command"] == loop.ticks + 1  # the last one orders to hold
    assert recorder.logged["hand"] > 100 * 5.0
    assert recorder.logged["mocap"] > 100 * 5.0
    assert recorder.logged["camera0"] > 20
    assert not any(recorder.dropped.values()) and not any(recorder.malformed.values())


def test_the_log_says_what_was_flown(flight: DeployReport, policy: Path) -> None:
    log = flightlog.read(Path(flight.log))
    assert log.complete
    assert {"contract", "policy", "configuration", "versions", "clock", "summary"} <= set(log.metadata)
    assert log.metadata["contract"]["contract.json"] == (policy / "contract.json").read_text()
    assert log.metadata["versions"]["torch"] == torch.__version__.split("+")[0] or log.metadata["versions"]["torch"]
    assert log.metadata["summary"]["logged tick"] == str(flight.loop.ticks)
    for received in log.messages():
        message = received.message
        assert message.capture_ns <= message.send_ns <= received.receive_ns


def test_images_are_pictures(flight: DeployReport) -> None:
    from hardware.drivers import decode_image

    shots = list(flightlog.read(Path(flight.log)).messages("camera1"))
    pixels = decode_image("camera1", shots[-1].image, 0).pixels
    assert pixels.shape == (200, 200, 3)
    assert pixels.std() > 5.0


def test_commands_obey_the_limits(flight: DeployReport) -> None:
    ticks = [r.message for r in flightlog.read(Path(flight.log)).messages("tick")]
    applied = {t.tick: t.decision.applied for t in ticks if isinstance(t, ControlTick) and t.decision}
    steps = [np.subtract(applied[k + 1], applied[k]) for k in applied if k + 1 in applied]
    assert len(steps) > 20
    config = SafetyConfig()
    assert np.abs(steps).max() <= 4.0 * config.speed * 0.08 + 1e-6


def test_the_measured_block_is_the_true_one(flight: DeployReport) -> None:
    log = flightlog.read(Path(flight.log))
    frames = {r.message.seq: r.message for r in log.messages("mocap")}
    truths = {r.message.capture_ns: r.message for r in log.messages("truth")}
    compared = 0
    for received in log.messages("tick"):
        tick = received.message
        assert isinstance(tick, ControlTick)
        if tick.decision is None or tick.used is None:
            continue
        frame = frames[tick.used.mocap]
        truth = truths[frame.capture_ns]
        assert isinstance(frame, MocapFrame) and isinstance(truth, Truth)
        if frame.block is None:
            continue
        error = np.subtract(tick.decision.object_pos, truth.block.pos)
        assert np.abs(error).max() < 0.005
        angle = rotation.distance(torch.tensor(tick.decision.object_quat), torch.tensor(truth.block.quat))
        assert float(angle) < 0.1
        compared += 1
    assert compared > 20


def test_replay_is_identical_to_the_bit(flight: DeployReport) -> None:
    report = replay(Path(flight.log))
    assert report.first_difference == ""
    assert report.ticks == report.identical == flight.loop.ticks
    assert report.skipped == 0 and report.complete


def test_replay_notices_a_change(flight: DeployReport, tmp_path: Path) -> None:
    """A log in which one joint angle that a tick used was changed in its last bit."""
    log = flightlog.read(Path(flight.log))
    ticks = [r.message for r in log.messages("tick")]
    victim = next(t for t in reversed(ticks) if isinstance(t, ControlTick) and t.decision and t.used)
    assert victim.used is not None
    forged = flightlog.FlightLogWriter(tmp_path / "forged.mcap", log.metadata)
    for received in log.messages("hand", "mocap", "tick"):
        message = received.message
        if isinstance(message, HandState) and message.seq == victim.used.hand:
            first = float(np.nextafter(np.float32(message.joint_pos[0]), np.float32(1)))
            message = msgspec.structs.replace(message, joint_pos=(first, *message.joint_pos[1:]))
        forged.add(replace(received, message=message))
    forged.finish({})
    report = replay(tmp_path / "forged.mcap")
    assert report.identical < report.ticks
    assert report.first_difference.startswith(f"tick {victim.tick}: observation")


def test_replay_refuses_another_policy(flight: DeployReport, policy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(policy, other)
    (other / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(ReplayRefused, match="is not the policy that was flown"):
        replay(Path(flight.log), other)


def test_the_trajectory_can_be_drawn(flight: DeployReport) -> None:
    path = trajectory(Path(flight.log))
    t = len(path.times)
    assert t > 30 and path.times[0] == 0.0
    gaps = np.diff(path.times)
    assert float(np.median(gaps)) == pytest.approx(0.04, abs=0.01) and float(gaps.min()) > 0.0
    assert path.joint_pos.shape == (t, 24) and path.object_pos.shape == (t, 3) and path.goal_quat.shape == (t, 4)


def test_a_killed_loop_leaves_a_hand_in_hold_and_a_readable_log(policy: Path, tmp_path: Path) -> None:
    rig = RigConfig(camera_rate=0.0)
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), seconds=60.0, rig=rig)
    with Deployment(config) as deployment:
        deployment.start()
        watcher = Subscriber([deployment.endpoints.hand], ["hand"])
        time.sleep(1.5)
        killed_ns = time.monotonic_ns()
        deployment.children["loop"].process.send_signal(signal.SIGKILL)
        assert "loop ended with status -9" in deployment.watch()
        deployment.stop()
        states = [r.message for r in watcher.drain()]
        assert deployment.children["recorder"].process.returncode == 0
    log = flightlog.read(deployment.log)
    assert log.complete
    commands = [r.message for r in log.messages("command")]
    last_command_ns = commands[-1].send_ns
    assert isinstance(commands[-1], JointCommand) and commands[-1].target is not None
    assert killed_ns - last_command_ns < 0.2e9
    holding = [s for s in states if isinstance(s, HandState) and s.capture_ns > last_command_ns and s.mode == "hold"]
    assert holding, "the hand did not hold"
    assert (holding[0].capture_ns - last_command_ns) / 1e9 < rig.watchdog + 0.1
    assert holding[-1].force == rig.hold_force
    measured = actuator_pos(torch.tensor(holding[0].joint_pos))
    assert (measured - torch.tensor(holding[0].target)).abs().max() < 0.1  # it holds the pose that it had
    report = replay(deployment.log)
    assert report.ticks == report.identical > 10


def test_a_silent_rig_makes_the_loop_hold_and_say_why(policy: Path, tmp_path: Path) -> None:
    rig = RigConfig(camera_rate=0.0)
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), seconds=60.0, rig=rig)
    with Deployment(config) as deployment:
        deployment.start()
        time.sleep(1.0)
        killed_ns = time.monotonic_ns()
        deployment.children["rig"].process.send_signal(signal.SIGKILL)
        assert "rig ended with status -9" in deployment.watch()
        time.sleep(0.5)
        deployment.stop()
        assert deployment.children["loop"].process.returncode == 0
    ticks = [r.message for r in flightlog.read(deployment.log).messages("tick")]
    silent = [t for t in ticks if isinstance(t, ControlTick) and t.capture_ns > killed_ns + 0.06e9]
    assert len(silent) >= 4
    assert all(t.mode == "hold" and t.reason.startswith("stream hand is 0.") for t in silent)
    commands = [r.message for r in flightlog.read(deployment.log).messages("command")]
    assert isinstance(commands[-1], JointCommand) and commands[-1].target is None


def test_a_failed_start_says_why_and_leaves_nothing_behind(policy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(policy, broken)
    (broken / "golden.npz").unlink()
    config = DeployConfig(policy=str(broken), directory=str(tmp_path / "run"), rig=RigConfig(camera_rate=0.0))
    with (
        pytest.raises(ProcessFailed, match=r"loop ended with status 1: (.|\n)*golden.npz is missing"),
        Deployment(config) as deployment,
    ):
        deployment.start()
    assert all(child.process.poll() is not None for child in deployment.children.values())
    with pytest.raises(FileExistsError, match="never overwritten"):
        Deployment(config)
