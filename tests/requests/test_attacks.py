"""A client that does not keep to the protocol is thrown out; the broker, its workers and other clients go on."""

from __future__ import annotations

import pytest

from olympipe_like._remote import temporary
from olympipe_like._remote.speech import Says, pack
from olympipe_like.requests import Client
from tests.remote.attacks import Peer

pytestmark = pytest.mark.timeout(60)


def same(value):
    return value


@pytest.fixture
def peer(broker, address):
    own, hub = temporary.visitor_keys(address)
    made = Peer(address, hub, own)
    yield made
    made.close()


BAD = {
    "a frame for a worker": [(pack(Says.RUN, 1), ())],
    "an answer of a worker": [(pack(Says.ANSWERED, 1), ())],
    "an outcome": [(pack(Says.TOLD, (1,), (3,)), (b"abc",))],
    "the same request twice": [(pack(Says.ASK, (1,), (1,)), (b"a",)), (pack(Says.ASK, (1,), (1,)), (b"a",))],
    "the same request twice at once": [(pack(Says.ASK, (1, 1), (1, 1)), (b"aa",))],
    "fewer bytes than it says": [(pack(Says.ASK, (1,), (5,)), (b"a",))],
    "a length below 0": [(pack(Says.ASK, (1, 2), (2, -1)), (b"a",))],
    "numbers without lengths": [(pack(Says.ASK, (1, 2), (1,)), (b"a",))],
    "a number that is a text": [(pack(Says.ASK, ("1",), (1,)), (b"a",))],
    "nothing": [(pack(Says.ASK), ())],
    "no requests": [(pack(Says.ASK, (), ()), ())],
    "a withdrawal of something": [(pack(Says.WITHDRAW, 1), ())],
    "too many requests": [(pack(Says.ASK, tuple(range(100_001)), (0,) * 100_001), ())],
}


@pytest.mark.parametrize("messages", BAD.values(), ids=BAD.keys())
def test_a_client_that_breaks_the_protocol_is_thrown_out(broker, work, address, peer, messages):
    peer.greet(workers=0)

    for body, payload in messages:
        peer.say(1, body, payload)

    assert peer.is_thrown_out()
    work(same)
    assert broker.apply(1) == 1
    with Client(address) as client:
        assert client.apply(2) == 2


def test_a_request_that_is_no_pickle_is_its_own_failure(broker, work, address, peer):
    work(same)
    assert broker.apply(1) == 1
    peer.greet(workers=0)  # not before: it gives no signs of life, and counts as lost after a second

    peer.say(1, pack(Says.ASK, (0,), (7,)), (b"rubbish",))

    _, (numbers, _) = peer.wait_for(Says.TOLD)
    assert numbers == (0,)
    assert broker.apply(2) == 2
