"""The virtual rig: a process in which a simulated hand, block and motion-capture system live in real time."""

import logging
import sys
from typing import cast

import mujoco
import numpy as np
import torch

from hardware.bus import Publisher, Subscriber
from hardware.clock import NS, Pacer, now_ns
from hardware.messages import (
    ACTIVE,
    BLOCK_DROPPED,
    BLOCK_RESET,
    HOLD,
    Body,
    Event,
    HandState,
    JointCommand,
    Mode,
    Truth,
)
from hardware.process import Lifetime, load_config, say_ready
from hardware.rig_config import RigConfig, RigProcess
from hardware.virtual_mocap import VirtualMocap
from hardware.watchdog import Watchdog
from robot import hand
from robot.frames import Pose
from robot.goal import dropped
from robot.plant import PlantConfig
from sim.cpu_physics import CpuPhysics
from sim.reset import ResetConfig, Resetter
from sim.scene import SceneConfig, build_model

SUBSTEP = 0.002
"""Seconds of physics per step."""

MOST_BEHIND = 0.1
"""If the machine stalls the rig for longer than this [s], the rest of the time is lost and reported."""

MARKERS = (*hand.BASE_MARKERS, *hand.FINGERTIP_MARKERS)

log = logging.getLogger(__name__)


class RigWorld:
    """The hand and the block as they really are: one world of physics."""

    def __init__(self, config: RigConfig, plant: PlantConfig, generator: torch.Generator) -> None:
        """``generator`` decides how the block comes to lie on the palm.

        Raises:
            PlantUnavailable: if this machine has no copy of the plant's model.
        """
        model = build_model(SceneConfig(timestep=SUBSTEP), plant)
        _perturb(model, config)
        self._physics = CpuPhysics(model, n=1, threads=1)
        self._resetter = Resetter(ResetConfig(cache=0), self._physics, generator)
        self._markers = [model.site(name).id for name in MARKERS]
        self._site_xpos = self._physics.batch.bind("site_xpos")
        self._full_force = torch.from_numpy(model.actuator_forcerange.copy())
        self._force_range = self._physics.expand("actuator_forcerange")

    def reset(self) -> None:
        """Half opens the hand and lays the block on the palm, in a random orientation.

        Raises:
            RuntimeError: if the block does not stay there.
        """
        self._force_range[0] = self._full_force
        self._resetter.reset(torch.tensor([0]))

    def step(self, steps: int = 1) -> None:
        """Advances by ``steps`` of ``SUBSTEP``."""
        self._physics.step(steps)

    def command(self, target: torch.Tensor, force: float) -> None:
        """Sets the actuators' targets (20,) [rad] and the share of the full force that they may use."""
        self._physics.set_target(target.unsqueeze(0))
        self._force_range[0] = force * self._full_force

    @property
    def target(self) -> torch.Tensor:
        """Actuator targets in force (20,) [rad]."""
        return self._physics.joint_target()[0]

    @property
    def joint_pos(self) -> torch.Tensor:
        """(24,) [rad]."""
        return self._physics.joint_pos()[0]

    @property
    def joint_vel(self) -> torch.Tensor:
        """(24,) [rad/s]."""
        return self._physics.joint_vel()[0]

    @property
    def markers(self) -> torch.Tensor:
        """Positions of ``MARKERS`` in the world (9, 3) [m]."""
        return torch.from_numpy(self._site_xpos[0, self._markers])

    @property
    def block_in_base(self) -> Pose:
        """Where the block is, seen from the hand."""
        block = self._physics.block()
        return Pose(block.pos[0], block.quat[0])

    @property
    def block_in_world(self) -> Pose:
        """Where the block is."""
        return self._physics.T_world_base @ self.block_in_base


def _perturb(model: mujoco.MjModel, config: RigConfig) -> None:
    block = model.body("block").id
    model.body_mass[block] *= config.block_mass
    model.body_inertia[block] *= config.block_mass
    model.geom_friction[:, 0] *= config.friction
    model.actuator_gainprm[:, 0] *= config.gain
    model.actuator_biasprm[:, 1] *= config.gain
    model.dof_damping[:] *= config.damping
    mujoco.mj_setConst(model, mujoco.MjData(model))


def has_dropped(object_pos: torch.Tensor) -> bool:
    """Whether a block there (3,), base frame, has fallen off the hand."""
    return bool(dropped(object_pos.unsqueeze(0)))


