"""Bridge speed: one way of one message between two processes, over a Unix socket."""

import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardware.bus import Endpoints, Publisher, Subscriber
from hardware.clock import now_ns
from hardware.messages import HandState
from robot.hand import NUM_ACTUATORS, NUM_JOINTS

if TYPE_CHECKING:
    from inhand.bench import BenchJob

RATE = 125.0
"""Messages per second, as a Shadow hand sends its joint states."""


def measure(job: "BenchJob") -> dict[str, float]:
    """Latency [µs] from send to receive of a hand state, and how many were lost."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="inhand-") as folder:
        address = Endpoints.ipc(Path(folder)).hand
        stop = context.Event()
        sender = context.Process(target=_send, args=(address, stop))
        subscriber = Subscriber([address], ["hand"])
        sender.start()
        try:
            microseconds = []
            end = None
            while end is None or time.monotonic() < end:
                received = subscriber.next(timeout=10.0)
                if received is None:
                    raise RuntimeError("the sender is silent")
                end = end or time.monotonic() + job.seconds
                microseconds.append((received.receive_ns - received.message.send_ns) / 1e3)
        finally:
            stop.set()
            sender.join()
            dropped = subscriber.dropped["hand"]
            subscriber.close()
    return {
        "hop_p50_us": float(np.percentile(microseconds, 50)),
        "hop_p99_us": float(np.percentile(microseconds, 99)),
        "messages": len(microseconds),
        "dropped": dropped,
    }


def _send(address: str, stop: Event) -> None:
    publisher = Publisher(address, "bench")
    while not stop.wait(1.0 / RATE):
        state = HandState(
            capture_ns=now_ns(),
            joint_pos=(0.1,) * NUM_JOINTS,
            joint_vel=(0.1,) * NUM_JOINTS,
            target=(0.1,) * NUM_ACTUATORS,
            mode="active",
            force=1.0,
        )
        publisher.send("hand", state)
    publisher.close()
