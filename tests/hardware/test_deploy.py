"""Deployment on the virtual rig with real processes, and the replay of its flight logs."""

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from hardware import flightlog
from hardware.bus import Endpoints, Subscriber
from hardware.child import ROOT, ProcessFailed
from hardware.deploy import DeployConfig, Deployment, DeployReport, deploy, run_metadata
from hardware.messages import ControlTick, HandState, JointCommand, MocapFrame, Truth
from hardware.process import READY, save_config
from hardware.replay import ReplayRefused, flown_plant, replay, trajectory
from hardware.rig_config import RigConfig, RigProcess
from inhand.config import load
from inhand.rig import RigJob
from policy import artefact
from policy.artefact import ArtefactError
from policy.network import Actor, NetworkConfig
from robot import rotation
from robot.action import ActionContract
from robot.hand import ACTUATORS, actuator_pos, model_hash
from robot.observation import ObservationContract
from robot.plant import SHADOW
from vision.estimator import VisionUnavailable

BLIND = RigConfig(camera_rate=0.0)


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
    assert recorder.logged["command"] >= loop.ticks + 2  # the first and the last order to hold
    assert recorder.logged["hand"] > 100 * 5.0
    assert recorder.logged["mocap"] > 100 * 5.0
    assert recorder.logged["camera0"] > 20
    assert not any(recorder.dropped.values()) and not any(recorder.malformed.values())


def test_the_log_says_what_was_flown(flight: DeployReport, policy: Path) -> None:
    log = flightlog.read(Path(flight.log))
    assert log.complete
    assert {"contract", "policy", "configuration", "hand", "versions", "clock", "summary"} <= set(log.metadata)
    assert log.metadata["contract"]["contract.json"] == (policy / "contract.json").read_text()
    versions = log.metadata["versions"]
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"inhand", "git"} <= set(versions)
    assert log.metadata["hand"]["model_hash"] == model_hash()
    assert '"block_mass"' in log.metadata["configuration"]["deploy"]
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
    steps = np.array([np.subtract(applied[k + 1], applied[k]) for k in applied if k + 1 in applied])
    assert len(steps) > 20
    # Shadow's URDF: 2 rad/s for fingers and wrist, 4 for the thumb; a pair is the sum of two joints
    fastest = np.array([4.0 if "TH" in each.name or "J0" in each.name else 2.0 for each in ACTUATORS])
    assert (np.abs(steps).max(axis=0) <= 0.08 * fastest + 1e-6).all()
    ranges = np.array([(each.lower, each.upper) for each in ACTUATORS])
    last = np.array(applied[max(applied)])
    assert (last >= ranges[:, 0] - 1e-6).all() and (last <= ranges[:, 1] + 1e-6).all()


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
    assert report.ticks == report.identical == flight.loop.ticks - flight.loop.holds > 10
    assert report.holds == flight.loop.holds
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
    flown = artefact.load(policy)
    network = NetworkConfig(**flown.contract["network"])
    observation, action = flown.policy_contract, flown.action_contract
    actor = Actor(observation.size, action.size, action.bins, network, torch.Generator().manual_seed(1))
    artefact.save(tmp_path / "other", actor, observation, action, network, {})
    with pytest.raises(ReplayRefused, match="is not the policy that was flown"):
        replay(Path(flight.log), tmp_path / "other")


def test_replay_asks_where_a_policy_went(flight: DeployReport, policy: Path, tmp_path: Path) -> None:
    log = flightlog.read(Path(flight.log))
    configuration = log.metadata["configuration"]["deploy"].replace(str(policy), str(tmp_path / "gone"))
    moved = flightlog.FlightLogWriter(
        tmp_path / "moved.mcap", log.metadata | {"configuration": {"deploy": configuration}}
    )
    for received in log.messages("hand", "mocap", "tick"):
        moved.add(received)
    moved.finish({})
    with pytest.raises(ReplayRefused, match=r"not at .*gone any more; say where: policy=DIRECTORY"):
        replay(tmp_path / "moved.mcap")
    assert replay(tmp_path / "moved.mcap", policy).first_difference == ""


