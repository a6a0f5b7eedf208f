"""The flight log: foreign readers, crashes."""

import json
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader, make_reader

from hardware import flightlog
from hardware.bus import Endpoints, Publisher, Received
from hardware.clock import now_ns
from hardware.flightlog import FlightLogWriter
from hardware.messages import CameraFrame, Event, HandState, JointCommand
from hardware.process import READY, Lifetime, save_config
from hardware.recorder import LINGER, Recorder, RecorderConfig

STATE = HandState(
    capture_ns=0, joint_pos=(0.1,) * 24, joint_vel=(1 / 3,) * 24, target=(1e-17,) * 20, mode="hold", force=0.5
)


def test_a_standard_reader_reads_it(tmp_path: Path) -> None:
    writer = FlightLogWriter(tmp_path / "log.mcap", {"versions": {"torch": "2"}})
    writer.add(Received("hand", STATE, receive_ns=7))
    image = CameraFrame(capture_ns=3_000_000_005, width=2, height=1)
    writer.add(Received("camera1", image, receive_ns=8, image=b"\xff\xd8jpeg"))
    writer.finish({"logged hand": "1"})
    with (tmp_path / "log.mcap").open("rb") as file:
        reader = make_reader(file)
        rows = [(schema, channel, message) for schema, channel, message in reader.iter_messages()]
        records = {record.name: record.metadata for record in reader.iter_metadata()}
    assert records == {"versions": {"torch": "2"}, "summary": {"logged hand": "1"}}
    (schema, channel, message), (image_schema, image_channel, image_message) = rows
    assert (channel.topic, channel.message_encoding, message.log_time, message.publish_time) == ("hand", "json", 7, 0)
    assert schema is not None and json.loads(schema.data)["properties"]["joint_pos"]["minItems"] == 24
    assert json.loads(message.data)["joint_vel"] == [1 / 3] * 24
    assert image_schema is not None and image_schema.name == "foxglove.CompressedImage"
    picture = json.loads(image_message.data)
    assert picture["timestamp"] == {"sec": 3, "nsec": 5} and picture["format"] == "jpeg"
    assert image_channel.topic == picture["frame_id"] == "camera1"

    log = flightlog.read(tmp_path / "log.mcap")
    assert log.complete
    hand, camera = log.messages()
    assert hand == Received("hand", STATE, 7)
    assert camera == Received("camera1", image, 8, b"\xff\xd8jpeg")


def test_a_log_is_never_overwritten(tmp_path: Path) -> None:
    FlightLogWriter(tmp_path / "log.mcap", {}).finish({})
    with pytest.raises(FileExistsError):
        FlightLogWriter(tmp_path / "log.mcap", {})


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.mcap").write_text("not a log at all, but long enough to be one")
    with pytest.raises(ValueError, match="is not a flight log"):
        flightlog.read(tmp_path / "log.mcap")


def test_every_truncation_is_readable(tmp_path: Path) -> None:
    writer = FlightLogWriter(tmp_path / "log.mcap", {"a": {"b": "c"}})
    for i in range(20):
        writer.add(Received("event", Event(capture_ns=i, kind="x", seq=i), i))
        writer.flush()
    writer.finish({})
    whole = (tmp_path / "log.mcap").read_bytes()
    counts = []
    for end in range(len(whole) // 8, len(whole), 97):
        (tmp_path / "cut.mcap").write_bytes(whole[:end])
        log = flightlog.read(tmp_path / "cut.mcap")
        assert not log.complete
        counts.append(len(list(log.messages())))
    assert counts == sorted(counts) and counts[-1] == 20


class Recording:
    """A recorder process, fed with commands at 100 Hz from here."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "flight.mcap"
        self.report = directory / "recorder.json"
        endpoints = Endpoints.ipc(directory)
        config = save_config(RecorderConfig(endpoints, str(self.path), str(self.report)), directory / "config.json")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hardware.recorder", str(config)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == READY
        self._out = Publisher(endpoints.control, "loop")
        self._out.wait_for_subscribers(["command"], 5.0)
        self.sent: list[int] = []

    def feed(self, seconds: float) -> None:
        for i in range(round(seconds * 100)):
            self._out.send("command", JointCommand(capture_ns=now_ns(), tick=i, target=(0.5,) * 20))
            self.sent.append(now_ns())
            time.sleep(0.01)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(10)
        self._out.close()
        return status


@pytest.fixture
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(tmp_path_factory.mktemp("rec"))


def test_a_killed_recorder_loses_at_most_a_quarter_second(recording: Recording) -> None:
    recording.feed(1.5)
    killed = now_ns()
    assert recording.end(signal.SIGKILL) == -signal.SIGKILL
    times = []
    with recording.path.open("rb") as file, pytest.raises((EndOfFile, struct.error)):
        for _, _, message in NonSeekingReader(file).iter_messages(log_time_order=False):
            times.append(message.log_time)
    expected = sum(sent < killed - 0.25e9 for sent in recording.sent)
    assert len(times) >= expected > 100
    assert killed - times[-1] < 0.25e9
    log = flightlog.read(recording.path)
    assert not log.complete
    assert len(list(log.messages("command"))) == len(times)
    assert log.metadata["clock"]["bridge"] == "CLOCK_MONOTONIC"


def test_the_documentation_says_how_to_read_an_unfinished_log(recording: Recording) -> None:
    recording.feed(0.5)
    recording.end(signal.SIGKILL)
    document = Path(flightlog.__file__).parents[1] / "docs" / "deployment.md"
    (code,) = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=recording.path.parent, capture_output=True, text=True, check=True
    )
    messages = list(flightlog.read(recording.path).messages())
    assert len(done.stdout.splitlines()) == len(messages) > 20


class StoppedDuringSync:
    """A lifetime that ends while the disk is slow."""

    over = False


def test_what_waited_for_a_slow_disk_is_recorded(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path_factory.mktemp("rec")
    endpoints, lifetime = Endpoints.ipc(directory), StoppedDuringSync()
    config = RecorderConfig(endpoints, str(directory / "log.mcap"), str(directory / "report.json"), sync_period=0.0)
    recorder, out = Recorder(config), Publisher(endpoints.control, "loop")
    out.wait_for_subscribers(["command"], 5.0)

    def slow(descriptor: int) -> None:
        if not lifetime.over:
            for i in range(40):
                out.send("command", JointCommand(capture_ns=now_ns(), tick=i, target=None))
            time.sleep(2 * LINGER)
            lifetime.over = True

    monkeypatch.setattr("os.fsync", slow)
    recorder.run(cast(Lifetime, lifetime))
    assert recorder.close().logged["command"] == 40
    out.close()


def test_a_recorder_that_is_told_to_stop_loses_nothing(recording: Recording) -> None:
    recording.feed(0.3)
    assert recording.end(signal.SIGTERM) == 0
    log = flightlog.read(recording.path)
    assert log.complete
    assert len(list(log.messages("command"))) == len(recording.sent)
    report = json.loads(recording.report.read_text())
    assert report["logged"]["command"] == len(recording.sent)
    assert report["dropped"]["command"] == 0
