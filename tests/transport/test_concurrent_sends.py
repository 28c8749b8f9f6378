"""A connection is spoken into by several threads, and by handlers that cut in while their own thread is sending."""

from __future__ import annotations

import socket
import threading

import pytest

from olympipe_like._transport.connection import Connection


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Interrupted:
    """A socket during whose first send something else wants to send, as a signal handler does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.meanwhile = None

    def sendall(self, data) -> None:
        half = len(data) // 2
        self.sock.sendall(data[:half])
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        self.sock.sendall(data[half:])


def test_what_is_sent_in_the_midst_of_a_message_follows_it_whole(pair):
    ours, theirs = pair
    interrupted = Interrupted(ours)
    connection = Connection(interrupted)
    interrupted.meanwhile = lambda: [connection.send("second"), connection.send("third")]

    connection.send("first")

    receiver = Connection(theirs)
    assert [receiver.receive()[0] for _ in range(3)] == ["first", "second", "third"]


def test_messages_of_many_threads_arrive_whole(pair):
    ours, theirs = pair
    connection = Connection(ours)
    payload = bytes(100_000)

    def speak(number: int) -> None:
        for turn in range(20):
            connection.send((number, turn), [payload] if number % 2 else ())

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    receiver = Connection(theirs)
    received = [receiver.receive() for _ in range(120)]
    for thread in threads:
        thread.join()

    assert sorted(message for message, _ in received) == [(number, turn) for number in range(6) for turn in range(20)]
    assert all((data == payload) if number % 2 else data is None for (number, _), data in received)
    assert [turn for (number, turn), _ in received if number == 0] == list(range(20))
