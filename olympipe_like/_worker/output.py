"""What user code says in a worker: log records and warnings go to the caller's loggers, printed lines stay whole."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import pickle
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Logged

LINE_BYTES = 1 << 20  # a printed line up to this length is written at once
# For which user code may have a handler that raises. Not all signals: naming them again takes Python 2 µs each.
_SIGNALS = {
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
}
_NOT_SENT = {"msg", "args", "message", "exc_info", "exc_text"}  # of a record; what they say is sent as text
_PLAIN = set(vars(logging.makeLogRecord({}))) - _NOT_SENT


class LogLevels(NamedTuple):
    """Which records the caller's loggers want, and what it calls their levels: one that nobody wants is not made."""

    disabled: int  # `logging.disable`: this level and all below it are off
    root: int
    named: dict[str, int]  # loggers that have a level of their own
    names: dict[int, str]  # of levels, as `logging.addLevelName` gave them

    @staticmethod
    def here() -> LogLevels:
        """Return those of this process."""
        manager = logging.root.manager
        loggers = list(manager.loggerDict.items())  # a copy: other threads may be making loggers
        named = {name: found.level for name, found in loggers if isinstance(found, logging.Logger) and found.level}
        return LogLevels(manager.disable, logging.root.level, named, dict(logging._levelToName))

    def take_over(self) -> None:
        """Make them those of this process."""
        logging.disable(self.disabled)
        logging.root.setLevel(self.root)
        for name, level in self.named.items():
            logging.getLogger(name).setLevel(level)
        for level, name in self.names.items():
            logging.addLevelName(level, name)


def begin(connection: Connection, stage: str, worker: str, levels: LogLevels) -> None:
    """Let what is said from here on reach the people who run the pipeline.

    Parameters
    ----------
    connection : Connection
        The worker's, to the hub.
    stage, worker : str
        What each log record tells of its origin.
    levels : LogLevels
        The caller's.
    """
    sys.stdout, sys.stderr = whole_lines(sys.stdout), whole_lines(sys.stderr)
    levels.take_over()
    logging.root.addHandler(_ToCaller(connection, stage, worker))
    logging.captureWarnings(capture=True)


# -- log records ------------------------------------------------------------------------------------------------------


class _ToCaller(logging.Handler):
    """Sends records to the hub, which passes them on.

    A record is on its way when the user's call returns: what is said just before a crash arrives.
    """

    def __init__(self, connection: Connection, stage: str, worker: str) -> None:
        super().__init__()
        self._connection = connection
        self._origin = {"stage": stage, "worker": worker}
        self._process = os.getpid()
        self._inside = threading.local()

    def handle(self, record: logging.LogRecord) -> bool:
        """Send a record, without the lock of other handlers.

        The connection has its own. With two, a finalizer that logs while its thread sends could wait for a thread
        that waits for it.
        """
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; never raises on account of the hub."""
        if os.getpid() != self._process:  # a fork made by user code: the connection is not its own
            last = logging.lastResort
            if last is not None and record.levelno >= last.level:
                last.handle(record)
            return
        # Signal handlers wait: one of the user's that raises, such as a time limit, could leave half a message sent, or
        # be taken for a failure of ours. Setting the mask runs those that are due: it must be known before it is set.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            self._send(record)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _send(self, record: logging.LogRecord) -> None:
        try:
            data = self._pack(record)
        except Exception:  # noqa: BLE001 - a wrong format, an argument that cannot be shown: said as always, on stderr
            self.handleError(record)
            return
        try:
            self._connection.send(Logged(data))
        except OSError:
            pass  # the hub is gone, and this worker soon will be

    def _pack(self, record: logging.LogRecord) -> bytes:
        """Return a record as bytes: its message and traceback as text, what the user added one by one."""
        found = vars(record)
        exc_text = record.exc_text
        if not exc_text and record.exc_info and record.exc_info[0] is not None:
            exc_text = logging.Formatter().formatException(record.exc_info)
        fields = {name: found[name] for name in _PLAIN & found.keys()}
        fields |= {"msg": record.getMessage(), "exc_text": exc_text, **self._origin}
        return pickle.dumps((fields, self._pack_extras(found)), protocol=5)

    def _pack_extras(self, found: dict[str, Any]) -> dict[str, bytes]:
        names = found.keys() - _PLAIN - _NOT_SENT
        if not names or getattr(self._inside, "an_extra", False):  # one that logs while it is pickled ends here
            return {}
        self._inside.an_extra = True
        try:
            return {name: _pickled(found[name]) for name in names}
        finally:
            self._inside.an_extra = False


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - any object may be there; its text will do
        return pickle.dumps(repr(value), protocol=5)


# -- printed lines ----------------------------------------------------------------------------------------------------


def whole_lines(stream: Any) -> Any:
    """Return a text stream on the same descriptor that writes each line at once; what is no such stream as it is.

    >>> whole_lines(None)
    """
    try:
        descriptor = stream.fileno()
        stream.flush()
        raw = _Raw(descriptor, "wb", closefd=False)
    except (AttributeError, OSError, ValueError):  # None, or closed: there is nothing to write to
        return stream
    made = io.TextIOWrapper(
        io.BufferedWriter(raw, LINE_BYTES), encoding=stream.encoding, errors=stream.errors, line_buffering=True
    )
    made._CHUNK_SIZE = LINE_BYTES  # type: ignore[attr-defined]  # else longer lines are written in pieces
    return made


class _Raw(io.FileIO):
    """Writes all it is given before another worker can write.

    Files and terminals see to that themselves. A pipe does for `select.PIPE_BUF` bytes; around more there is a lock on
    the pipe itself. The kernel gives it back when its holder dies, so a killed worker keeps nobody waiting.
    """

    def __init__(self, file: int, mode: str, *, closefd: bool) -> None:
        super().__init__(file, mode, closefd=closefd)
        self._is_pipe = stat.S_ISFIFO(os.fstat(file).st_mode)
        self._turn = threading.RLock()  # the kernel's lock is the process's, not the thread's

    def write(self, data: Any) -> int:
        """Write it all."""
        with memoryview(data) as view, view.cast("B") as rest:
            if not self._is_pipe or rest.nbytes <= select.PIPE_BUF:
                return self._write(rest)
            with self._turn, _locked(self):
                return self._write(rest)

    def _write(self, data: memoryview) -> int:
        done = 0
        while done < data.nbytes:
            written: int | None = super().write(data[done:])
            if written is None:  # somebody has made the descriptor one that does not wait
                select.select((), (self,), ())
            else:
                done += written
        return done


@contextlib.contextmanager
def _locked(file: io.FileIO) -> Iterator[None]:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError:  # a system without locks on pipes: long lines may be torn
        yield
        return
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
