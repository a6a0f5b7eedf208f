"""The virtual rig: a process in which a simulated hand, block and motion-capture system live in real time."""

import logging
import sys
from typing import cast

import mujoco
import numpy as np
import torch

from hardware.bus import Publisher, Subscriber
from hardware.clock import NS, Pacer, now_ns
from hardware.messages import BLOCK_DROPPED, BLOCK_RESET, Body, Event, HandState, JointCommand, Truth
from hardware.process import Lifetime, load_config, say_ready
from hardware.rig_config import RigConfig, RigProcess
from hardware.virtual_mocap import VirtualMocap
from hardware.watchdog import ACTIVE, HOLD, Watchdog
from robot import hand, rotation
from robot.frames import Pose
from robot.goal import dropped
from sim.puppet import base_pose
from sim.reset import ResetConfig, home_joint_pos
from sim.scene import BLOCK_HALF_DIAGONAL, PALM_CENTER, SceneConfig, build_model

SUBSTEP = 0.002
"""Seconds of physics per step."""

MOST_BEHIND = 0.1
"""If the machine stalls the rig for longer than this [s], the rest of the time is lost and reported."""

MARKERS = (*hand.BASE_MARKERS, *hand.FINGERTIP_MARKERS)

log = logging.getLogger(__name__)


class Plant:
    """The hand and the block as they really are: one MuJoCo world."""

    def __init__(self, config: RigConfig) -> None:
        self._model = build_model(SceneConfig(timestep=SUBSTEP))
        self._data = mujoco.MjData(self._model)
        self._perturb(config)
        joints = [self._model.joint(name) for name in hand.JOINT_NAMES]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._actuators = np.array([self._model.actuator(name).id for name in hand.ACTUATOR_NAMES])
        self._markers = np.array([self._model.site(name).id for name in MARKERS])
        block = self._model.joint("block")
        self._block_qpos = int(block.qposadr[0])
        self._full_force = self._model.actuator_forcerange.copy()
        self._T_world_base = base_pose(self._model)

    def _perturb(self, config: RigConfig) -> None:
        model = self._model
        block = model.body("block").id
        model.body_mass[block] *= config.block_mass
        model.body_inertia[block] *= config.block_mass
        model.geom_friction[:, 0] *= config.friction
        model.actuator_gainprm[:, 0] *= config.gain
        model.actuator_biasprm[:, 1] *= config.gain
        model.dof_damping[:] *= config.damping
        mujoco.mj_setConst(model, self._data)

    def reset(self, generator: torch.Generator) -> None:
        """Half opens the hand and lays the block on the palm, in a random orientation.

        Raises:
            RuntimeError: if the block does not stay there.
        """
        start = ResetConfig()
        home = home_joint_pos().double()
        place = torch.tensor(PALM_CENTER, dtype=torch.float64) - torch.tensor(
            [0.0, BLOCK_HALF_DIAGONAL + start.drop_from, 0.0]
        )
        for _ in range(start.max_retries):
            mujoco.mj_resetData(self._model, self._data)
            turned = rotation.random_uniform(1, generator, torch.float64)[0]
            T_world_block = self._T_world_base @ Pose(place, turned)
            self._data.qpos[self._qpos] = home.numpy()
            self._data.qpos[self._block_qpos : self._block_qpos + 7] = torch.cat(
                (T_world_block.pos, T_world_block.quat)
            )
            self.command(hand.actuator_pos(home).numpy(), force=1.0)
            self.step(round(start.settle_time / SUBSTEP))
            if not has_dropped(self.block_in_base):
                return
        raise RuntimeError(f"the block fell off the palm {start.max_retries} times")

    def step(self, steps: int = 1) -> None:
        """Advances by ``steps`` of ``SUBSTEP``."""
        mujoco.mj_step(self._model, self._data, nstep=steps)

    def command(self, target: np.ndarray, force: float) -> None:
        """Sets the actuators' targets (20,) [rad] and the share of the full force that they may use."""
        self._data.ctrl[self._actuators] = target
        self._model.actuator_forcerange[:] = force * self._full_force

    @property
    def target(self) -> np.ndarray:
        """Actuator targets in force (20,) [rad]."""
        return self._data.ctrl[self._actuators]

    @property
    def joint_pos(self) -> np.ndarray:
        """(24,) [rad]."""
        return self._data.qpos[self._qpos]

    @property
    def joint_vel(self) -> np.ndarray:
        """(24,) [rad/s]."""
        return self._data.qvel[self._dof]

    @property
    def markers(self) -> torch.Tensor:
        """Positions of ``MARKERS`` in the world (9, 3) [m]."""
        return torch.from_numpy(self._data.site_xpos[self._markers])

    @property
    def block_in_world(self) -> Pose:
        """Where the block is."""
        found = self._data.body("block")
        return Pose(torch.from_numpy(found.xpos.copy()), torch.from_numpy(found.xquat.copy()))

    @property
    def block_in_base(self) -> Pose:
        """Where the block is, seen from the hand."""
        return self._T_world_base.inverse() @ self.block_in_world


