"""Who comes to a broker, worker or client: as whom, and whom it must meet there."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from olympipe_like._plan import checks
from olympipe_like._remote import temporary
from olympipe_like._remote.address import why_not_to_go_to
from olympipe_like._remote.keys import KeyFolder, SecretKey
from olympipe_like._remote.speech import MOST_HELD
from olympipe_like._remote.zeromq import load_zmq
from olympipe_like.errors import PlanError


class Visitor(NamedTuple):
    """What the courier must know."""

    address: str
    own: SecretKey
    hub: str  # the broker's public key
    host: str


def frames_held(where: str, prefetch: object) -> int:
    """Return how many frames a worker wants in hand.

    Raises
    ------
    PlanError
        If it is no number, or more than a broker allows.
    """
    count = checks.whole_number(where, "prefetch", prefetch, 0) + 1
    if count > MOST_HELD:
        raise PlanError(f"{where}: prefetch must be less than {MOST_HELD}, got {prefetch}")
    return count


def visitor(
    where: str, address: object, keys: str | os.PathLike[str] | None, broker: str | None, name: str | None
) -> Visitor:
    """Return who comes.

    Raises
    ------
    PlanError
        If the address is none; if there is no key, or others could have read it; if nobody could let this one in.
    """
    place = checks.text(where, "address", address)
    if why := why_not_to_go_to(place):
        raise PlanError(f"{where}: {why}")
    load_zmq()  # in this program, and not in a process of it, of which the user would see a traceback
    host = checks.text(where, "name", name) if name is not None else socket.gethostname()
    if broker is not None:
        checks.text(where, "broker", broker)
    if keys is None:
        if not temporary.is_known(place):
            raise PlanError(
                f"{where}: without keys only a Broker of this program can be met, made before, and there is none at "
                f"{place}: run 'olympipe-like keys new NAME' and give keys=FOLDER"
            )
        own, hub = temporary.visitor_keys(place)
    else:
        checks.path(where, "keys", keys)
        folder = KeyFolder(keys)
        own, hub = folder.own(), folder.hub(broker).public
    return Visitor(place, own, hub, host)
