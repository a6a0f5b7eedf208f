"""The flight log: one MCAP file with every stream, its schemas and what was running.

Structured streams are JSON with a JSON schema and images are ``foxglove.CompressedImage``, so that standard viewers
open the file. Python writes the shortest decimal that reads back as the same double: numbers survive to the bit.
``log_time`` is the receive stamp and ``publish_time`` the capture stamp, both on the bridge clock.
"""

import base64
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
from mcap.exceptions import EndOfFile, McapError
from mcap.reader import McapReader, NonSeekingReader, SeekingReader
from mcap.writer import Writer

from hardware.bus import Received
from hardware.clock import NS
from hardware.messages import STREAMS, CameraFrame, Message

CHUNK_SIZE = 64 * 1024

CUT = (EndOfFile, struct.error)
"""How the reader ends in a file that was cut off: between two records' parts, or in the middle of a number."""


class CompressedImage(msgspec.Struct):
    """Foxglove's well-known image, followed by the stamps of ours."""

    timestamp: dict[str, int]
    frame_id: str
    data: str
    """The image, base64."""
    format: str
    header: CameraFrame


class FlightLogWriter:
    """Appends to a flight log; what was flushed survives the death of the process."""

    def __init__(self, path: Path, metadata: Mapping[str, Mapping[str, str]]) -> None:
        """Creates the file; ``metadata`` holds one record of key and value per name.

        Raises:
            FileExistsError: if the file exists; a log is never overwritten.
        """
        self._file: IO[bytes] = path.open("xb")
        self._writer = Writer(self._file, chunk_size=CHUNK_SIZE)
        self._writer.start(profile="", library="inhand")
        self._channels = {stream: self._register(stream) for stream in STREAMS}
        for name, record in metadata.items():
            self._writer.add_metadata(name, dict(record))
        self.logged = dict.fromkeys(STREAMS, 0)
        """Messages written, by stream."""
        self.flush()

    def _register(self, stream: str) -> int:
        kind = STREAMS[stream]
        name, schema = f"inhand.{kind.__name__}", json_schema(kind)
        if kind is CameraFrame:
            name, schema = "foxglove.CompressedImage", json_schema(CompressedImage)
            schema["properties"]["data"]["contentEncoding"] = "base64"
        schema_id = self._writer.register_schema(name, "jsonschema", msgspec.json.encode(schema))
        return self._writer.register_channel(stream, "json", schema_id)

    def add(self, received: Received) -> None:
        """Appends a message as it was received."""
        message = received.message
        payload: object = message
        if isinstance(message, CameraFrame):
            seconds, nanoseconds = divmod(message.capture_ns, NS)
            image = base64.b64encode(received.image or b"").decode()
            stamp = {"sec": seconds, "nsec": nanoseconds}
            payload = CompressedImage(stamp, received.stream, image, message.encoding, message)
        self._writer.add_message(
            self._channels[received.stream],
            log_time=received.receive_ns,
            data=msgspec.json.encode(payload),
            publish_time=message.capture_ns,
            sequence=message.seq,
        )
        self.logged[received.stream] += 1

    def flush(self) -> None:
        """Hands everything to the operating system: the death of this process loses nothing of it."""
        self._writer.flush()

    def sync(self) -> None:
        """Waits until everything is on the disk: a power cut loses nothing of it."""
        self.flush()
        os.fsync(self._file.fileno())

    def finish(self, summary: Mapping[str, str]) -> None:
        """Adds a last metadata record ``summary``, writes the index and closes the file."""
        self._writer.add_metadata("summary", dict(summary))
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@dataclass(frozen=True)
class FlightLog:
    """A flight log opened for reading."""

    path: Path
    complete: bool
    """False if the recorder died before it closed the file: there is no index, and the last moments are missing."""
    metadata: dict[str, dict[str, str]]

    def messages(self, *streams: str) -> Iterator[Received]:
        """The messages of the named streams, or of all, in the order in which they were recorded."""
        wanted = streams or tuple(STREAMS)
        with self.path.open("rb") as file:
            reader = NonSeekingReader(file)  # the seeking one would hold all messages at once
            try:
                for _, channel, message in reader.iter_messages(topics=wanted, log_time_order=False):
                    yield _decode(channel.topic, message.data, message.log_time)
            except CUT:
                if self.complete:
                    raise


def read(path: Path) -> FlightLog:
    """Opens a flight log, also one whose recorder was killed.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no MCAP file.
    """
    metadata: dict[str, dict[str, str]] = {}
    with path.open("rb") as file:
        complete = _is_complete(file)
        file.seek(0)
        try:
            for record in _reader(file, complete).iter_metadata():
                metadata[record.name] = dict(record.metadata)
        except CUT:
            pass
        except McapError as error:
            raise ValueError(f"{path} is not a flight log: {error}") from error
    return FlightLog(path, complete, metadata)


def _is_complete(file: IO[bytes]) -> bool:
    try:
        return SeekingReader(file).get_summary() is not None
    except (McapError, OSError, ValueError, struct.error):  # a truncated file ends in anything
        return False


def _reader(file: IO[bytes], complete: bool) -> McapReader:
    return SeekingReader(file) if complete else NonSeekingReader(file)


def _decode(stream: str, data: bytes, receive_ns: int) -> Received:
    kind: type[Message] = STREAMS[stream]
    if kind is not CameraFrame:
        return Received(stream, msgspec.json.decode(data, type=kind), receive_ns)
    image = msgspec.json.decode(data, type=CompressedImage)
    return Received(stream, image.header, receive_ns, base64.b64decode(image.data))


def json_schema(kind: type) -> dict:
    """The JSON schema of a type without references, which not every viewer follows."""
    (top,), components = msgspec.json.schema_components([kind])

    def inline(node: object) -> object:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                return inline(components[reference.removeprefix("#/$defs/")])
            return {key: inline(value) for key, value in node.items()}
        if isinstance(node, list):
            return [inline(item) for item in node]
        return node

    schema = inline(top)
    assert isinstance(schema, dict)
    return schema
