"""A worker that has lost its hub ends without a word; one that has not tells what went wrong."""

from __future__ import annotations

import socket

import pytest

from olympipe_like._model.identity import WorkerId
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Stop
from olympipe_like._worker.loop import _is_orphan
from olympipe_like._worker.port import Port


@pytest.fixture
def hub_and_port():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Port(Connection(theirs), None)


def test_a_hub_that_is_silent_is_there(hub_and_port):
    _, port = hub_and_port

    assert not _is_orphan(port)


@pytest.mark.parametrize("messages", [0, 1, 3])
def test_a_hub_that_has_closed_is_gone_whatever_it_had_said(hub_and_port, messages):
    hub, port = hub_and_port
    for number in range(messages):
        Connection(hub).send(Stop(WorkerId(number)))

    hub.close()

    assert _is_orphan(port)
