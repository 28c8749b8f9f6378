"""Clients of other processes, at the broker: their requests go into the exchange, outcomes back. Opens neither."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from olympipe_like._remote.clients import Asked, Told, Withdrawn, several
from olympipe_like._transport.connection import Connection
from olympipe_like.requests.exchange import Exchange
from olympipe_like.requests.outcome import Buffer


class _Caller:
    """One call of a client's, as an asker, for as long as it waits for outcomes."""

    def __init__(self, reception: Reception, client: int, channel: int) -> None:
        self._reception = reception
        self.client = client
        self.channel = channel
        self.waits_for = 0  # outcomes

    def told(self, outcomes: Sequence[tuple[int, Buffer]]) -> None:
        self._reception.tell(self, outcomes)


class Reception:
    """The broker's end of the connection to the gateway."""

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._turn = threading.Lock()  # of the two that follow: one thread asks, another tells
        self._callers: dict[tuple[int, int], _Caller] = {}
        self._thread = threading.Thread(target=self._receive, name="olympipe-requests-reception", daemon=True)
        self._thread.start()

    def tell(self, caller: _Caller, outcomes: Sequence[tuple[int, Buffer]]) -> None:
        """Send outcomes to the client; a call that waits for no more is forgotten: nobody says that it has ended."""
        with self._turn:
            caller.waits_for -= len(outcomes)
            place = caller.client, caller.channel
            if not caller.waits_for and self._callers.get(place) is caller:
                del self._callers[place]
        try:
            numbers, pieces = zip(*outcomes, strict=True)
            self._connection.send(Told(caller.client, caller.channel, numbers, tuple(map(len, pieces))), pieces)
        except OSError:
            pass  # the gateway has ended, and the client with its connection asks again

    def _receive(self) -> None:
        while True:
            try:
                message, payload = self._connection.receive()
            except (EOFError, OSError):
                break
            if isinstance(message, Asked):
                place = message.client, message.channel
                with self._turn:
                    caller = self._callers.get(place)
                    if caller is None:
                        caller = self._callers[place] = _Caller(self, *place)
                    caller.waits_for += len(message.numbers)
                self._exchange.ask(caller, several(message.numbers, message.lengths, payload or b""))
            elif isinstance(message, Withdrawn):
                self._withdraw(message)
        self._withdraw(None)

    def _withdraw(self, message: Withdrawn | None) -> None:
        """Let nobody be told what was asked by a call, a client, or (None) anybody."""
        with self._turn:
            gone = list(self._callers.values())
            if message is not None:
                gone = [each for each in gone if each.client == message.client]
                gone = [each for each in gone if message.channel in (None, each.channel)]
            for caller in gone:
                del self._callers[caller.client, caller.channel]
        for caller in gone:
            self._exchange.withdraw(caller)

    def close(self) -> None:
        """Take nothing more."""
        self._connection.shut_down()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._connection.close()

    def leave_to_parent(self) -> None:
        """In a fork of the broker's process: close the copy of the connection, without a word to anybody."""
        self._connection.close()
