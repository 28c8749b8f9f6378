"""Streams made of streams, item by item or several items at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import DataError, MissingKey, PlanError, PlanTypeError
from olympipe_like.sampling.passes import SOURCE, Opening, Pass, State, fits, open_source
from olympipe_like.sampling.seeds import Seed, load_numpy
from olympipe_like.sampling.streamer import Streamer, as_streamer

T = TypeVar("T")
U = TypeVar("U")


def source_of(what: str, stream: Iterable[T]) -> Streamer[T]:
    """Return what a map reads as a streamer; of an iterator one that can be read once."""
    return Once(stream) if isinstance(stream, Iterator) else as_streamer(what, stream)


class Once(Streamer[T]):
    """An iterator, good for one iteration."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator: Iterator[T] | None = iterator

    def _kind(self) -> str:
        return SOURCE

    def _open(self, seed: Seed, given: int, state: State | None) -> Pass[T]:
        del seed
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            raise PlanError("this stream was read already: it is an iterator; to read it again give a Streamer")
        return open_source(iterator, fresh=False, given=given, state=state, what=self)

    def __repr__(self) -> str:
        return "an iterator"


class Mapped(Streamer[U]):
    """A function of each item of a stream."""

    def __init__(self, stream: Streamer[T], function: Callable[[T], U], title: str) -> None:
        self._stream = stream
        self._function = function
        self._title = title

    def _kind(self) -> str | None:
        return self._stream._kind()

    def _open(self, seed: Seed, given: int, state: State | None) -> MappedPass[U]:
        return MappedPass(self._stream._open(seed.of(self._entropy), given, state), self._function)

    def __repr__(self) -> str:
        return f"{self._title}({self._stream!r})"


class MappedPass(Generic[U]):
    """One pass of a `Mapped`; it stands where the pass below it stands."""

    def __init__(self, below: Pass[Any], function: Callable[[Any], U]) -> None:
        self._below = below
        self._function = function
        self.state = below.state
        self.close = below.close

    def pull(self) -> U:
        """Return the next item."""
        return self._function(self._below.pull())


def tuples(stream: Iterable[Mapping[str, Any]], *keys: str) -> Streamer[tuple[Any, ...]]:
    """Make of each item, a mapping, the tuple of its values for these keys, one at least.

    A key that an item lacks is a `MissingKey`, which is a KeyError.

    Examples
    --------
    >>> from olympipe_like.sampling import tuples
    >>> list(tuples([{"X": 1, "Y": 2, "id": 3}], "X", "Y"))
    [(1, 2)]
    """
    if not keys:
        raise PlanError(f"tuples ({call_site()}): say which keys the tuples are made of: tuples(stream, 'X', 'Y')")
    for key in keys:
        checks.text(f"tuples ({call_site()})", "a key", key)
    return Mapped(source_of("tuples", stream), partial(_values, keys=keys), "tuples")


def keras_tuples(
    stream: Iterable[Mapping[str, Any]],
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
) -> Streamer[tuple[Any, Any]]:
    """Make of each item, a mapping, the pair of inputs and outputs that Keras takes.

    For one key a side is the value, for a list of keys the list of values, and None without. One of them must be given.

    Examples
    --------
    >>> from olympipe_like.sampling import keras_tuples
    >>> list(keras_tuples([{"X": 1, "Y": 2, "Z": 3}], inputs="X", outputs=["Y", "Z"]))
    [(1, [2, 3])]
    """
    where = f"keras_tuples ({call_site()})"
    if inputs is None and outputs is None:
        raise PlanError(f"{where}: say which keys are inputs=, outputs= or both")
    for side, given in (("inputs", inputs), ("outputs", outputs)):
        if given is not None and not isinstance(given, str):
            if not isinstance(given, Sequence):
                raise PlanTypeError(f"{where}: {side} must be a key or a list of keys, got {type(given).__name__}")
            for key in given:
                checks.text(where, f"a key of {side}", key)
    return Mapped(source_of("keras_tuples", stream), partial(_pair, inputs=inputs, outputs=outputs), "keras_tuples")


def _values(item: Mapping[str, Any], keys: Iterable[str]) -> tuple[Any, ...]:
    return tuple([_value(item, key) for key in keys])


def _pair(
    item: Mapping[str, Any], inputs: str | Sequence[str] | None, outputs: str | Sequence[str] | None
) -> tuple[Any, Any]:
    return _side(item, inputs), _side(item, outputs)


def _side(item: Mapping[str, Any], keys: str | Sequence[str] | None) -> Any:
    if keys is None:
        return None
    return _value(item, keys) if isinstance(keys, str) else [_value(item, key) for key in keys]


def _value(item: Any, key: str) -> Any:
    try:
        return item[key]
    except (KeyError, TypeError, IndexError):
        got = f"the keys {sorted(map(str, item))}" if isinstance(item, Mapping) else f"a {type(item).__name__}"
        raise MissingKey(f"an item has no key {key!r}: it is {got}") from None