def test_the_trajectory_can_be_drawn(flight: DeployReport) -> None:
    path = trajectory(Path(flight.log))
    t = len(path.times)
    assert t > 30 and path.times[0] == 0.0
    gaps = np.diff(path.times)
    assert float(np.median(gaps)) == pytest.approx(0.04, abs=0.01) and float(gaps.min()) > 0.0
    assert path.joint_pos.shape == (t, 24) and path.object_pos.shape == (t, 3) and path.goal_quat.shape == (t, 4)


def test_a_flight_is_drawn_with_the_hand_that_flew(flight: DeployReport, policy: Path, tmp_path: Path) -> None:
    foreign = load("rig", RigJob, ["plant=gymnasium_robotics"]).plant
    for name, external, expected in (("rig", False, foreign), ("external", True, SHADOW)):
        config = DeployConfig(policy=str(policy), directory="", plant=foreign, external=external)
        path = tmp_path / f"{name}.mcap"
        flightlog.FlightLogWriter(path, run_metadata(config, artefact.load(policy))).finish({})
        assert flown_plant(path) == expected
    assert flown_plant(Path(flight.log)) == SHADOW


def test_a_killed_loop_leaves_a_hand_in_hold_and_a_readable_log(policy: Path, tmp_path: Path) -> None:
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), seconds=60.0, rig=BLIND)
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
    assert (holding[0].capture_ns - last_command_ns) / 1e9 < BLIND.watchdog + 0.1
    assert holding[-1].force == BLIND.hold_force
    measured = actuator_pos(torch.tensor(holding[0].joint_pos))
    assert (measured - torch.tensor(holding[0].target)).abs().max() < 0.1  # it holds the pose that it had
    report = replay(deployment.log)
    assert report.ticks == report.identical > 10


def test_a_silent_rig_makes_the_loop_hold_and_say_why(policy: Path, tmp_path: Path) -> None:
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), seconds=60.0, rig=BLIND)
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


def test_a_rig_that_ends_of_itself_is_a_failure(policy: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "loop.json").write_text('{"ticks": 1000000}')  # of an earlier flight
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), seconds=60.0, rig=BLIND)
    with Deployment(config) as deployment:
        assert not (tmp_path / "run" / "loop.json").exists()
        deployment.start()
        deployment.children["rig"].process.terminate()
        failure = deployment.watch()
        deployment.stop()
        report = deployment.report(failure)
    assert "rig ended with status 0" in report.failure
    assert report.status != 0
    assert report.loop.ticks < 1000


