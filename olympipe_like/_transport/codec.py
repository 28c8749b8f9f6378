"""Items to bytes and back. Pickle protocol 5 of the whole frame at once, large buffers outside it.

Knows bytes. Does not know sockets, shared memory or what the items mean.
"""

from __future__ import annotations

import io
import pickle
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from olympipe_like._transport import raw_frames
from olympipe_like._transport.buffers import Buffer, own
from olympipe_like._transport.callables import Series, Shipment, ShippingError, pack, recall, unpack
from olympipe_like._transport.marks import find
from olympipe_like._transport.one_by_one import Builder
from olympipe_like._transport.out_of_band import dumps

OUT_OF_BAND_BYTES = 4096
"""Smaller buffers are cheaper inside the pickle: each one outside costs an allocation and a vector."""

SAMPLE_ABOVE = 256
_UNCHANGING = frozenset({int, float, complex, bool, str, bytes, type(None), range})


class EncodingError(Exception):
    """An item cannot be pickled; ``index`` says which, ``__cause__`` why."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class DecodingError(Exception):
    """An item cannot be rebuilt; ``index`` says which, ``items`` are those before it, ``__cause__`` says why."""

    def __init__(self, index: int, items: list[Any], rest: Any) -> None:
        super().__init__(index)
        self.index = index
        self.items = items
        self.rest = rest


def _keep_inside(buffer: pickle.PickleBuffer) -> bool:
    del buffer
    return True


class ItemCodec(Protocol):
    """What may take the place of pickle."""

    def encode(self, items: Sequence[Any], rest: Any) -> list[Buffer]: ...
    def decode(
        self, data: Buffer, buffers: Sequence[Buffer], begin: Callable[[int], bool] | None
    ) -> tuple[list[Any], Any]: ...


_instead: ItemCodec | None = None


def use(instead: ItemCodec) -> None:
    """Let this process, a worker, write and read frames otherwise than with pickle."""
    global _instead  # noqa: PLW0603 - a process is a worker of one stage
    _instead = instead


def are_pickled() -> bool:
    """Whether the first of the parts that `encode` returns is a pickle.

    Such a part says itself where it ends, so that it may be padded, and has the names of what it refers to in it.
    """
    return _instead is None


class _OneByOne:
    """Items that were pickled each for itself."""

    read_only = False  # what it is built into

    def __init__(self, blobs: list[bytes], classes: dict[str, bytes]) -> None:
        self.blobs = blobs
        self.classes = classes  # by mark: what several of them are of, and cannot be imported
        self._made: dict[str, type] = {}  # kept, so that they are known by their marks

    def __len__(self) -> int:
        return len(self.blobs)

    def item(self, index: int) -> Any:
        blob = self.blobs[index]
        item = _ViewReader(io.BytesIO(blob)).load() if self.read_only else pickle.loads(blob)
        if not isinstance(item, Shipment):
            return item
        for mark in item.classes:
            self._made[mark] = find(mark) or unpack(pickle.loads(self.classes[mark]))
        return unpack(item)

    def leave_out(self, index: int) -> None:
        """Nothing need be done: they have nothing in common."""


def encode(items: list[Any], rest: Any) -> list[Buffer]:
    """Return the items and what goes with them as one pickle and the buffers outside it.

    ``rest``: a tuple of columns of numbers, or None.

    Raises
    ------
    EncodingError
        If an item cannot be pickled, not even by value as functions are.
    """
    if _instead is not None:
        return _instead.encode(items, rest)
    rest = _plain(rest)
    try:
        if len(items) <= SAMPLE_ABOVE and _UNCHANGING.issuperset(map(type, items)) and not _are_large(items):
            return [pickle.dumps((rest, items), protocol=5)]
        if (parts := raw_frames.encode(items, rest, OUT_OF_BAND_BYTES)) is not None:
            return parts
        if not _has_repeats(items):
            return _with_buffers((rest, items))
    except Exception:  # noqa: BLE001, S110 - whatever it was, the item at fault is found below, and raises again
        pass
    return [pickle.dumps((rest, _encode_one_by_one(items)), protocol=5)]


def _are_large(items: list[Any]) -> bool:
    """Whether they are bytes that a pickle would copy for long; judged by the first of them."""
    return type(items[0]) is bytes and len(items[0]) >= OUT_OF_BAND_BYTES


def _plain(rest: Any) -> Any:
    """Return columns of numbers as what pickle has its own codes for.

    To name a class, and to find it again, takes 1 µs each, 20 µs after a pause: more than all else in a small frame.
    """
    return rest if rest is None else tuple([_plain_column(column) for column in rest])


def _plain_column(column: Any) -> Any:
    if type(column) is range:
        return column.start, column.stop, column.step
    if type(column) is array:
        return column.tobytes()
    return array("q", column).tobytes() if type(column) is tuple else column


def _unplain(rest: Any) -> Any:
    """Return what `_plain` was given."""
    if rest is None:
        return None
    return tuple(
        [
            range(*column) if type(column) is tuple else array("q", column) if type(column) is bytes else column
            for column in rest
        ]
    )


def _with_buffers(value: object) -> list[Buffer]:
    """Return a pickle and the large buffers outside it."""
    buffers: list[Buffer] = []

    def keep_outside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous in any order: pickle copies it
            return True
        if raw.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    return [dumps(value, keep_outside), *buffers]


def _has_repeats(items: list[Any]) -> bool:
    """Whether an object that can be changed is in the frame more than once.

    Pickle would make one object of them again, and what a stage does to one item would show in another.
    """
    # Looking at every item costs more than pickling small ones does: large frames are judged by three of them.
    sample = items if len(items) <= SAMPLE_ABOVE else (items[0], items[len(items) // 2], items[-1])
    return not _UNCHANGING.issuperset(map(type, sample)) and len(set(map(id, items))) < len(items)


def _encode_one_by_one(items: list[Any]) -> _OneByOne:
    blobs = []
    series = Series()
    for index, item in enumerate(items):
        try:
            blobs.append(_encode_one(item, series.pack))
        except BaseException as error:
            raise EncodingError(index) from error
    return _OneByOne(blobs, {mark: pickle.dumps(each, protocol=5) for mark, each in series.classes.items()})


def _encode_one(item: object, by_value: Callable[[object], Shipment]) -> bytes:
    try:
        return dumps(item, _keep_inside)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        # Lambdas, local classes and the like travel by value; what even that refuses keeps its first error.
        try:
            return pickle.dumps(by_value(item), protocol=5)
        except ShippingError:
            raise error from None


def decode(
    data: Buffer,
    buffers: Sequence[Buffer],
    begin: Callable[[int], bool] | None = None,
    *,
    read_only: bool = False,
    borrowed: bool = False,
) -> tuple[list[Any], Any]:
    """Return what `encode` was given: items, rest.

    ``read_only``: numpy arrays that are built over bytes cannot be written to, wherever their bytes are. ``borrowed``:
    the bytes are another's; what items keep of them is copied, once.

    ``begin`` is told each item's number before that is built, and says whether it shall be; in the place of one that is
    not there is None. It is not asked about items that run nobody's code.

    Raises
    ------
    DecodingError
        If an item cannot be rebuilt.
    """
    if _instead is None and raw_frames.is_one(data):
        try:
            items, rest = raw_frames.decode(data, buffers, read_only=read_only, borrowed=borrowed)
            return items, _unplain(rest)
        except Exception as error:
            raise DecodingError(0, [], None) from error
    if borrowed:
        buffers = [own(buffer) for buffer in buffers]
    if _instead is not None:
        return _instead.decode(data, buffers, begin)
    try:
        if begin is not None:
            rest, items = (_PlainViewReader if read_only else _PlainReader).read(data, buffers)
        elif read_only:
            rest, items = _ViewReader(io.BytesIO(data), buffers=buffers).load()
        else:
            rest, items = pickle.loads(data, buffers=buffers)
        rest = _unplain(rest)
    except BaseException as error:
        try:
            builder = Builder(bytes(data), buffers, _ViewReader if read_only else pickle.Unpickler)
            rest = _unplain(builder.rest()) if len(builder) else None
        except Exception:  # noqa: BLE001 - it is no pickle that `encode` made: whatever its bytes say may be met
            raise DecodingError(0, [], None) from error
        if not len(builder):
            raise DecodingError(0, [], None) from error
        made = build(builder, rest, begin)
        if not isinstance(error, Exception):
            raise  # none of the items raised it: it is the caller's Ctrl-C
        return made, rest
    if not isinstance(items, _OneByOne):
        return items, rest
    items.read_only = read_only
    return build(items, rest, begin), rest


class InTurn(Protocol):
    """Items that are built one after the other."""

    def __len__(self) -> int: ...
    def item(self, index: int) -> Any: ...
    def leave_out(self, index: int) -> None: ...


def build(source: InTurn, rest: Any, begin: Callable[[int], bool] | None) -> list[Any]:
    """Return all items; arguments and errors are those of `decode`."""
    items: list[Any] = []
    for index in range(len(source)):
        if begin is not None and not begin(index):
            source.leave_out(index)
            items.append(None)
            continue
        try:
            items.append(source.item(index))
        except BaseException as error:
            raise DecodingError(index, items, rest) from error
    return items


class _ViewReader(pickle.Unpickler):
    """Builds arrays over bytes that cannot be written to."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return partial(_view, found) if name == "_frombuffer" and module in _NUMPY else found


