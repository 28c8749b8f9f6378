"""Plain values as bytes that can be read without running anything: for all that is not an item or a function.

None, bool, int, float, str, bytes, tuple, dict and range; a reader gets exactly those, or a ProtocolError.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any

from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._worker.sifted import Sifted

MOST_DEPTH = 12

_INT, _FLOAT, _LENGTH = struct.Struct("!q"), struct.Struct("!d"), struct.Struct("!I")
_RANGE = struct.Struct("!qqq")


def pack(value: object) -> bytes:
    """Return a value as bytes.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    out = bytearray()
    _put(out, value)
    return bytes(out)


def _put(out: bytearray, value: object) -> None:
    if value is None:
        out += b"N"
    elif value is True:
        out += b"T"
    elif value is False:
        out += b"F"
    elif isinstance(value, int):
        out += b"i" + _INT.pack(value)
    elif isinstance(value, float):
        out += b"f" + _FLOAT.pack(value)
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        out += b"s" + _LENGTH.pack(len(data)) + data
    elif isinstance(value, bytes | bytearray | memoryview):
        out += b"b" + _LENGTH.pack(len(value))
        out += value
    elif isinstance(value, tuple | list):
        out += b"(" + _LENGTH.pack(len(value))
        for each in value:
            _put(out, each)
    elif isinstance(value, dict):
        out += b"{" + _LENGTH.pack(len(value))
        for key, each in value.items():
            _put(out, key)
            _put(out, each)
    elif isinstance(value, range):
        out += b"r" + _RANGE.pack(value.start, value.stop, value.step)
    elif isinstance(value, array | Sifted):
        data = (value if isinstance(value, array) else value.members()).tobytes()
        out += b"q" + _LENGTH.pack(len(data)) + data
    else:
        raise TypeError(f"{type(value).__name__} is no plain value")


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """Return the value.

    Raises
    ------
    ProtocolError
        If the bytes are not what `pack` makes; nothing else, whatever they are.
    """
    reader = _Reader(memoryview(data).cast("B"))
    try:
        value = reader.take(0)
    except (struct.error, UnicodeDecodeError, TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        raise ProtocolError(f"a value that cannot be read ({type(error).__name__})") from None
    if reader.at != len(reader.data):
        raise ProtocolError("a value with something behind it")
    return value


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, depth: int) -> Any:
        tag = self.data[self.at]
        self.at += 1
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        return _READERS[tag](self, depth)

    def _of(self, layout: struct.Struct) -> tuple[Any, ...]:
        found = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return found

    def _int(self, _: int) -> int:
        number: int = self._of(_INT)[0]
        return number

    def _float(self, _: int) -> float:
        number: float = self._of(_FLOAT)[0]
        return number

    def _bytes(self, _: int) -> bytes:
        (length,) = self._of(_LENGTH)
        if length > len(self.data) - self.at:
            raise ProtocolError("a value that is longer than its message")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def _text(self, _: int) -> str:
        return self._bytes(0).decode("utf-8", "surrogatepass")

    def _count(self, depth: int) -> int:
        (count,) = self._of(_LENGTH)
        if count > len(self.data) - self.at:  # each takes a byte at least
            raise ProtocolError("more values than there are bytes")
        if depth >= MOST_DEPTH:
            raise ProtocolError("a value nested too deeply")
        return int(count)

    def _tuple(self, depth: int) -> tuple[Any, ...]:
        return tuple([self.take(depth + 1) for _ in range(self._count(depth))])

    def _dict(self, depth: int) -> dict[Any, Any]:
        found = {}
        for _ in range(self._count(depth)):
            key = self.take(depth + 1)
            found[key] = self.take(depth + 1)
        return found

    def _range(self, _: int) -> range:
        return range(*self._of(_RANGE))

    def _array(self, _: int) -> array[int]:
        made = array("q")
        made.frombytes(self._bytes(0))
        return made


_CONSTANTS = {ord("N"): None, ord("T"): True, ord("F"): False}
_READERS: dict[int, Callable[[_Reader, int], Any]] = {
    ord("i"): _Reader._int,
    ord("f"): _Reader._float,
    ord("s"): _Reader._text,
    ord("b"): _Reader._bytes,
    ord("("): _Reader._tuple,
    ord("{"): _Reader._dict,
    ord("r"): _Reader._range,
    ord("q"): _Reader._array,
}
