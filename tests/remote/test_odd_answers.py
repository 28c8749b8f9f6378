"""An allowed worker whose messages are well formed and make no sense: it is thrown out, and no item is lost by it."""

from __future__ import annotations

import pytest

from olympipe_like import Pipeline, StageFailed, WorkerLost
from olympipe_like._remote import fields, temporary
from olympipe_like._remote.envelope import Kind
from olympipe_like._remote.speech import Says, pack
from tests.remote.attacks import Peer
from tests.remote.test_machines import consume  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(60)


def answer(number, **changes):
    values = {
        "lengths": None,
        "length": 0,
        "upto": (1,),
        "failure": None,
        "counts": ((1, 0, 1, 0, 0, 0),),
        "seconds": 0.0,
        "more": False,
        "done": False,
        "records": (),
        "rss": 0,
        **changes,
    }
    return pack(Says.ANSWERED, number, *values.values())


# Each: what is said on a channel whose worker was started and is ready, and has frame `number` in hand.
ODD = {
    "ready twice": lambda number: [pack(Says.READY, 0)],
    "broken after it was ready": lambda number: [pack(Says.BROKEN, b"")],
    "refused after it was ready": lambda number: [pack(Says.REFUSED, "no")],
    "started twice": lambda number: [pack(Says.STARTED, 5)],
    "a timeout where there is none": lambda number: [pack(Says.ENDED, -9, 7, 0, True, False)],
    "an excuse where there is none": lambda number: [pack(Says.ENDED, -9, 7, 0, False, True)],
    "the death of an item below all": lambda number: [pack(Says.ENDED, -9, 7, -5, False, False)],
    "more items than it was given": lambda number: [answer(number, lengths=(9,), length=2**40, upto=(1,))],
    "a part where there are none": lambda number: [answer(number, more=True)],
    "the end where there is none": lambda number: [answer(number, done=True)],
    "an empty path": lambda number: [answer(number, upto=())],
    "a path behind the frame": lambda number: [answer(number, upto=(2**40,))],
    "a path before the frame": lambda number: [answer(number, upto=(-7,))],
    "counts of nothing": lambda number: [answer(number, counts=())],
    "counts of other operators": lambda number: [answer(number, counts=((1, 0, 1, 0, 0, 0),) * 3)],
    "counts that are too many": lambda number: [answer(number, counts=((99, 0, 99, 0, 0, 0),))],
    "a failure that is rubbish": lambda number: [answer(number, failure=b"rubbish", counts=((1, 0, 0, 1, 0, 0),))],
    "a record that is rubbish": lambda number: [answer(number, records=(b"rubbish",))],
    "a log record that is rubbish": lambda number: [pack(Says.LOGGED, b"rubbish"), pack(Says.LOGGED, b"")],
}


@pytest.fixture
def comes(address):
    """Connects another machine that is allowed to."""
    hub, own = temporary._pair(address)
    peers = []

    def come():
        peers.append(Peer(address, hub.public, own))
        return peers[-1]

    yield come
    for each in peers:
        each.close()


@pytest.fixture
def evil(comes):
    return comes()


def take_a_frame(evil):
    """Become a worker that is ready and has been given a frame; return its channel and the frame's number."""
    evil.greet()
    channel, _ = evil.wait_for(Says.START)
    evil.say(channel, pack(Says.STARTED, 4711))
    evil.say(channel, pack(Says.READY, 0))
    _, (number, *_) = evil.wait_for(Says.RUN)
    return channel, number


@pytest.mark.fault("B07")
@pytest.mark.parametrize("what", ODD)
def test_what_makes_no_sense_costs_the_peer_its_place_and_no_item(machines, hub, consume, evil, what):  # noqa: F811
    consumer = consume(Pipeline(range(40)).task(lambda n: n, executor=hub()))
    channel, number = take_a_frame(evil)

    for body in ODD[what](number):
        evil.say(channel, body, (b"rubbishes",) if "more items" in what else ())

    assert evil.is_thrown_out()
    machines(1)
    assert consumer.finish(15) == list(range(40))


def say_nonsense(evil, channel, number):
    evil.say(channel, answer(number, more=True))


def announce_too_much(evil, channel, _):
    data = (1 << 40).to_bytes(8, "big") + bytes(100)
    evil.send(evil.session.envelope(evil.session._put(Kind.BEGIN, channel, data)), data)


@pytest.mark.fault("B07")
@pytest.mark.parametrize("respond", [say_nonsense, announce_too_much])
def test_an_item_whose_answers_never_make_sense_fails_the_run_as_if_it_ended_its_workers(
    hub,
    consume,  # noqa: F811
    comes,
    respond,
):
    consumer = consume(Pipeline(["it"]).task(str, executor=hub(), name="work", worker_retries=1))

    # Twice for the item, twice more for what is to be said of it.
    for _ in range(4):
        evil = comes()
        channel, number = take_a_frame(evil)
        respond(evil, channel, number)
        assert evil.is_thrown_out()

    with pytest.raises(WorkerLost, match=r"stage 1/1 'work': .* gave up after 2 attempts"):
        consumer.finish(15)


@pytest.mark.fault("B07")
def test_only_the_item_whose_answers_make_no_sense_is_dropped(machines, hub, consume, comes):  # noqa: F811
    consumer = consume(Pipeline(range(3)).task(str, executor=hub(), worker_retries=1, on_error="skip"))

    for _ in range(2):
        evil = comes()
        channel, number = take_a_frame(evil)
        evil.say(channel, answer(number, more=True))
        assert evil.is_thrown_out()

    machines(1)
    assert consumer.finish(15) == ["1", "2"]


@pytest.mark.fault("B07")
def test_the_death_of_an_item_that_is_not_in_the_frame_is_nobodys(machines, hub, consume, evil):  # noqa: F811
    consumer = consume(Pipeline(range(40)).task(lambda n: n, executor=hub()))
    channel, _ = take_a_frame(evil)

    evil.say(channel, pack(Says.ENDED, -9, 7, 2**40, False, False))

    machines(1)
    assert consumer.finish(15) == list(range(40))


@pytest.mark.fault("B07")
def test_items_that_are_no_pickle_are_told_with_their_stage(hub, consume, evil):  # noqa: F811
    consumer = consume(Pipeline(range(40)).task(lambda n: n, executor=hub(), name="work"))
    channel, number = take_a_frame(evil)

    evil.say(channel, answer(number, lengths=(7,), length=1, counts=((1, 1, 0, 0, 0, 0),)), (b"rubbish",))

    with pytest.raises(StageFailed, match="stage 1/1 'work': result was sent, but cannot be rebuilt where it arrived"):
        consumer.finish(15)


# Paths that came with msgpack items: columns of other lengths, or none.
PATHS = [5, (5,), ("abc",), (range(3),), (range(-(2**62), 2**62),), ((1, 2),), (("x",),), ({},)]


@pytest.mark.fault("B07")
@pytest.mark.parametrize("paths", PATHS, ids=repr)
def test_paths_that_are_none_cost_the_peer_its_place(machines, hub, consume, evil, paths):  # noqa: F811
    consumer = consume(Pipeline(range(40)).task(lambda n: n, executor=hub(serializer="msgpack")))
    channel, number = take_a_frame(evil)
    parts = (fields.pack((paths, (2,))), b"v\x05")

    evil.say(channel, answer(number, lengths=tuple(map(len, parts)), length=1, counts=((1, 1, 0, 0, 0, 0),)), parts)

    assert evil.is_thrown_out()
    machines(1)
    assert consumer.finish(15) == list(range(40))
