"""A client's messenger by itself, without a broker: what it asks at once, and whose turn it is."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from olympipe_like._remote import speech
from olympipe_like._remote.clients import MOST_ASKED
from olympipe_like._remote.messenger import Messenger
from olympipe_like._remote.speech import Says


class FakeVisit:
    """Keeps what would be sent to the broker."""

    session = object()
    most_bytes = 1000

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.withdrawn: list[int] = []

    def send(self, channel: int, body: bytes, payload: list[bytes] | None = None) -> None:
        says, values = speech.unpack(body)
        if says is Says.WITHDRAW:
            self.withdrawn.append(channel)
        else:
            assert says is Says.ASK
            assert len(payload or ()) == len(values[0])
            self.asked += [(channel, number) for number in values[0]]


@pytest.fixture
def messenger() -> Iterator[Messenger]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made = Messenger(ours)
        made._visit = FakeVisit()
        yield made


def answer(messenger: Messenger, channel: int, *numbers: int) -> None:
    lengths = (1,) * len(numbers)
    messenger.said(channel, speech.pack(Says.TOLD, numbers, lengths), [memoryview(b"v" * len(numbers))])


def test_no_more_is_asked_at_once_than_a_broker_takes_of_one_client(messenger):
    requests = [(number, b"x") for number in range(MOST_ASKED + 3)]

    messenger._ask(1, requests)
    first = list(messenger._visit.asked)
    answer(messenger, 1, 0, 1)

    assert first == [(1, number) for number in range(MOST_ASKED)]
    assert messenger._visit.asked[MOST_ASKED:] == [(1, MOST_ASKED), (1, MOST_ASKED + 1)]


def test_calls_that_wait_for_room_have_their_turn(messenger):
    messenger._ask(1, [(number, b"x") for number in range(MOST_ASKED + 1000)])
    messenger._ask(2, [(0, b"short")])

    answer(messenger, 1, 0)
    answer(messenger, 1, 1)

    assert Counter(channel for channel, _ in messenger._visit.asked[MOST_ASKED:]) == {1: 1, 2: 1}


def test_what_is_withdrawn_makes_room_and_is_not_asked(messenger):
    messenger._ask(1, [(number, b"x") for number in range(MOST_ASKED)])
    messenger._ask(2, [(0, b"never asked")])
    messenger._ask(3, [(0, b"asked when there is room")])

    messenger._withdraw(2)
    messenger._withdraw(1)

    assert messenger._visit.withdrawn == [1]
    assert messenger._visit.asked[MOST_ASKED:] == [(3, 0)]


def test_a_new_session_knows_of_no_request(messenger):
    messenger._ask(1, [(0, b"x")])

    messenger._ask(1, [(0, b"x")])
    messenger.over("the broker has gone")
    messenger._ask(1, [(0, b"x")])

    assert messenger._visit.asked == [(1, 0), (1, 0)]
