"""Who comes to a broker, worker or client: as whom, and whom it must meet there."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from olympipe_like._plan import checks
from olympipe_like._remote import temporary
from olympipe_like._remote.keys import KeyFolder, SecretKey
from olympipe_like.errors import PlanError
from olympipe_like.remote import is_address


class Visitor(NamedTuple):
    """What the courier must know."""

    address: str
    own: SecretKey
    hub: str  # the broker's public key
    host: str


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
    if not is_address(place):
        raise PlanError(f"{where}: address must be like tcp://10.0.0.5:5555, got {address!r}")
    host = name if name is not None else socket.gethostname()
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
