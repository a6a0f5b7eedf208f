"""The wire and the bus."""

import socket
import string
import time
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.bus import Endpoints, HandshakeTimeout, Publisher, StaleStream, Subscriber, check_address
from hardware.clock import now_ns
from hardware.flightlog import json_schema
from hardware.messages import STREAMS, Body, ControlTick, Event, HandState, JointCommand, MocapFrame, Truth

finite = st.floats(allow_nan=False, allow_infinity=False)


def build(kind: type) -> st.SearchStrategy:
    """A strategy for a message type, made from its own description."""
    return of_type(msgspec.inspect.type_info(kind))


def of_type(info: msgspec.inspect.Type) -> st.SearchStrategy:
    match info:
        case msgspec.inspect.StructType():
            return st.builds(info.cls, **{field.name: of_type(field.type) for field in info.fields})
        case msgspec.inspect.VarTupleType():
            item = of_type(info.item_type)
            least, most = info.min_length or 0, info.max_length or 4
            return st.lists(item, min_size=least, max_size=most).map(tuple)
        case msgspec.inspect.TupleType():
            return st.tuples(*map(of_type, info.item_types))
        case msgspec.inspect.DictType():
            return st.dictionaries(st.text(string.ascii_letters), of_type(info.value_type), max_size=3)
        case msgspec.inspect.UnionType():
            return st.one_of(*map(of_type, info.types))
        case msgspec.inspect.FloatType():
            return finite
        case msgspec.inspect.IntType():
            return st.integers(-(2**53) if info.ge is None else info.ge, min(2**53, info.le or 2**53))
        case msgspec.inspect.StrType():
            return st.text()
        case msgspec.inspect.LiteralType():
            return st.sampled_from(info.values)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
    raise AssertionError(f"a message has a field of a kind that is not drawn yet: {info}")


@pytest.mark.parametrize("stream", ["hand", "mocap", "camera0", "command", "tick", "event", "truth"])
@given(data=st.data())
@settings(max_examples=40)
def test_messages_survive_the_wire_and_the_log_to_the_bit(stream: str, data: st.DataObject) -> None:
    message = data.draw(build(STREAMS[stream]))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=STREAMS[stream]) == message
    assert msgspec.json.decode(msgspec.json.encode(message), type=STREAMS[stream]) == message


@pytest.mark.parametrize("stream", STREAMS)
def test_schemas_hold_no_references(stream: str) -> None:
    schema = json_schema(STREAMS[stream])
    assert schema["type"] == "object"
    assert b"$ref" not in msgspec.json.encode(schema)


