"""Clients of other processes, at the broker: their requests go into the exchange, outcomes back. Opens neither."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from olympipe_like._remote.clients import Asked, Told, Withdrawn, several
from olympipe_like._transport.connection import Connection
from olympipe_like.requests.exchange import Exchange
from olympipe_like.requests.outcome import Buffer


class _Caller:
    """One call of a client's, as an asker."""

    def __init__(self, connection: Connection, client: int, channel: int) -> None:
        self._connection = connection
        self._client = client
        self._channel = channel

    def told(self, outcomes: Sequence[tuple[int, Buffer]]) -> None:
        try:
            numbers, pieces = zip(*outcomes, strict=True)
            self._connection.send(Told(self._client, self._channel, numbers, tuple(map(len, pieces))), pieces)
        except OSError:
            pass  # the gateway has ended, and the client with its connection asks again


class Reception:
    """The broker's end of the connection to the gateway."""

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._callers: dict[tuple[int, int], _Caller] = {}
        self._thread = threading.Thread(target=self._receive, name="olympipe-requests-reception", daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while True:
            try:
                message, payload = self._connection.receive()
            except (EOFError, OSError):
                break
            if isinstance(message, Asked):
                place = message.client, message.channel
                caller = self._callers.get(place)
                if caller is None:
                    caller = self._callers[place] = _Caller(self._connection, *place)
                self._exchange.ask(caller, several(message.numbers, message.lengths, payload or b""))
            elif isinstance(message, Withdrawn):
                self._withdraw(message)
        for caller in self._callers.values():
            self._exchange.withdraw(caller)

    def _withdraw(self, message: Withdrawn) -> None:
        gone = [place for place in self._callers if place[0] == message.client and message.channel in (None, place[1])]
        for place in gone:
            self._exchange.withdraw(self._callers.pop(place))

    def close(self) -> None:
        """Take nothing more."""
        self._connection.shut_down()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._connection.close()

    def leave_to_parent(self) -> None:
        """In a fork of the broker's process: close the copy of the connection, without a word to anybody."""
        self._connection.close()
