"""The parts of the protocol by themselves: whatever bytes come, and whatever the network does to packets."""

from __future__ import annotations

import time
from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like._remote import fields, speech
from olympipe_like._remote.envelope import CHUNK_BYTES, SIZE, Envelope, Kind, ProtocolError, WrongProtocol, open_packet
from olympipe_like._remote.session import Assembly, Session, with_length, without_length

TOKEN = bytes(range(16))

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back_as_they_were(value):
    assert fields.unpack(fields.pack(value)) == value


def test_ranges_and_columns_come_back_as_they_were():
    value = (range(3, 9, 2), array("q", [1, -1]))

    assert fields.unpack(fields.pack(value)) == value


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, open, [lambda: 0]])
def test_anything_else_is_refused_where_it_is_written(value):
    with pytest.raises(TypeError, match="is no plain value"):
        fields.pack(value)


@pytest.mark.fault("B08")
@settings(max_examples=1000)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_protocol_error(data):
    try:
        fields.unpack(data)
    except ProtocolError:
        pass


@pytest.mark.fault("B08")
@settings(max_examples=500)
@given(plain, st.integers(0, 10_000), st.integers(0, 255))
def test_a_value_with_a_byte_changed_is_a_value_or_a_protocol_error(value, at, byte):
    data = bytearray(fields.pack(value))
    data[at % len(data)] = byte
    try:
        fields.unpack(data)
    except ProtocolError:
        pass


def test_a_value_nested_without_end_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="nested too deeply"):
        fields.unpack(b"(\x00\x00\x00\x01" * 100 + b"N")


def test_a_value_that_claims_billions_of_members_takes_no_memory():
    with pytest.raises(ProtocolError, match="more values than there are bytes"):
        fields.unpack(b"(\xff\xff\xff\xff" + b"N" * 100)


@pytest.mark.fault("B08")
@settings(max_examples=1000)
@given(st.lists(st.binary(max_size=SIZE + 8), max_size=4))
def test_any_frames_are_a_packet_or_a_protocol_error(frames):
    try:
        open_packet(frames)
    except ProtocolError:
        pass


@pytest.mark.fault("B08")
@settings(max_examples=1000)
@given(st.integers(0, SIZE - 1), st.integers(0, 255), st.binary(max_size=50))
def test_an_envelope_with_a_byte_changed_is_a_packet_or_a_protocol_error(at, byte, data):
    packed = bytearray(Envelope(Kind.BEGIN, 3, 7, 5, TOKEN).pack(len(data)))
    packed[at] = byte
    try:
        open_packet([bytes(packed), data])
    except ProtocolError:
        pass


@pytest.mark.slow
@pytest.mark.fault("B08")
def test_a_million_byte_strings_are_read_or_refused_fast():
    random = Random(1)
    strings = [random.randbytes(random.randrange(2 * SIZE)) for _ in range(10_000)]
    good = Envelope(Kind.BEGIN, 3, 7, 5, TOKEN).pack(50)
    began = time.process_time()
    for number in range(1_000_000):
        data = strings[number % len(strings)]
        head = good[: number % SIZE] + data if number % 2 else data
        for read in (lambda: open_packet([head, data]), lambda: fields.unpack(data)):  # noqa: B023 - called at once
            try:
                read()
            except ProtocolError:
                pass

    assert time.process_time() - began < 50  # 1 ms each would be 2000


def test_another_version_is_told_from_rubbish():
    packed = bytearray(Envelope(Kind.HELLO).pack(0))
    packed[4] = 9

    with pytest.raises(WrongProtocol, match="speaks protocol 9"):
        open_packet([bytes(packed), b""])


@pytest.mark.fault("B08")
@settings(max_examples=300)
@given(plain)
def test_any_values_are_a_message_or_a_protocol_error(value):
    for read in (
        lambda: speech.unpack(fields.pack(value)),
        lambda: speech.unpack_hello(fields.pack(value)),
        lambda: speech.unpack_answer(0, value if isinstance(value, tuple) else (value,), 0),
        lambda: speech.unpack_ended(value if isinstance(value, tuple) else (value,)),
        lambda: speech.one_text((value,)),
    ):
        try:
            read()
        except ProtocolError:
            pass


def test_what_machines_say_does_no_harm_on_a_terminal():
    assert speech.one_text(("\x1b[2Jowned\nbell\x07",)) == "?[2Jowned\nbell?"


