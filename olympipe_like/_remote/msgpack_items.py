"""Items as msgpack writes them, arrays among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from olympipe_like.errors import PlanError

_ARRAY = 78  # the number of our extension type


def load_msgpack() -> Any:
    """Return the module ``msgpack``.

    Raises
    ------
    PlanError
        If it is not installed.
    """
    try:
        import msgpack
    except ImportError as error:
        raise PlanError(
            f'serializer="msgpack" needs msgpack, which cannot be imported ({error}): '
            "pip install 'olympipe-like[msgpack]'"
        ) from None
    return msgpack


def msgpack_functions() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Return what writes an item, and what reads it."""
    msgpack = load_msgpack()

    def default(value: Any) -> Any:
        dtype = getattr(value, "dtype", None)
        if dtype is not None and hasattr(value, "tobytes") and not dtype.hasobject and dtype.names is None:
            return msgpack.ExtType(_ARRAY, msgpack.packb((dtype.str, value.shape, value.tobytes())))
        raise TypeError(f"msgpack cannot write {type(value).__name__}")

    def extension(number: int, data: bytes) -> Any:
        if number != _ARRAY:
            raise ValueError(f"an unknown extension type {number}")
        import numpy as np

        kind, shape, content = msgpack.unpackb(data)
        made = np.frombuffer(content, np.dtype(kind)).reshape(shape).copy()
        return made if shape else made[()]

    def dumps(value: Any) -> bytes:
        data: bytes = msgpack.packb(value, default=default)
        return data

    def loads(data: bytes) -> Any:
        return msgpack.unpackb(data, ext_hook=extension, strict_map_key=False)

    return dumps, loads
