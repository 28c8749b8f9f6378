"""What a machine's two processes say to each other: the courier, which has the network, and the main one, which forks.

The forking process has no thread and no ZeroMQ, and the courier no process to look after. If the main process is
killed, the courier sees it at once and tells the hub, so that the items go to others without waiting for a silence.
"""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._remote.keys import SecretKey
from olympipe_like._remote.speech import Ended, Terms


class Visiting(NamedTuple):
    """Main to courier, first of all: where to go, as whom, and for whom."""

    address: str
    own: SecretKey
    hub: str  # its public key
    host: str
    workers: int
    forbid_pickle: bool
    linger: float | None  # seconds without a hub after which there is no more waiting; None: for ever
    cell: int | None = None
    """Where the only worker is the main process itself: the descriptor of its progress cell. When that process dies,
    nobody else can say at which item."""


class Fork(NamedTuple):
    """Courier to main: start a worker."""

    number: int  # never used again
    terms: Terms
    identity: int  # in its run
    slot: int


class Kill(NamedTuple):
    """Courier to main: end a worker at once."""

    worker: int  # its number


class Forked(NamedTuple):
    """Main to courier: it runs; its socket came over the other connection."""

    worker: int  # its number
    pid: int


class NotForked(NamedTuple):
    """Main to courier: the system refused it."""

    worker: int  # its number
    why: str


class Died(NamedTuple):
    """Main to courier: its process has ended."""

    worker: int  # its number
    ended: Ended


class Leave(NamedTuple):
    """Main to courier: say good-bye and end."""

    why: str


class Tell(NamedTuple):
    """Courier to main: something for whoever looks at the terminal."""

    text: str


class Over(NamedTuple):
    """Courier to main: there is nothing more to do."""

    text: str
    code: int
