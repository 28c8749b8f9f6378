"""Libraries that the hub imports once, so that not every worker has to."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

from olympipe_like._runtime.orders import RunOrder

_PRELOADABLE = {
    "numpy": True,
    "PIL.Image": True,
    "hashlib": True,  # loads OpenSSL: 4 ms
    "random": True,
    "scipy": False,
    "pandas": False,
    "sklearn": False,
}  # name -> needed by items, too, or by modules of all kinds


def to_preload(shipments: Sequence[bytes]) -> tuple[str, ...]:
    """Return the libraries that workers will need and the hub may import for all of them.

    Only libraries known to leave no thread of Python's and no state behind that a fork must not share. numpy wherever
    the caller has it, because items are often its arrays; those that many a module imports likewise; the others where a
    function names them.
    """
    return tuple(
        name
        for name, always in _PRELOADABLE.items()
        if name in sys.modules and (always or any(name.encode() in shipment for shipment in shipments))
    )


def preload(order: RunOrder) -> None:
    """Import what every worker would import for itself; what fails here fails there too, and is reported there."""
    missing = [name for name in order.preload if name not in sys.modules]
    if missing:
        order.surroundings.take_over()
        for name in missing:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001, S112 - the library's own affair; the worker that needs it says so
                continue
        gc.collect()
    gc.freeze()  # workers then do not copy these pages just by counting references to them