def test_a_missing_policy_is_refused_before_anything_is_created(policy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(policy, broken)
    (broken / "golden.npz").unlink()
    for directory in (broken, tmp_path / "nothing"):
        with pytest.raises(ArtefactError, match=r"golden\.npz is missing|nothing: no such directory"):
            deploy(DeployConfig(policy=str(directory), directory=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_what_the_loop_would_refuse_is_refused_before_anything_is_created(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(VisionUnavailable, match="Use pose=mocap"):
        deploy(DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), pose="vision"))
    clean = tmp_path / "clean"
    observation, action, network = ObservationContract(("object_linvel",)), ActionContract(), NetworkConfig()
    actor = Actor(observation.size, action.size, action.bins, network, torch.Generator().manual_seed(0))
    artefact.save(clean, actor, observation, action, network, {})
    with pytest.raises(ValueError, match="the policy reads object_linvel; a rig measures only"):
        deploy(DeployConfig(policy=str(clean), directory=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_failed_start_says_why_and_leaves_nothing_behind(policy: Path, tmp_path: Path) -> None:
    plant = replace(load("rig", RigJob, ["plant=gymnasium_robotics"]).plant, file="no-such-hand.xml")
    config = DeployConfig(policy=str(policy), directory=str(tmp_path / "run"), rig=BLIND, plant=plant)
    with (
        pytest.raises(ProcessFailed, match=r"rig ended with status 1: (.|\n)*no-such-hand"),
        Deployment(config) as deployment,
    ):
        deployment.start()
    assert all(child.process.poll() is not None for child in deployment.children.values())
    with pytest.raises(FileExistsError, match="never overwritten"):
        Deployment(config)


def test_settings_of_the_virtual_rig_beside_an_external_one_are_refused() -> None:
    with pytest.raises(ValueError, match="would have no effect"):
        DeployConfig(policy="policy", directory="flight", external=True, rig=RigConfig(friction=0.7))


@pytest.mark.parametrize("seconds", [-5.0, math.nan, math.inf])
def test_impossible_times_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"seconds is .*; allowed: 0 or more"):
        DeployConfig(policy="", directory="", seconds=seconds)


@pytest.mark.slow
def test_deployments_side_by_side_amid_foreign_packages(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("robot", "sim", "hardware"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a package of the user')")
    monkeypatch.chdir(tmp_path)
    relative = os.path.relpath(policy)
    configs = [DeployConfig(policy=relative, directory=f"run{i}", seconds=2.0, seed=i, rig=BLIND) for i in range(2)]
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(deploy, configs))
    for report in reports:
        assert report.status == 0, report.failure
        assert report.loop.ticks + report.loop.missed == pytest.approx(25, abs=2)
        assert report.recorder.logged["tick"] == report.loop.ticks
        assert not any(report.recorder.dropped.values())
        assert replay(Path(report.log)).first_difference == ""


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_an_external_rig_is_driven(
    transport: str, policy: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    endpoints = Endpoints.ipc(tmp_path_factory.mktemp("rig"))
    if transport == "tcp":
        endpoints = Endpoints(*(f"tcp://127.0.0.1:{port}" for port in free_ports(5)))
    process = save_config(RigProcess(endpoints, BLIND), tmp_path / "rig.json")
    with subprocess.Popen([sys.executable, "-m", "tests.hardware.serve", str(process)], cwd=ROOT) as rig:
        try:
            config = DeployConfig(
                policy=str(policy),
                directory=str(tmp_path / "run"),
                seconds=2.0,
                external=True,
                endpoints=endpoints,
            )
            report = deploy(config)
        finally:
            rig.send_signal(signal.SIGINT)
        assert rig.wait(10) == 0
    assert report.status == 0, report.failure
    assert report.loop.holds < report.loop.ticks
    log = flightlog.read(Path(report.log))
    assert replay(Path(report.log)).first_difference == ""
    assert "block_mass" not in log.metadata["configuration"]["deploy"]  # what serves there is its own affair
    assert endpoints.hand in log.metadata["configuration"]["deploy"]


def test_no_process_survives_a_parent_that_died_early(tmp_path: Path) -> None:
    endpoints = Endpoints.ipc(tmp_path)
    config = save_config(RigProcess(endpoints, BLIND), tmp_path / "rig.json")
    gone = subprocess.Popen(["true"])
    gone.wait()
    rig = subprocess.run(
        [sys.executable, "-m", "hardware.rig", str(config), str(gone.pid)], cwd=ROOT, capture_output=True, timeout=60
    )
    assert rig.returncode == 0 and READY.encode() in rig.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("encoder_noise", -1.0), ("mocap_rotation_noise", -1.0), ("velocity_noise", math.nan), ("hand_rate", 0.0)],
        *[
            ("camera_size", 0),
            ("camera_size", 2000),
            ("jpeg_quality", 900),
            ("hold_force", 1.1),
            ("friction", math.inf),
        ],
        *[("friction", math.inf), ("command_delay", 0.3)],
    ],
)
def test_impossible_rigs_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"rig {name} is {value}; "):
        replace(RigConfig(), **{name: value})
