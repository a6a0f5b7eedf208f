"""The control loop: a process that reads the devices, decides and commands at absolute deadlines."""

import gc
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch

from hardware.bus import Endpoints, HandshakeTimeout, Publisher, StaleStream, Subscriber
from hardware.clock import NS, Pacer, Wakeup, now_ns, sleep_until
from hardware.controller import HOLD_REASONS, BlockDropped, Controller, ControllerConfig
from hardware.drivers import BusCameras, BusHand, BusMocap, Devices, Inputs, MaxAge
from hardware.messages import (
    ACTIVE,
    BLOCK_DROPPED,
    BLOCK_RESET,
    EPISODE,
    HOLD,
    RESUME,
    Actuators,
    ControlTick,
    Decision,
    Event,
    JointCommand,
    Start,
    Used,
)
from hardware.process import Lifetime, load_config, save_config, say_ready
from hardware.statistics import LoopReport, LoopStatistics, Sections
from policy.artefact import ArtefactError

log = logging.getLogger(__name__)


HANDSHAKE_PERIOD = 0.05
"""Seconds between two orders to hold while the loop waits for the hand to carry one out."""


@dataclass(frozen=True)
class LoopConfig:
    """What the loop is connected to and for how long it runs."""

    endpoints: Endpoints
    """Where the devices and the listeners are."""
    controller: ControllerConfig
    """What decides."""
    report: str
    """Where the loop report goes, as JSON, however the loop ends."""
    seconds: float = 0.0
    """How long to run; 0: until told to stop."""
    max_age: MaxAge = field(default_factory=MaxAge)
    """The oldest messages to act on."""
    listeners: tuple[str, ...] = ("command", "tick")
    """Streams that need a listener before the first tick."""
    start_timeout: float = 10.0
    """Seconds to wait for listeners, for devices, and for the hand to answer."""


