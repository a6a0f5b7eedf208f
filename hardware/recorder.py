"""The recorder: a process that listens to every stream and writes one flight log."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from hardware.bus import Endpoints, Received, Subscriber
from hardware.clock import NS, now_ns, wall_offset_ns
from hardware.flightlog import FlightLogWriter
from hardware.messages import STREAMS
from hardware.process import Lifetime, load_config, save_config, say_ready

QUEUE = 20_000
"""Messages that may wait per connection while the disk is busy: about a minute."""

LINGER = 0.3
"""Seconds for which a stopping recorder still writes what is sent; it ends sooner when no message comes for a
``flush_period``."""

DRAIN = 5.0
"""Seconds after which it ends, whatever comes and however it is stamped."""


@dataclass(frozen=True)
class RecorderConfig:
    """What is recorded, and how much a crash may cost."""

    endpoints: Endpoints
    """Where the streams come from."""
    path: str
    """The flight log to create."""
    report: str
    """Where the counts go, as JSON, when the log is closed."""
    from_start: bool = False
    """Whether every producer waits for the recorder, so that losses are counted from the first message on."""
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    """Records for the head of the log: contract, configuration, versions."""
    flush_period: float = 0.1
    """Seconds between two flushes: what the death of the recorder may cost."""
    sync_period: float = 3.0
    """Seconds between two fsyncs: what a power cut may cost."""


@dataclass(frozen=True)
class RecorderReport:
    """What came of a recording."""

    logged: dict[str, int]
    """Messages written, by stream."""
    dropped: dict[str, int]
    """Messages sent but not received, by stream: gaps in the sequence numbers. With a rig that served before the
    recorder came, they are counted from the first message received."""
    malformed: dict[str, int]
    """Messages refused, by stream."""


class Recorder:
    """Writes what it hears."""

    def __init__(self, config: RecorderConfig) -> None:
        self._config = config
        addresses = [getattr(config.endpoints, name) for name in ("hand", "mocap", "cameras", "control", "truth")]
        self._subscriber = Subscriber(addresses, list(STREAMS), QUEUE, config.from_start)
        clock = {"bridge": "CLOCK_MONOTONIC", "wall_offset_ns": str(wall_offset_ns())}
        self._log = FlightLogWriter(Path(config.path), {**config.metadata, "clock": clock})

    def run(self, lifetime: Lifetime) -> None:
        """Records until told to stop, and then what is still on its way: see ``LINGER``."""
        flush_ns, sync_ns = round(self._config.flush_period * NS), round(self._config.sync_period * NS)
        flushed = synced = now_ns()
        stop_ns: int | None = None
        while True:
            if lifetime.over and stop_ns is None:
                stop_ns = now_ns()
            received = self._subscriber.next(timeout=self._config.flush_period)
            if received is not None:
                self._log.add(received)
            if stop_ns is not None and (received is None or _is_late(received, stop_ns)):
                break
            now = now_ns()
            if now - synced >= sync_ns:
                self._log.sync()
                flushed = synced = now
            elif now - flushed >= flush_ns:
                self._log.flush()
                flushed = now

    def close(self) -> RecorderReport:
        """Finishes the file and reports."""
        subscriber = self._subscriber
        report = RecorderReport(dict(self._log.logged), dict(subscriber.dropped), dict(subscriber.malformed))
        counts = {
            f"{kind} {stream}": str(n) for kind in ("logged", "dropped") for stream, n in getattr(report, kind).items()
        }
        self._log.finish(counts)
        subscriber.close()
        save_config(report, Path(self._config.report))
        return report


def _is_late(received: Received, stop_ns: int) -> bool:
    # by its sending, not by its arrival: a disk that was slow may have kept much of the flight waiting
    return received.message.send_ns > stop_ns + LINGER * NS or received.receive_ns > stop_ns + DRAIN * NS


def main() -> None:
    """``python -m hardware.recorder CONFIG.json [PARENT]``."""
    config = load_config(RecorderConfig)
    lifetime = Lifetime()
    try:
        recorder = Recorder(config)
    except FileExistsError:
        sys.exit(f"{config.path} exists; a flight log is never overwritten")
    except OSError as error:
        sys.exit(f"the recorder cannot start: {error}")
    say_ready()
    try:
        recorder.run(lifetime)
    finally:
        recorder.close()


if __name__ == "__main__":
    main()
