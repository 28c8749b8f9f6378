"""How heavy items are that never become bytes."""

from __future__ import annotations


def weight(item: object, depth: int = 2) -> int:
    """Return about how many bytes an item holds, as far as can be seen at once: arrays, bytes, containers of them.

    Here nothing is pickled that would tell; windows still should not hold gigabytes of images.
    """
    # Of the type's own making only: what an instance answers to any name is no measure, and may raise.
    nbytes = item.nbytes if hasattr(type(item), "nbytes") else None  # type: ignore[attr-defined]
    if isinstance(nbytes, int):
        return nbytes
    if isinstance(item, bytes | bytearray | str):
        return len(item)
    if depth and isinstance(item, tuple | list):
        return sum(weight(each, depth - 1) for each in item[:64])
    if depth and isinstance(item, dict):
        return sum(weight(each, depth - 1) for each in list(item.values())[:64])
    return 0