def _view(from_buffer: Callable[..., Any], buffer: Buffer, *how: Any) -> Any:
    """Return what numpy makes of a buffer that cannot be written to."""
    return raw_frames.aligned(from_buffer(memoryview(buffer).toreadonly(), *how))


class _PlainReader(pickle.Unpickler):
    """Refuses what is not made of plain values and arrays: building those can neither fail nor take long."""

    @classmethod
    def read(cls, data: Buffer, buffers: Sequence[Buffer]) -> Any:
        return cls(io.BytesIO(data), buffers=buffers).load()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise _NotPlain(name)
        return super().find_class(module, name)


class _PlainViewReader(_PlainReader, _ViewReader):
    """Both."""


class _NotPlain(Exception):
    pass


_NUMPY = ("numpy.core.numeric", "numpy._core.numeric")
_PLAIN = frozenset(
    {
        ("builtins", "range"),
        ("array", "_array_reconstructor"),
        ("array", "array"),
        ("numpy", "dtype"),
        ("olympipe_like._worker.sifted", "Sifted"),
        (__name__, "_OneByOne"),
        *((module, "_frombuffer") for module in _NUMPY),
    }
)


def encode_item(item: object) -> bytes:
    """Return one item as bytes that hold all of it: a plain pickle, or a pickled `Shipment` where pickle refuses.

    Raises
    ------
    EncodingError
        If it cannot be pickled, not even by value as functions are.
    """
    try:
        return _encode_one(item, pack)
    except BaseException as error:
        raise EncodingError(0) from error


def decode_item(data: bytes, classes: Mapping[str, bytes]) -> object:
    """Return what `encode_item` was given.

    ``classes`` are those of the ``__main__`` it was encoded in (`callables.pack_main_classes`): what this
    ``__main__`` does not have under a name that the item needs is defined from them.

    Raises
    ------
    DecodingError
        If the item cannot be rebuilt here.
    """
    reader = _ItemReader(io.BytesIO(data))
    reader.classes = classes
    try:
        item = reader.load()
        return unpack(item) if isinstance(item, Shipment) else item
    except BaseException as error:
        raise DecodingError(0, [], None) from error


class _ItemReader(pickle.Unpickler):
    classes: Mapping[str, bytes]

    def find_class(self, module: str, name: str) -> Any:
        if module in {"__main__", "__mp_main__"}:
            recall(name.partition(".")[0], self.classes)
        return super().find_class(module, name)
