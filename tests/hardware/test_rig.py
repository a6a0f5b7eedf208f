"""The virtual rig as a driver: what it obeys, and that both its processes are watched."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
import torch

from hardware.bus import Endpoints, Publisher, Subscriber
from hardware.child import ROOT
from hardware.clock import NS, now_ns
from hardware.messages import BLOCK_DROPPED, BLOCK_RESET, Event, JointCommand
from hardware.process import save_config
from hardware.rig import SUBSTEP, Rig, RigWorld, has_dropped
from hardware.rig_config import RigConfig, RigProcess
from hardware.watchdog import Watchdog
from inhand.config import load
from inhand.rig import RigJob
from robot import rotation
from robot.hand import (
    ACTUATOR_NAMES,
    BASE_MARKER_POS,
    COUPLED_FINGERS,
    JOINT_NAMES,
    actuator_range,
)
from robot.plant import SHADOW
from sim.scene import SceneConfig, build_model

SERVE = (sys.executable, "-m", "tests.hardware.serve")


def test_a_rig_that_stalled_does_not_carry_out_what_waited(tmp_path_factory: pytest.TempPathFactory) -> None:
    endpoints = Endpoints.ipc(tmp_path_factory.mktemp("rig"))
    config = RigConfig(camera_rate=0.0)
    rig = Rig(RigProcess(endpoints, config))
    commands = Publisher(endpoints.control, "loop")
    commands.wait_for_subscribers(["command"], 5.0)

    def command(value: float) -> JointCommand:
        return JointCommand(capture_ns=now_ns(), tick=0, target=(value,) * 20)

    commands.send("command", command(0.1))
    time.sleep(0.05)
    rig.obey(now_ns())
    assert rig.state(now_ns()).target == (0.1,) * 20 and rig.state(now_ns()).mode == "active"
    for _ in range(3):
        commands.send("command", command(0.2))
    time.sleep(config.watchdog + 0.05)  # the stall
    rig.obey(now_ns())
    state = rig.state(now_ns())
    assert (state.mode, state.force) == ("hold", config.hold_force)
    assert 0.2 not in state.target
    last = commands.send("command", command(0.3))
    time.sleep(0.05)
    rig.obey(now_ns())
    state = rig.state(now_ns())
    assert (state.mode, state.target, state.obeyed_ns) == ("active", (0.3,) * 20, last.capture_ns)
    commands.close()


def test_an_order_of_another_clock_does_not_deafen_the_hand() -> None:
    watchdog, now = Watchdog(0.25), now_ns()
    order = JointCommand(capture_ns=now, tick=0, target=(0.1,) * 20, send_ns=now)
    watchdog.arrived(msgspec.structs.replace(order, send_ns=now + 3_600 * NS), now)
    assert watchdog.due(now) is None and watchdog.mode(now) == "hold"
    watchdog.arrived(order, now)
    assert watchdog.due(now) == order and watchdog.mode(now) == "active"


def test_the_hand_of_a_rig_may_be_one_that_others_wrote() -> None:
    foreign = load("rig", RigJob, ["plant=gymnasium_robotics"]).plant
    plant = RigWorld(RigConfig(), foreign, torch.Generator().manual_seed(0))
    plant.reset()
    assert not has_dropped(plant.block_in_base.pos)
    T_world_base = plant.block_in_world @ plant.block_in_base.inverse()
    base = T_world_base.inverse().apply(plant.markers[: len(BASE_MARKER_POS)])
    torch.testing.assert_close(base, torch.tensor(BASE_MARKER_POS, dtype=torch.float64))
    spread = torch.tensor([-0.3 if name.endswith("J4") else 0.0 for name in ACTUATOR_NAMES], dtype=torch.float64)
    plant.command(spread, force=1.0)
    plant.step(500)
    reached = dict(zip(JOINT_NAMES, plant.joint_pos.tolist(), strict=True))
    # by our signs all four fingers spread; by theirs first and middle finger would cross the others
    assert all(reached[f"rh_{finger}J4"] == pytest.approx(-0.3, abs=0.1) for finger in COUPLED_FINGERS)


@pytest.mark.slow
def test_a_rig_whose_cameras_die_ends_and_says_so(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    endpoints = Endpoints.ipc(tmp_path_factory.mktemp("rig"))
    config = save_config(RigProcess(endpoints, RigConfig(camera_size=32)), tmp_path / "rig.json")
    with subprocess.Popen([*SERVE, str(config)], cwd=ROOT, stderr=subprocess.PIPE) as rig:
        children = Path(f"/proc/{rig.pid}/task/{rig.pid}/children")
        deadline = time.monotonic() + 60
        while not (cameras := [pid for pid in map(int, children.read_text().split()) if is_cameras(pid)]):
            assert rig.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        while not Path(endpoints.cameras.removeprefix("ipc://")).exists():
            assert rig.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(cameras[0], signal.SIGTERM)
        _, errors = rig.communicate(timeout=60)
    assert rig.returncode != 0
    assert b"rig_cameras ended with status" in errors


def is_cameras(pid: int) -> bool:
    return b"hardware.rig_cameras" in Path(f"/proc/{pid}/cmdline").read_bytes()


def plant() -> RigWorld:
    made = RigWorld(RigConfig(), SHADOW, torch.Generator().manual_seed(0))
    made.reset()
    return made


@pytest.mark.parametrize("force", [1.0, 0.5])
def test_a_hand_pulls_with_the_share_of_its_force_that_it_may_use(force: float) -> None:
    rig = plant()
    full = rig._physics.model.actuator_forcerange[:, 1]
    rig.command(actuator_range()[1].double(), force)  # far away: servos are at their limits
    rig.step(1)
    pulls = np.abs(rig._physics.batch.bind("actuator_force")[0]) / full
    assert pulls.max() == pytest.approx(force)


def test_the_plant_is_off_the_training_model_as_configured() -> None:
    model, known = plant()._physics.model, build_model(SceneConfig(timestep=SUBSTEP))
    block, sliding = known.body("block").id, known.geom_friction[:, 0]
    np.testing.assert_allclose(model.body_mass[block], 1.15 * 0.078)
    np.testing.assert_allclose(model.body_inertia[block], 1.15 * known.body_inertia[block])
    np.testing.assert_allclose(model.geom_friction[:, 0], 0.85 * sliding)
    np.testing.assert_allclose(model.dof_damping, 1.2 * known.dof_damping)
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], 0.9 * known.actuator_gainprm[:, 0])
    # a servo still stands where it is told to
    np.testing.assert_allclose(model.actuator_biasprm[:, 1], -model.actuator_gainprm[:, 0])
    assert model.body_subtreemass[block] == pytest.approx(model.body_mass[block])


def test_a_dropped_block_is_laid_back_after_a_pause(tmp_path_factory) -> None:
    endpoints = Endpoints.ipc(tmp_path_factory.mktemp("rig"))
    rig = Rig(RigProcess(endpoints, RigConfig(camera_rate=0.0, reset_pause=1.0)))
    events = Subscriber([endpoints.hand], ["event"])
    rig._hand_out.wait_for_subscribers(["event"], 2.0)
    world, physics = torch.tensor([0]), rig._world._physics
    physics.set_block(world, torch.tensor([[0.4, 0.3, 0.3]]), rotation.identity(1))
    physics.forward(world)
    for seconds, dropped in ((10.0, True), (10.9, True), (11.1, True), (11.2, False)):
        assert has_dropped(rig._world.block_in_base.pos) == dropped, seconds
        rig._report_world(round(seconds * NS))
    told = [events.next(1.0) for _ in range(2)]
    assert [cast(Event, each.message).kind for each in told if each] == [BLOCK_DROPPED, BLOCK_RESET]
    events.close()
