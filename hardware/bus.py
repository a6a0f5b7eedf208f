"""The bridge: ZeroMQ publishers that bind, subscribers that connect, and nothing stale served as fresh.

A message is [stream, msgpack of the message, optional image bytes].
"""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import msgspec
import zmq

from hardware.clock import NS, now_ns
from hardware.messages import STREAMS, Message

IPC_LIMIT = 107
"""Longest path of a Unix socket in bytes (``sun_path`` of unix(7), without its closing zero)."""

QUEUE = 1000
"""Messages that wait per connection before the newest are dropped (and counted by their gap)."""

CLOCK_SLACK = 0.001
"""A capture stamp this far in the future [s] can only come from another clock."""


class StaleStream(RuntimeError):
    """A stream has no message fresh enough."""


class HandshakeTimeout(RuntimeError):
    """Nobody answered in time."""


@dataclass(frozen=True)
class Endpoints:
    """Where each producer binds; by default on this machine alone.

    Raises:
        ValueError: if an address is no ``ipc://`` or ``tcp://`` one, or an ``ipc`` path is too long for a socket.
    """

    hand: str = "tcp://127.0.0.1:5610"
    """Streams ``hand`` and ``event``."""
    mocap: str = "tcp://127.0.0.1:5611"
    """Stream ``mocap``."""
    cameras: str = "tcp://127.0.0.1:5612"
    """Streams ``camera0`` to ``camera2``."""
    control: str = "tcp://127.0.0.1:5613"
    """Streams ``command``, ``tick`` and ``event``."""
    truth: str = "tcp://127.0.0.1:5614"
    """Stream ``truth``; the virtual rig only."""

    def __post_init__(self) -> None:
        for name, address in asdict(self).items():
            check_address(name, address)

    @classmethod
    def ipc(cls, directory: Path) -> "Endpoints":
        """Unix sockets in a directory, open to its owner only."""
        names = ("hand", "mocap", "cameras", "control", "truth")
        return cls(**{name: f"ipc://{directory / name}" for name in names})


def check_address(name: str, address: str) -> None:
    """Refuses an address that cannot be bound.

    Raises:
        ValueError: naming the endpoint and what is wrong.
    """
    scheme, _, place = address.partition("://")
    port = place.rpartition(":")[2]
    if scheme not in ("ipc", "tcp") or not place or (scheme == "tcp" and port not in _PORTS):
        raise ValueError(f"endpoint {name} is {address!r}; allowed: ipc://PATH or tcp://HOST:PORT, port 1 to 65535")
    if scheme == "ipc" and len(os.fsencode(place)) > IPC_LIMIT:
        raise ValueError(
            f"endpoint {name}: the socket path {place} has {len(os.fsencode(place))} bytes, at most {IPC_LIMIT} are "
            "possible; choose a shorter directory"
        )