# -- sessions ---------------------------------------------------------------------------------------------------------

messages = st.lists(st.binary(max_size=100) | st.integers(1, 3).map(lambda n: bytes([n]) * n * CHUNK_BYTES), max_size=8)
# What happens to each packet on its way: it arrives, it is lost with its connection, it arrives twice.
fates = st.lists(
    st.sampled_from(["arrives", "arrives", "arrives", "cut", "twice", "acknowledgement lost"]), max_size=200
)


@pytest.mark.fault("N07")
@settings(max_examples=300, deadline=None)
@given(messages, fates)
def test_every_message_arrives_once_and_in_order_whatever_the_network_does(sent, fates):
    sender, receiver = Session(TOKEN, 0.0), Session(TOKEN, 0.0)
    assembly = Assembly(1 << 30)
    arrived = []
    waiting = [packet for data in sent for packet in sender.cut(1, with_length(b"body", [data]))]
    fate = iter(fates)

    def deliver(packet):
        data = bytes(packet.data)
        envelope = open_packet([sender.envelope(packet), data])
        if receiver.receive(envelope, 0.0) and (pieces := assembly.add(envelope.kind, data)) is not None:
            arrived.append(b"".join(without_length(pieces)[1]))

    while waiting:
        packet = waiting.pop(0)
        match next(fate, "arrives"):
            case "cut":  # all that was on its way is lost; the other side says how far it heard
                waiting = sender.resume(receiver.heard, 0.0)
            case "twice":
                deliver(packet)
                deliver(packet)
            case "acknowledgement lost":
                deliver(packet)
            case _:
                deliver(packet)
                sender.acknowledge(receiver.heard)

    assert arrived == sent
    sender.acknowledge(receiver.heard)
    assert sender.unheard_bytes == 0


def test_a_gap_and_an_impossible_acknowledgement_are_protocol_errors():
    session = Session(TOKEN, 0.0)

    with pytest.raises(ProtocolError, match="packet 2 after 0"):
        session.receive(Envelope(Kind.BEGIN, 1, 2, 0, TOKEN), 0.0)
    with pytest.raises(ProtocolError, match="heard packet 5 of 0"):
        session.receive(Envelope(Kind.BEAT, heard=5, token=TOKEN), 0.0)


def test_large_buffers_are_cut_and_not_copied():
    array_like = bytearray(3 * CHUNK_BYTES + 5)
    session = Session(TOKEN, 0.0)

    _, *packets = session.cut(1, with_length(b"body", [array_like]))

    assert [len(packet.data) for packet in packets] == [CHUNK_BYTES] * 3 + [5]
    assert all(packet.data.obj is array_like for packet in packets)


def test_what_arrived_is_handed_on_without_a_copy():
    assembly = Assembly(1 << 30)
    sent = Session(TOKEN, 0.0).cut(1, with_length(b"body", [bytes(3 * CHUNK_BYTES)]))
    arrived = [bytes(packet.data) for packet in sent]

    *_, pieces = [assembly.add(packet.kind, data) for packet, data in zip(sent, arrived, strict=True)]

    _, payload = without_length(pieces)
    assert [piece.obj for piece in payload] == arrived[1:]
    assert all(piece.obj is data for piece, data in zip(payload, arrived[1:], strict=True))


@pytest.mark.parametrize("size", [0, 1, 100, CHUNK_BYTES // 4, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1])
@pytest.mark.parametrize("body", [b"", b"x", b"x" * CHUNK_BYTES * 2])
def test_body_and_payload_are_told_apart_at_any_size(size, body):
    session, assembly = Session(TOKEN, 0.0), Assembly(1 << 30)
    pieces = None
    for packet in session.cut(1, with_length(body, [bytes(size), b"end"])):
        assert pieces is None
        assert len(packet.data) <= CHUNK_BYTES
        pieces = assembly.add(packet.kind, packet.data)

    found, payload = without_length(pieces)
    assert found == body
    assert b"".join(payload) == bytes(size) + b"end"


@settings(max_examples=500)
@given(st.lists(st.tuples(st.sampled_from([Kind.BEGIN, Kind.MORE]), st.binary(max_size=30)), max_size=6))
def test_any_pieces_are_a_message_or_a_protocol_error(packets):
    assembly = Assembly(1000)
    try:
        for kind, data in packets:
            pieces = assembly.add(kind, data)
            if pieces is not None:
                without_length(pieces)
    except ProtocolError:
        pass
