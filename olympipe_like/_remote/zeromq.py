"""pyzmq, loaded where it is first needed."""

from __future__ import annotations

from typing import Any

from olympipe_like.errors import PlanError


class ZeroMQMissing(PlanError, ImportError):
    """What remote stages need is not installed."""


def load_zmq() -> Any:
    """Return the module ``zmq``.

    Raises
    ------
    ZeroMQMissing
        If it is not installed, or cannot encrypt.
    """
    try:
        import zmq
    except ImportError as error:
        raise ZeroMQMissing(
            f"remote stages need pyzmq, which cannot be imported ({error}): pip install 'olympipe-like[remote]'"
        ) from None
    if not zmq.has("curve"):
        raise ZeroMQMissing(
            "remote stages need a ZeroMQ that can encrypt, and the one installed was built without CURVE: "
            "pip install --force-reinstall pyzmq takes one that can"
        )
    return zmq