class Publisher:
    """Binds one address and publishes the streams of one producer."""

    def __init__(self, address: str, source: str) -> None:
        """``source``: who sends, as its messages say.

        Raises:
            ValueError: if the address is none that can be bound.
            OSError: if the address is in use, or is not of this machine.
        """
        check_address(source, address)
        if _is_served(address):
            raise OSError(errno.EADDRINUSE, f"address {address} of {source} is in use: does another rig run?")
        self.source = source
        # XPUB is a PUB that also hears who subscribes, which makes start-up a handshake instead of a guess
        self._socket = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = QUEUE
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            reason = "is in use: does another rig run?" if error.errno == errno.EADDRINUSE else f"fails: {error}"
            raise OSError(error.errno, f"address {address} of {source} {reason}") from error
        self._seq = dict.fromkeys(STREAMS, 0)
        self._subscribed: set[bytes] = set()

    def send(self, stream: str, message: Message, image: bytes | None = None) -> Message:
        """Publishes a message and returns it as sent, with its sequence number and send stamp."""
        stamped = msgspec.structs.replace(message, seq=self._seq[stream], source=self.source, send_ns=now_ns())
        self._seq[stream] += 1
        parts = [stream.encode(), _ENCODER.encode(stamped)] + ([image] if image is not None else [])
        self._socket.send_multipart(parts, copy=False)
        return stamped

    def wait_for_subscribers(self, streams: Sequence[str], timeout: float) -> None:
        """Returns when each stream has a subscriber.

        Raises:
            HandshakeTimeout: naming the streams nobody listens to after ``timeout`` seconds.
        """
        deadline = now_ns() + round(timeout * NS)
        while missing := [name for name in streams if name.encode() not in self._subscribed]:
            if not self._socket.poll(max(0, (deadline - now_ns()) // 1_000_000)):
                raise HandshakeTimeout(f"nobody listens to {', '.join(missing)} of {self.source} after {timeout} s")
            notice = cast(bytes, self._socket.recv())
            (self._subscribed.add if notice[:1] == b"\x01" else self._subscribed.discard)(notice[1:])

    def close(self) -> None:
        """Unbinds."""
        self._socket.close()


@dataclass(frozen=True)
class Received:
    """A message as it arrived."""

    stream: str
    message: Message
    receive_ns: int
    image: bytes | None = None

    @property
    def age_ns(self) -> int:
        """Time since the capture."""
        return now_ns() - self.message.capture_ns


class Subscriber:
    """Connects to producers and hands out their messages, newest or in order; counts what it did not get."""

    def __init__(
        self, addresses: Sequence[str], streams: Sequence[str], queue: int = QUEUE, from_start: bool = False
    ) -> None:
        """Connects, also to producers that do not serve yet.

        Args:
            addresses: where they serve.
            streams: what to hear of them.
            queue: messages that may wait per connection.
            from_start: this subscriber is there before the producers send; what is missing before the first message of
                one that arrives counts as dropped.

        Raises:
            ValueError: if a stream is unknown.
            OSError: if an address is none to connect to.
        """
        self._from, self._from_start = " or ".join(addresses), from_start
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = queue
        self._socket.reconnect_ivl = 20
        for stream in streams:
            if stream not in STREAMS:
                raise ValueError(f"unknown stream {stream!r}; known: {', '.join(STREAMS)}")
            self._socket.subscribe(stream)
        for address in dict.fromkeys(addresses):
            try:
                self._socket.connect(address)
            except zmq.ZMQError as error:
                self._socket.close()
                raise OSError(error.errno, f"cannot connect to {address}: {error}") from error
        self._newest: dict[str, Received] = {}
        self._next_seq: dict[tuple[str, str], int] = {}
        self.received = dict.fromkeys(streams, 0)
        """Messages that arrived, by stream."""
        self.dropped = dict.fromkeys(streams, 0)
        """Messages that were sent but did not arrive, by stream: gaps after the first that came or, with
        ``from_start``, before it."""
        self.malformed = dict.fromkeys(streams, 0)
        """Messages that did not fit their type, by stream; they are not handed out."""

    def next(self, timeout: float) -> Received | None:
        """The next message of any stream in the order of arrival; None if ``timeout`` seconds pass without one."""
        deadline = now_ns() + round(timeout * NS)
        while self._socket.poll(max(0, (deadline - now_ns()) // 1_000_000)):
            if received := self._receive():
                return received
        return None

    def drain(self) -> list[Received]:
        """Everything that has arrived, in order, without waiting."""
        arrived = []
        while self._socket.poll(0):
            if received := self._receive():
                arrived.append(received)
        return arrived

    def latest(self, stream: str, max_age: float) -> Received:
        """The newest message of a stream; it may have been handed out before.

        Raises:
            StaleStream: if nothing came, the newest was captured more than ``max_age`` seconds ago, or its stamp is of
                another clock.
        """
        self.drain()
        newest = self._newest.get(stream)
        if newest is None:
            rejected = f" ({self.malformed[stream]} malformed ones refused)" if self.malformed[stream] else ""
            raise StaleStream(f"no message on stream {stream} yet from {self._from}{rejected}")
        age = newest.age_ns / NS
        if age < -CLOCK_SLACK:
            raise StaleStream(
                f"stream {stream} was captured {-age:.3f} s in the future: the clocks differ, of "
                f"{newest.message.source} and of this process; both have to run on one machine"
            )
        if age > max_age:
            raise StaleStream(f"stream {stream} is {age:.3f} s old, allowed: {max_age} s")
        return newest

    def _receive(self) -> Received | None:
        parts = cast(list[bytes], self._socket.recv_multipart())
        receive_ns = now_ns()
        stream = parts[0].decode(errors="replace")
        if stream not in self.received or len(parts) < 2:
            return None  # subscriptions are prefixes; this is another stream
        try:
            message = _DECODERS[stream].decode(parts[1])
        except msgspec.DecodeError:
            self.malformed[stream] += 1
            return None
        self.received[stream] += 1
        self._count_gap(stream, message)
        received = Received(stream, message, receive_ns, parts[2] if len(parts) > 2 else None)
        self._newest[stream] = received
        return received

    def _count_gap(self, stream: str, message: Message) -> None:
        key = (stream, message.source)
        expected = self._next_seq.get(key, 0 if self._from_start else message.seq)
        # a smaller number is a restarted producer, not a loss
        self.dropped[stream] += max(0, message.seq - expected)
        self._next_seq[key] = message.seq + 1

    def close(self) -> None:
        """Disconnects."""
        self._socket.close()


def _is_served(address: str) -> bool:
    """Whether somebody listens at a Unix socket; ZeroMQ would take it away from them without a word."""
    scheme, _, path = address.partition("://")
    if scheme != "ipc":
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


_PORTS = frozenset(map(str, range(1, 1 << 16)))
_ENCODER = msgspec.msgpack.Encoder()
_DECODERS = {stream: msgspec.msgpack.Decoder(kind) for stream, kind in STREAMS.items()}
