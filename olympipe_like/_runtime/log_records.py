"""Log records on their way from workers to the caller's loggers, by way of the hub."""

from __future__ import annotations

import logging
import pickle
import sys
import traceback
from collections import deque

from olympipe_like._runtime.peers import Peer
from olympipe_like._transport.messages import Logged

LOGGER = "olympipe_like"
MOST_RECORDS = 1000  # that wait in the hub for a caller who does not read; what comes on top is dropped and counted
MOST_BYTES = 4 << 20  # the same


class LogQueue:
    """The hub's side: passes records on, as long as not too many wait for the caller.

    Records go in one line with results and news, so each arrives before what followed from it. Once some were dropped,
    half the room must be free before the next is taken, and the first to go is how many are missing.
    """

    def __init__(self, results: Peer) -> None:
        self._results = results
        self._waiting: deque[tuple[int, int]] = deque()  # for each record: its last piece in the channel, its bytes
        self._bytes = 0
        self._dropped = 0

    def put(self, message: Logged) -> None:
        """Pass a record on, or count it as dropped."""
        channel = self._results.channel
        while self._waiting and self._waiting[0][0] <= channel.unqueued:
            self._bytes -= self._waiting.popleft()[1]
        share = 2 if self._dropped else 1
        if len(self._waiting) * share >= MOST_RECORDS or self._bytes * share >= MOST_BYTES:
            self._dropped += 1
            return
        self.tell_dropped()
        self._send(message)

    def note(self, level: int, text: str, stage: str = "", worker: str = "") -> None:
        """Tell the caller something in the library's own name."""
        self.put(_record(level, text, stage, worker))

    def tell_dropped(self) -> None:
        """Say how many records were dropped since this was last said; to be done before the run's last message."""
        if self._dropped:
            text = f"{self._dropped} log records of workers were dropped: they came faster than results were taken"
            self._dropped = 0
            self._send(_record(logging.WARNING, text))

    def _send(self, message: Logged) -> None:
        self._results.send(message)
        channel = self._results.channel
        if channel.wants_to_write:
            self._waiting.append((channel.queued, len(message.record)))
            self._bytes += len(message.record)


def _record(level: int, text: str, stage: str = "", worker: str = "") -> Logged:
    fields = {"name": LOGGER, "levelno": level, "levelname": logging.getLevelName(level), "msg": text}
    return Logged(pickle.dumps((fields | {"stage": stage, "worker": worker}, {}), protocol=5))


def hand_over(message: Logged) -> None:
    """Give a record to the caller's logger of its name, if that wants it.

    What the user's handlers and filters raise is printed, as `logging` does with most of it: it has nothing to do
    with the results that are being waited for.
    """
    fields, extras = pickle.loads(message.record)
    logger = logging.getLogger(fields["name"])
    if not logger.isEnabledFor(fields["levelno"]):
        return
    try:
        logger.handle(logging.makeLogRecord({name: _rebuilt(data) for name, data in extras.items()} | fields))
    except Exception:  # noqa: BLE001 - see above
        if logging.raiseExceptions and sys.stderr is not None:
            traceback.print_exc()


def _rebuilt(data: bytes) -> object:
    try:
        return pickle.loads(data)
    except Exception:  # noqa: BLE001 - user code; the record itself is worth more
        return "<could not be rebuilt>"
