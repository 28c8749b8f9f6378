"""Whether what a stage passes on is still what came in, so that its bytes need not be written again."""

from __future__ import annotations

import sys
from typing import Any

_CONSTANT = frozenset({int, float, complex, bool, str, bytes, type(None), range})


def is_constant(item: Any) -> bool:
    """Whether nobody can have changed an item: plain values, arrays over memory that is read-only, tuples of these.

    >>> is_constant((1, b"bytes")), is_constant([1])
    (True, False)
    """
    kind = type(item)
    if kind in _CONSTANT:
        return True
    if kind is tuple:
        return all(map(is_constant, item))
    numpy = sys.modules.get("numpy")
    return numpy is not None and kind is numpy.ndarray and not item.dtype.hasobject and _is_locked(item)


def _is_locked(array: Any) -> bool:
    """Whether an array cannot be made one to write to: it may have been one while the user's code had it."""
    if array.flags.writeable:
        return False
    try:
        array.flags.writeable = True
    except ValueError:
        return True
    array.flags.writeable = False
    return False