class Rig:
    """The plant behind the ports of a hand and of a motion-capture system."""

    def __init__(self, process: RigProcess) -> None:
        self._config = config = process.rig
        self._noise = np.random.default_rng(config.seed)
        self._world = RigWorld(config, process.plant, torch.Generator().manual_seed(config.seed))
        self._world.reset()
        self._mocap = VirtualMocap(config, MARKERS)
        self._watchdog = Watchdog(config.watchdog, config.command_delay)
        self._mode: Mode | None = None
        self._obeyed_ns = 0
        self._command_stream = Subscriber([process.endpoints.control], ["command"])
        self._hand_out = Publisher(process.endpoints.hand, "rig")
        self._mocap_out = Publisher(process.endpoints.mocap, "rig")
        self._truth_out = Publisher(process.endpoints.truth, "rig")
        self._dropped_ns: int | None = None
        self._hold()

    def wait_for_listeners(self, timeout: float) -> None:
        """Returns when every stream is listened to.

        Raises:
            HandshakeTimeout: if one is not within ``timeout`` seconds.
        """
        for out, streams in (
            (self._hand_out, ("hand", "event")),
            (self._mocap_out, ("mocap",)),
            (self._truth_out, ("truth",)),
        ):
            out.wait_for_subscribers(streams, timeout)

    def run(self, lifetime: Lifetime) -> None:
        """Lives in real time until told to stop."""
        self._event("device", f"virtual rig, {self._config.hand_rate} states/s, watchdog {self._config.watchdog} s")
        pacer = Pacer(SUBSTEP)
        begin_ns = now_ns()
        hands = frames = 0
        while not lifetime.over:
            wakeup = pacer.wait()
            behind = min(wakeup.missed, round(MOST_BEHIND / SUBSTEP))
            if behind < wakeup.missed:
                self._event("rig stalled", f"{wakeup.missed * SUBSTEP:.3f} s")
            now = now_ns()
            self.obey(now)
            self._world.step(1 + behind)
            elapsed = (now - begin_ns) / NS
            if elapsed * self._config.hand_rate >= hands:
                hands = int(elapsed * self._config.hand_rate) + 1
                self._hand_out.send("hand", self.state(now))
            if elapsed * self._config.mocap_rate >= frames:
                frames = int(elapsed * self._config.mocap_rate) + 1
                self._report_world(now)
            for frame in self._mocap.deliver(now):
                self._mocap_out.send("mocap", frame)

    def obey(self, now: int) -> None:
        """Carries out the command that is due, and holds when none comes."""
        for received in self._command_stream.drain():
            self._watchdog.arrived(cast(JointCommand, received.message), received.receive_ns)
        if command := self._watchdog.due(now):
            self._obeyed_ns = command.capture_ns
            if command.target is not None:
                self._world.command(torch.tensor(command.target, dtype=torch.float64), force=1.0)
        mode = self._watchdog.mode(now)
        if mode == HOLD and self._mode != HOLD:
            self._hold()
        if mode != self._mode:
            self._event("hand mode", mode)
            self._mode = mode

    def _hold(self) -> None:
        """Makes the measured pose the target, with reduced force."""
        lower, upper = hand.actuator_range()
        target = hand.actuator_pos(self._world.joint_pos).clamp(lower.double(), upper.double())
        self._world.command(target, force=self._config.hold_force)

    def _watch_block(self, now: int, object_pos: torch.Tensor) -> None:
        """Puts a dropped block back after a pause, as a person would."""
        if self._dropped_ns is None:
            if has_dropped(object_pos):
                self._dropped_ns = now
                self._event(BLOCK_DROPPED, "")
        elif now - self._dropped_ns > self._config.reset_pause * NS:
            self._world.reset()
            self._hold()
            self._dropped_ns = None
            self._event(BLOCK_RESET, "")

    def state(self, now: int) -> HandState:
        """What the hand's sensors say."""
        config, plant = self._config, self._world
        angles = plant.joint_pos.numpy() + config.encoder_noise * self._noise.standard_normal(hand.NUM_JOINTS)
        speeds = plant.joint_vel.numpy() + config.velocity_noise * self._noise.standard_normal(hand.NUM_JOINTS)
        return HandState(
            capture_ns=now,
            joint_pos=tuple(angles.tolist()),
            joint_vel=tuple(speeds.tolist()),
            target=tuple(plant.target.tolist()),
            mode=self._mode or HOLD,
            force=1.0 if self._mode == ACTIVE else config.hold_force,
            obeyed_ns=self._obeyed_ns,
        )

    def _report_world(self, now: int) -> None:
        plant = self._world
        self._mocap.expose(now, plant.markers, plant.block_in_world)
        block = plant.block_in_base
        self._watch_block(now, block.pos)
        body = Body(tuple(block.pos.tolist()), tuple(block.quat.tolist()))
        self._truth_out.send("truth", Truth(capture_ns=now, joint_pos=tuple(plant.joint_pos.tolist()), block=body))

    def _event(self, kind: str, text: str) -> None:
        log.info("%s %s", kind, text)
        self._hand_out.send("event", Event(capture_ns=now_ns(), kind=kind, text=text))


def main() -> None:
    """``python -m hardware.rig CONFIG.json [PARENT]``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    process = load_config(RigProcess)
    torch.set_num_threads(1)
    try:
        rig = Rig(process)
        if process.listener_timeout:
            rig.wait_for_listeners(process.listener_timeout)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"the virtual rig cannot start: {error}")
    lifetime = Lifetime()  # not sooner: what only waits for others may be killed
    say_ready()
    rig.run(lifetime)


if __name__ == "__main__":
    main()