class ControlLoop:
    """One controller driving one hand."""

    def __init__(self, config: LoopConfig, controller: Controller, devices: Devices, out: Publisher) -> None:
        self._config = config
        self._controller = controller
        self._devices = devices
        self._out = out
        self._events = Subscriber([config.endpoints.hand], ["event"])
        self._statistics = LoopStatistics(controller.period)
        self._tick = 0
        self._episode = -1
        self._start: Start = EPISODE
        self._reason = ""
        self._fresh_from_ns = 0

    def wait_for_devices(self) -> None:
        """Returns when every device delivers and the hand has carried out an order to hold.

        Raises:
            StaleStream: naming the device that does not deliver.
            HandshakeTimeout: if the hand does not obey.
        """
        begin_ns = now_ns()
        deadline_ns = begin_ns + round(self._config.start_timeout * NS)
        while True:
            self._order(None, now_ns())
            sleep_until(now_ns() + round(HANDSHAKE_PERIOD * NS))
            try:
                if self._read().hand.obeyed_ns >= begin_ns:
                    return
            except StaleStream:
                if now_ns() > deadline_ns:
                    raise
            if now_ns() > deadline_ns:
                raise HandshakeTimeout(
                    f"the hand reports its state but has carried out no command in {self._config.start_timeout} s"
                )

    def run(self, lifetime: Lifetime) -> LoopReport:
        """Runs until told to stop or time is up; however that ends, the hand is told to hold and the report written."""
        self._event("start", f"policy {self._controller.config.policy}")
        gc.disable()  # a collection in the middle of a tick is a late command
        stopped = "failed"
        end_ns = now_ns() + round(self._config.seconds * NS)
        pacer = Pacer(self._controller.period)
        try:
            while not lifetime.over and (not self._config.seconds or now_ns() < end_ns):
                self.tick(pacer.wait())
            stopped = "told to stop" if lifetime.over else "time is up"
        finally:
            self._order(None, now_ns())
            self._event("stop", stopped)
            report = self._statistics.report(stopped)
            save_config(report, Path(self._config.report))
            gc.enable()
        return report

    def tick(self, wakeup: Wakeup) -> None:
        """Reads, decides, commands, and tells what it did."""
        begin_ns, timed = now_ns(), Sections()
        self._listen()
        start, episode = self._start, self._episode + (self._start == EPISODE)
        inputs, decision, reason = None, None, ""
        try:
            with timed("read"):
                inputs = self._read_obeying()
            if start:
                self._controller.start(start, episode)
            decision = self._controller.step(inputs.hand, inputs.frame, inputs.images, timed)
        except BlockDropped as error:
            reason, self._start = str(error), EPISODE
        except (StaleStream, *HOLD_REASONS) as error:
            reason = str(error)
        with timed("command"):
            self._order(None if decision is None else decision.applied, begin_ns)
        with timed("tell"):
            self._follow(decision, start, episode, reason)
            message = ControlTick(
                capture_ns=begin_ns,
                tick=self._tick,
                start=start if inputs else "",
                episode=episode,
                mode=HOLD if decision is None else ACTIVE,
                reason=reason,
                late=wakeup.late_ns / NS,
                missed=wakeup.missed,
                timings=dict(timed.seconds),
                used=inputs and Used(inputs.hand.seq, inputs.frame.seq, inputs.camera_seqs),
                decision=decision,
            )
            self._out.send("tick", message)
        clamped = decision is not None and bool(decision.clamped)
        self._statistics.tick(wakeup, timed.seconds, hold=decision is None, clamped=clamped)
        self._tick += 1

    def _listen(self) -> None:
        for received in self._events.drain():
            event = cast(Event, received.message)
            if event.kind in (BLOCK_DROPPED, BLOCK_RESET):
                self._fresh_from_ns = event.capture_ns
                self._start = EPISODE

    def _read(self) -> Inputs:
        inputs = Inputs.read(self._devices, self._controller.source.cameras, self._config.max_age)
        if inputs.oldest_ns < self._fresh_from_ns:
            raise StaleStream("the block was moved after the devices last saw it")
        return inputs

    def _read_obeying(self) -> Inputs:
        """As ``_read``, but of a hand that carries out orders: policy and limiter would run ahead of one that does not.

        Raises:
            StaleStream: if the order that it has carried out last is too old.
        """
        inputs = self._read()
        age, allowed = (inputs.hand.capture_ns - inputs.hand.obeyed_ns) / NS, self._config.max_age.command
        if age > allowed:
            raise StaleStream(f"the hand carries out no orders: its last is {age:.3f} s old, allowed: {allowed} s")
        return inputs

    def _order(self, target: Actuators | None, begin_ns: int) -> None:
        self._devices.hand.send(JointCommand(capture_ns=begin_ns, tick=self._tick, target=target))

    def _follow(self, decision: Decision | None, start: str, episode: int, reason: str) -> None:
        """Keeps the account of episodes and successes, and says what has changed."""
        if reason and reason != self._reason:
            self._event("hold", reason)
        self._reason = reason
        if decision is None:
            self._start = self._start or RESUME
            return
        if start == EPISODE:
            self._episode = episode
            self._statistics.episode()
        if decision.reached:
            self._statistics.reached()
            self._event("goal reached", f"{decision.successes} in a row")
        self._start = EPISODE if decision.ended else ""
        if decision.ended:
            self._event("episode ended", decision.ended)

    def _event(self, kind: str, text: str) -> None:
        log.info("%s: %s", kind, text)
        self._out.send("event", Event(capture_ns=now_ns(), kind=kind, text=text))


def main() -> None:
    """``python -m hardware.loop CONFIG.json [PARENT]``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    config = load_config(LoopConfig)
    torch.set_num_threads(1)  # for one hand the hand-over to other threads costs more than it gains
    try:
        controller = Controller(config.controller)
        out = Publisher(config.endpoints.control, "loop")
        cameras = BusCameras(config.endpoints, controller.source.cameras)
        devices = Devices(BusHand(config.endpoints, out), BusMocap(config.endpoints), cameras)
        loop = ControlLoop(config, controller, devices, out)
        gc.collect()
        gc.freeze()  # before the hand is asked to listen: it takes long
        out.wait_for_subscribers(config.listeners, config.start_timeout)
        loop.wait_for_devices()
    except (ArtefactError, ValueError, RuntimeError, OSError) as error:
        sys.exit(f"the control loop cannot start: {error}")
    log.info("limits in force\n%s", controller.limiter.describe())
    lifetime = Lifetime()  # not sooner: what only waits for others may be killed
    say_ready()
    print(loop.run(lifetime).lines(), file=sys.stderr)


if __name__ == "__main__":
    main()
