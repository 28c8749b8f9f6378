"""Descriptors that follow a message are not lost by whoever reads that message."""

from __future__ import annotations

import os
import socket

from olympipe_like._transport.connection import Connection


def test_a_message_is_read_without_the_descriptors_behind_it():
    ours, theirs = socket.socketpair()
    sender, receiver = Connection(ours), Connection(theirs)
    for number in range(2):
        reads, writes = os.pipe()
        socket.send_fds(ours, [b"J"], [reads])
        sender.send(("order", number), [b"payload"])
        os.write(writes, bytes([number]))
        os.close(reads)
        os.close(writes)

    for number in range(2):
        mark, (descriptor,), _, _ = socket.recv_fds(theirs, 1, 2)
        message, payload = receiver.receive_alone()
        assert (mark, message, payload) == (b"J", ("order", number), b"payload")
        assert os.read(descriptor, 2) == bytes([number])
        os.close(descriptor)
    sender.close()
    receiver.close()