def buffer_stream(
    stream: Iterable[Any], buffer_size: int, partial: bool = False, axis: int | None = None
) -> Streamer[Any]:
    """Make one item of arrays of every ``buffer_size`` items of a stream.

    Items are arrays or numbers, or dicts or tuples of them; these are joined field by field.

    Parameters
    ----------
    stream : iterable
        A stream of any kind. What is made of an iterator can be iterated once.
    buffer_size : int
        How many items make one, >= 1.
    partial : bool
        Whether a shorter last one is given; by default it is dropped.
    axis : int or None
        Along which axis arrays are concatenated. None: along a new one, the first, so that arrays of shape (4, 5)
        become one of shape (buffer_size, 4, 5).

    Raises
    ------
    DataError
        While iterating, if items do not fit together. The items of that buffer are dropped.

    Examples
    --------
    >>> from olympipe_like.sampling import buffer_stream
    >>> [batch["X"].tolist() for batch in buffer_stream([{"X": n} for n in range(5)], 2)]
    [[0, 1], [2, 3]]
    """
    where = f"buffer_stream ({call_site()})"
    size = checks.whole_number(where, "buffer_size", buffer_size, 1)
    if axis is not None and (isinstance(axis, bool) or not hasattr(type(axis), "__index__")):
        raise PlanTypeError(f"{where}: axis must be a whole number or None, got {axis!r}")
    return Buffered(source_of("buffer_stream", stream), size, checks.flag(where, "partial", partial), axis)


class Buffered(Streamer[Any]):
    """Several items of a stream joined into one."""

    def __init__(self, stream: Streamer[Any], size: int, partial: bool, axis: int | None) -> None:
        self.stream = stream
        self.size = size
        self.partial = partial
        self.axis = axis

    def _kind(self) -> str:
        return "buffer_stream"

    def _open(self, seed: Seed, given: int, state: State | None) -> BufferedPass:
        fits(self._kind(), given, state)
        return BufferedPass(self, Opening(self.stream, seed.of(self._entropy), state))

    def __repr__(self) -> str:
        return f"buffer_stream({self.stream!r}, {self.size})"


class BufferedPass:
    """One pass of a `Buffered`. Between two items it holds nothing."""

    def __init__(self, plan: Buffered, below: Opening[Any]) -> None:
        self._plan = plan
        self._below = below
        self._over = False
        self.close = below.close

    def state(self) -> State:
        """Return where the pass is: what the stream below has given, and where that is."""
        return {"of": self._plan._kind(), **self._below.record()}

    def pull(self) -> Any:
        """Return the next item."""
        plan, below = self._plan, self._below
        items: list[Any] = []
        while len(items) < plan.size and not self._over:
            try:
                items.append(below.pull())
            except StopIteration:
                self._over = True
                break
            below.given += 1
        if len(items) == plan.size or (items and plan.partial):
            return joined(items, plan.axis)
        raise StopIteration


def joined(items: Sequence[Any], axis: int | None) -> Any:
    """Return items joined along an axis, or a new first one, field by field if they have fields."""
    first = items[0]
    if isinstance(first, Mapping):
        for number, item in enumerate(items):
            if not isinstance(item, Mapping) or item.keys() != first.keys():
                raise DataError(
                    f"items of one buffer must have the same keys: item 0 has {_fields(first)}, "
                    f"item {number} {_fields(item)}"
                )
        return {key: _join([item[key] for item in items], axis, f"the values of {key!r}") for key in first}
    if isinstance(first, tuple):
        for number, item in enumerate(items):
            if not isinstance(item, tuple) or len(item) != len(first):
                raise DataError(
                    f"items of one buffer must have as many fields: item 0 is a tuple of {len(first)}, "
                    f"item {number} {_fields(item)}"
                )
        return tuple(_join([item[place] for item in items], axis, f"the fields {place}") for place in range(len(first)))
    return _join(items, axis, "the items")


def _join(values: Sequence[Any], axis: int | None, what: str) -> Any:
    numpy = load_numpy()
    arrays = [numpy.asarray(value) for value in values]
    shapes = {array.shape for array in arrays}
    try:
        if axis is not None:
            return numpy.concatenate(arrays, axis=axis)
        (shape,) = shapes if len(shapes) == 1 else ((),)
        if not shape:
            return numpy.stack(arrays)
        return numpy.concatenate(arrays).reshape(len(arrays), *shape)  # as stack does, and quicker for short rows
    except ValueError as error:  # numpy's AxisError is one, too
        raise DataError(f"{what} do not fit together: shapes {', '.join(map(str, sorted(shapes)))}: {error}") from error


def _fields(item: Any) -> str:
    if isinstance(item, Mapping):
        return f"{sorted(map(str, item))}"
    return f"is a tuple of {len(item)}" if isinstance(item, tuple) else f"is a {type(item).__name__}"
