"""Builds the items of one pickle one after the other: which one is at fault is known, and any can be left out.

The pickle of a frame is taken apart without running anything in it, and put together again as one pickle for the rest
and one for each item. They share a memo, as they did: what an item has in common with one before it is built once.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

_BEGIN, _POP, _END = pickle.PROTO + b"\x05", pickle.POP, pickle.STOP
_CHANGES_TOP = frozenset({"MEMOIZE", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"})
_FRAMING = frozenset({"PROTO", "FRAME", "STOP"})


class _Op(NamedTuple):
    """One operation of a pickle."""

    code: bytes
    puts: int | None = None  # where in the memo it puts what it made
    gets: int | None = None
    takes: int | None = None  # which of the buffers outside the pickle


class _Value:
    """What operations make: from one, to behind the last that has to do with it."""

    __slots__ = ("begin", "end")

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end


class Apart:
    """The pickle of ``(rest, [item, ...])``, taken apart."""

    def __init__(self, stream: bytes) -> None:
        self._ops: list[_Op] = []
        self._memo: dict[int, _Value] = {}
        self._stack: list[_Value] = []
        self._marks: list[int] = []  # where in the stack
        self._rest = 0  # its operations end here
        self._items: list[range] = []
        self._buffers = 0
        operations = list(pickletools.genops(stream))
        ends = [position for _, _, position in operations[1:]] + [len(stream)]
        for (opcode, argument, begin), end in zip(operations, ends, strict=True):
            if opcode.name not in _FRAMING:
                assert begin is not None
                assert end is not None
                self._read(opcode, argument, stream[begin:end])
        self._missing: set[int] = set()  # places in the memo that an item left out would have filled

    def __len__(self) -> int:
        return len(self._items)

    def _read(self, opcode: pickletools.OpcodeInfo, argument: Any, code: bytes) -> None:
        here, stack, name = len(self._ops), self._stack, opcode.name
        mark, inside, taken = None, stack[:0], len(opcode.stack_before)
        if pickletools.markobject in opcode.stack_before:
            taken = opcode.stack_before.index(pickletools.markobject)
            mark, *inside = stack[self._marks[-1] :]
            del stack[self._marks.pop() :]
        if name == "APPENDS" and len(stack) == 2:
            self._add_items(inside, stack[1], mark)
        elif name == "APPEND" and len(stack) == 3:
            self._add_items(stack[2:], stack[1])
        base = stack[len(stack) - taken] if taken else mark
        del stack[len(stack) - taken :]
        puts = gets = takes = None
        if name in _CHANGES_TOP:
            assert base is not None
            base.end = here + 1
            stack.append(base)
        else:
            begin = base.begin if base is not None else here
            stack += [_Value(begin, here + 1) for _ in opcode.stack_after]
        match name:
            case "MARK":
                self._marks.append(len(stack) - 1)
            case "MEMOIZE":
                puts = len(self._memo)
                self._memo[puts] = stack[-1]
                code = pickle.LONG_BINPUT + puts.to_bytes(4, "little")
            case "BINGET" | "LONG_BINGET":
                gets = argument
            case "NEXT_BUFFER":
                takes = self._buffers
                self._buffers += 1
        self._ops.append(_Op(code, puts, gets, takes))

    def _add_items(self, members: Iterable[_Value], items: _Value, mark: _Value | None = None) -> None:
        if not self._items:
            self._rest = items.begin
        # Right behind the one before: what a value needs may begin earlier than the operation that leaves it.
        begin = mark.end if mark is not None else items.end
        for member in members:
            self._items.append(range(begin, member.end))
            begin = member.end

    def rest(self) -> tuple[bytes, list[int]]:
        """Return the pickle of the rest, and the numbers of the buffers it takes."""
        return self._together(range(self._rest))

    def item(self, index: int) -> tuple[bytes, list[int]]:
        """Return the pickle of an item; the rest and all items before were built, or left out."""
        return self._together(self._items[index])

    def leave_out(self, index: int) -> None:
        """Note that an item is not built."""
        self._missing.update(self._puts(self._items[index]))

    def _puts(self, ops: range) -> frozenset[int]:
        return frozenset(put for each in ops if (put := self._ops[each].puts) is not None)

    def _together(self, ops: range) -> tuple[bytes, list[int]]:
        parts = [*self._fetch(ops), ops]
        found = [self._ops[each] for part in parts for each in part]
        code = [_BEGIN]
        for part in parts:
            code += [self._ops[each].code for each in part]
            code.append(_POP)
        code[-1] = _END
        return b"".join(code), [op.takes for op in found if op.takes is not None]

    def _fetch(self, ops: range, within: frozenset[int] = frozenset()) -> Iterator[range]:
        """Give what must be built first: parts of items left out that this one has in common with them.

        ``within``: what is put into the memo by that of which this is a part.
        """
        for each in ops:
            get = self._ops[each].gets
            if get in self._missing and get not in within:
                value = self._memo[get]
                part = range(value.begin, value.end)
                puts = self._puts(part)
                yield from self._fetch(part, within | puts)
                if get in self._missing:  # else it contains itself, and is part of what it needed
                    self._missing -= puts
                    yield part


class Builder:
    """Builds the rest, then the items, each when asked for."""

    def __init__(
        self, stream: bytes, buffers: Sequence[object], unpickler: type[pickle.Unpickler] = pickle.Unpickler
    ) -> None:
        self._apart = Apart(stream)
        self._buffers = buffers
        self._next: deque[object] = deque()
        self._file = io.BytesIO()
        self._unpickler = unpickler(self._file, buffers=self._take())

    def __len__(self) -> int:
        return len(self._apart)

    def _take(self) -> Iterator[object]:
        while True:
            yield self._next.popleft()

    def rest(self) -> Any:
        """Return what goes with the items."""
        return self._load(*self._apart.rest())

    def item(self, index: int) -> Any:
        """Return the next item; raises what building it raises."""
        return self._load(*self._apart.item(index))

    def leave_out(self, index: int) -> None:
        """Go on without the next item."""
        self._apart.leave_out(index)

    def _load(self, code: bytes, buffers: Iterable[int]) -> Any:
        self._next.extend(self._buffers[each] for each in buffers)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(code)
        self._file.seek(0)
        return self._unpickler.load()