def command(tick: int = 0) -> JointCommand:
    return JointCommand(capture_ns=now_ns(), tick=tick, target=(0.0,) * 20)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_cannot_be_sent(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        JointCommand(capture_ns=0, tick=0, target=(bad,) * 20)
    with pytest.raises(ValueError, match="not finite"):
        MocapFrame(capture_ns=0, markers={"a": (0.0, bad, 0.0)}, block=None)
    with pytest.raises(ValueError, match="not finite"):
        Truth(capture_ns=0, joint_pos=(0.0,) * 24, block=Body((0.0, bad, 0.0), (1.0, 0.0, 0.0, 0.0)))
    with pytest.raises(ValueError, match="not finite"):
        HandState(capture_ns=0, joint_pos=(), joint_vel=(), target=(), mode="hold", force=bad)
    with pytest.raises(ValueError, match="not finite"):
        ControlTick(capture_ns=0, tick=0, episode=0, mode="hold", timings={"read": bad})


@pytest.mark.parametrize("name", ["seq", "capture_ns", "send_ns"])
@pytest.mark.parametrize("value", [-1, 2**32])
def test_numbers_that_no_log_can_hold_are_refused_by_the_receiver(name: str, value: int) -> None:
    event = msgspec.structs.replace(Event(capture_ns=0, kind="x"), **{name: value})
    encoded = msgspec.msgpack.encode(event)
    if value < 0 or name == "seq":
        with pytest.raises(msgspec.ValidationError, match=name):
            msgspec.msgpack.decode(encoded, type=Event)
    else:
        assert msgspec.msgpack.decode(encoded, type=Event) == event


def test_a_wrong_number_of_joints_is_refused_by_the_receiver() -> None:
    short = HandState(capture_ns=0, joint_pos=(0.0,), joint_vel=(), target=(), mode="hold", force=1.0)
    with pytest.raises(msgspec.ValidationError, match="length"):
        msgspec.msgpack.decode(msgspec.msgpack.encode(short), type=HandState)


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"ipc://{tmp_path_factory.mktemp('bus')}/control"


def test_messages_arrive_in_order_with_stamps_and_images(address: str) -> None:
    out, sub = Publisher(address, "loop"), Subscriber([address], ["command", "event"])
    out.wait_for_subscribers(["command", "event"], 2.0)
    before = now_ns()
    for i in range(3):
        out.send("command", command(i), image=b"pixels" if i == 2 else None)
    received = [sub.next(1.0) for _ in range(3)]
    assert [r.message.tick for r in received if r and isinstance(r.message, JointCommand)] == [0, 1, 2]
    last = received[2]
    assert last is not None and last.image == b"pixels" and last.message.source == "loop"
    assert before <= last.message.capture_ns <= last.message.send_ns <= last.receive_ns <= now_ns()
    assert sub.next(0.01) is None
    out.close()
    sub.close()


def test_gaps_are_counted_per_source_and_restarts_are_no_gap(address: str) -> None:
    context = zmq.Context.instance()
    raw = context.socket(zmq.XPUB)
    raw.bind(address)
    sub = Subscriber([address], ["event"])
    assert raw.recv() == b"\x01event"

    def send(seq: int, source: str) -> None:
        event = Event(capture_ns=now_ns(), kind="x", seq=seq, source=source)
        raw.send_multipart([b"event", msgspec.msgpack.encode(event)])

    for seq, source in ((0, "a"), (1, "a"), (5, "a"), (9, "b"), (10, "b"), (6, "a"), (0, "a"), (1, "a")):
        send(seq, source)
    raw.send_multipart([b"event", b"rubbish"])
    raw.send_multipart([b"eventful", b"another stream"])
    time.sleep(0.1)
    assert len(sub.drain()) == 8
    assert sub.dropped == {"event": 3}
    assert sub.malformed == {"event": 1}
    raw.close(linger=0)
    sub.close()


def test_a_subscriber_that_was_there_first_counts_losses_from_the_start(address: str) -> None:
    raw = zmq.Context.instance().socket(zmq.XPUB)
    raw.bind(address)
    first, late = (Subscriber([address], ["event"], from_start=start) for start in (True, False))
    time.sleep(0.1)
    event = Event(capture_ns=now_ns(), kind="x", seq=20, source="a")
    raw.send_multipart([b"event", msgspec.msgpack.encode(event)])
    assert first.next(1.0) is not None and late.next(1.0) is not None
    assert (first.dropped, late.dropped) == ({"event": 20}, {"event": 0})
    raw.close(linger=0)
    first.close()
    late.close()


def test_a_stamp_of_another_clock_is_not_fresh(address: str) -> None:
    out, sub = Publisher(address, "loop"), Subscriber([address], ["command"])
    out.wait_for_subscribers(["command"], 2.0)
    out.send("command", JointCommand(capture_ns=now_ns() + 3_600 * 10**9, tick=0, target=None))
    time.sleep(0.05)
    with pytest.raises(StaleStream, match=r"stream command was captured 3599\.\d+ s in the future: the clocks differ"):
        sub.latest("command", 1.0)
    out.close()
    sub.close()


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_an_address_in_use_is_named(transport: str, address: str) -> None:
    if transport == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    out = Publisher(address, "rig")
    with pytest.raises(OSError, match=f"{address} of rig is in use: does another rig run"):
        Publisher(address, "rig")
    out.close()
    with pytest.raises(OSError, match="no-such-device"):
        Publisher("tcp://no-such-device:5610", "rig")


def test_a_full_queue_drops_and_the_loss_is_counted(address: str) -> None:
    out, sub = Publisher(address, "loop"), Subscriber([address], ["truth"], queue=10)
    out.wait_for_subscribers(["truth"], 2.0)
    block = Body((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
    truth = Truth(capture_ns=0, joint_pos=(0.0,) * 24, block=block)
    for _ in range(5000):
        out.send("truth", truth)
    time.sleep(0.1)
    while sub.next(0.2) is not None:
        pass
    arrived = sub.received["truth"]
    assert arrived < 5000
    out.send("truth", truth)
    assert sub.next(1.0) is not None
    assert sub.dropped["truth"] == 5000 - arrived
    out.close()
    sub.close()


def test_nothing_stale_is_served_as_fresh(address: str) -> None:
    out, sub = Publisher(address, "loop"), Subscriber([address], ["command"])
    with pytest.raises(StaleStream, match="no message on stream command"):
        sub.latest("command", 1.0)
    out.wait_for_subscribers(["command"], 2.0)
    for i in range(5):
        out.send("command", command(i))
    time.sleep(0.05)
    newest = sub.latest("command", 1.0).message
    assert isinstance(newest, JointCommand) and newest.tick == 4
    with pytest.raises(StaleStream, match=r"stream command is 0\.\d+ s old, allowed: 0\.01 s"):
        sub.latest("command", 0.01)
    assert sub.latest("command", 10.0).message == newest
    out.close()
    sub.close()


def test_nobody_listening_is_an_error(address: str) -> None:
    out = Publisher(address, "loop")
    with pytest.raises(HandshakeTimeout, match="nobody listens to command of loop"):
        out.wait_for_subscribers(["command"], 0.05)
    out.close()


@pytest.mark.parametrize(
    "address", ["tcp:/127.0.0.1", "inproc://x", "ipc://", "127.0.0.1:80", "tcp://localhost", "tcp://127.0.0.1:99999"]
)
def test_wrong_addresses_are_named(address: str) -> None:
    with pytest.raises(ValueError, match="endpoint hand"):
        check_address("hand", address)


def test_a_path_too_long_for_a_socket_is_named() -> None:
    longest = "/" + "x" * 106
    check_address("hand", f"ipc://{longest}")
    with pytest.raises(ValueError, match="108 bytes, at most 107"):
        check_address("hand", f"ipc://{longest}x")
    with pytest.raises(ValueError, match="shorter directory"):
        Endpoints.ipc(Path("/tmp") / ("x" * 110))


def test_an_address_to_bind_only_is_none_to_connect_to() -> None:
    with pytest.raises(OSError, match=r"cannot connect to tcp://\*:5999"):
        Subscriber(["tcp://*:5999"], ["hand"])


def test_unknown_streams_are_named() -> None:
    with pytest.raises(ValueError, match="unknown stream 'joints'"):
        Subscriber([], ["joints"])