def has_dropped(block_in_base: Pose) -> bool:
    """Whether a block there has fallen off the hand."""
    return bool(dropped(block_in_base.pos.unsqueeze(0)))


class Rig:
    """The plant behind the ports of a hand and of a motion-capture system."""

    def __init__(self, process: RigProcess) -> None:
        self._config = config = process.rig
        self._generator = torch.Generator().manual_seed(config.seed)
        self._noise = np.random.default_rng(config.seed)
        self._plant = Plant(config)
        self._plant.reset(self._generator)
        self._mocap = VirtualMocap(config, MARKERS)
        self._watchdog = Watchdog(config.watchdog, config.command_delay)
        self._mode = ""
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
            self._plant.step(1 + behind)
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
            self._watchdog.arrived(cast(JointCommand, received.message))
        if command := self._watchdog.due(now):
            self._obeyed_ns = command.capture_ns
            if command.target is not None:
                self._plant.command(np.array(command.target), force=1.0)
        mode = self._watchdog.mode(now)
        if mode == HOLD and self._mode != HOLD:
            self._hold()
        if mode != self._mode:
            self._event("hand mode", mode)
            self._mode = mode

    def _hold(self) -> None:
        """Makes the measured pose the target, with reduced force."""
        lower, upper = hand.actuator_range()
        position = hand.actuator_pos(torch.from_numpy(self._plant.joint_pos))
        target = position.clamp(lower.double(), upper.double()).numpy()
        self._plant.command(target, force=self._config.hold_force)

    def _watch_block(self, now: int, block_in_base: Pose) -> None:
        """Puts a dropped block back after a pause, as a person would."""
        if self._dropped_ns is None:
            if has_dropped(block_in_base):
                self._dropped_ns = now
                self._event(BLOCK_DROPPED, "")
        elif now - self._dropped_ns > self._config.reset_pause * NS:
            self._plant.reset(self._generator)
            self._hold()
            self._dropped_ns = None
            self._event(BLOCK_RESET, "")

    def state(self, now: int) -> HandState:
        """What the hand's sensors say."""
        config, plant, noise = self._config, self._plant, self._noise
        return HandState(
            capture_ns=now,
            joint_pos=tuple((plant.joint_pos + config.encoder_noise * noise.standard_normal(hand.NUM_JOINTS)).tolist()),
            joint_vel=tuple(
                (plant.joint_vel + config.velocity_noise * noise.standard_normal(hand.NUM_JOINTS)).tolist()
            ),
            target=tuple(plant.target.tolist()),
            mode=self._mode or HOLD,
            force=1.0 if self._mode == ACTIVE else config.hold_force,
            obeyed_ns=self._obeyed_ns,
        )

    def _report_world(self, now: int) -> None:
        self._mocap.expose(now, self._plant.markers, self._plant.block_in_world)
        block = self._plant.block_in_base
        self._watch_block(now, block)
        body = Body(tuple(block.pos.tolist()), tuple(block.quat.tolist()))
        self._truth_out.send(
            "truth", Truth(capture_ns=now, joint_pos=tuple(self._plant.joint_pos.tolist()), block=body)
        )

    def _event(self, kind: str, text: str) -> None:
        log.info("%s %s", kind, text)
        self._hand_out.send("event", Event(capture_ns=now_ns(), kind=kind, text=text))


def main() -> None:
    """``python -m hardware.rig CONFIG.json [PARENT]``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    process = load_config(RigProcess)
    lifetime = Lifetime()
    torch.set_num_threads(1)
    try:
        rig = Rig(process)
        if process.listener_timeout:
            rig.wait_for_listeners(process.listener_timeout)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"the virtual rig cannot start: {error}")
    say_ready()
    rig.run(lifetime)


if __name__ == "__main__":
    main()
