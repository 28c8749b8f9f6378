"""`Streamer`: what makes a stream's items, kept so that they can be made again."""

from __future__ import annotations

import copy
import functools
import operator
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.parameters import wants_rng
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.sampling.iteration import Iteration, LastState, checked, next_epoch, start_of
from olympipe_like.sampling.passes import SOURCE, Pass, State, open_source
from olympipe_like.sampling.seeds import Seed, entropy_behind, entropy_of, fresh_entropy

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import ParamSpec, Self
    else:
        from typing_extensions import ParamSpec, Self

    P = ParamSpec("P")

T = TypeVar("T")


class Streamer(Generic[T]):
    """A stream that can be begun any number of times, here and in other processes.

    Iterations of one streamer do not know of each other. Each is another *epoch*: one that draws random numbers gives
    another order each time, and all of them follow from one seed.

    Parameters
    ----------
    source : generator function, iterable or Streamer
        What makes the items: a function whose result is iterated, called anew for each iteration, or an iterable that
        can be iterated again. Not an iterator: that gives its items once.
    *args, **kwargs
        Arguments of the function. Streamers among them, also in lists, tuples and dicts, are passed on so that they
        follow the seed of the iteration.
        A function with a parameter ``rng`` that is not among them gets a ``numpy.random.Generator`` there, seeded by
        the place and the epoch of the iteration.

    Raises
    ------
    PlanTypeError
        If the source is an iterator, or neither callable nor iterable.

    Examples
    --------
    >>> from olympipe_like.sampling import Streamer
    >>> def count(n):
    ...     yield from range(n)
    >>> stream = Streamer(count, 3)
    >>> list(stream), list(stream), list(stream.cycle(max_iter=5))
    ([0, 1, 2], [0, 1, 2], [0, 1, 2, 0, 1])
    """

    own_process: ClassVar[bool] = True  # as the source of a pipeline it runs in a process of its own
    _entropy: int | None = None
    _epoch = 0
    _resume: State | None = None  # where the next iteration begins, if not at the next epoch
    _last: LastState | None = None  # of the iteration begun last

    def __init__(
        self, source: Callable[..., Iterable[T]] | Iterable[T] | Streamer[T], *args: Any, **kwargs: Any
    ) -> None:
        self._calls = _is_called(source, bool(args or kwargs))
        self._source: Any = source
        self._args = args
        self._kwargs = kwargs
        self._followed = frozenset(
            place for place, value in (*enumerate(args), *kwargs.items()) if _holds_a_streamer(value)
        )

    # -- iterating ----------------------------------------------------------------------------------------------------

    def iterate(self, max_iter: int | None = None) -> Iteration[T]:
        """Return an iterator over the items, at most ``max_iter`` (>= 0) of them; it pulls no more than it gives."""
        return self._iteration(max_iter, cycle=False)

    def cycle(self, max_iter: int | None = None) -> Iteration[T]:
        """As `iterate`, beginning anew whenever the items are over. It ends after a round that gave nothing."""
        return self._iteration(max_iter, cycle=True)

    def __call__(self, max_iter: int | None = None, cycle: bool = False) -> Iteration[T]:
        """Return `iterate` or `cycle`."""
        return self._iteration(max_iter, cycle=cycle)

    def __iter__(self) -> Iterator[T]:
        return self._iteration(None, cycle=False)

    def _iteration(self, max_iter: int | None, *, cycle: bool) -> Iteration[T]:
        most = self._most(max_iter)
        start = self._take_start()
        self._last = LastState()
        return Iteration(self, start, most, cycle=cycle, last=self._last)

    def _most(self, max_iter: int | None) -> int | None:
        """Return how many items an iteration gives at most."""
        if max_iter is not None and (isinstance(max_iter, bool) or not hasattr(type(max_iter), "__index__")):
            raise PlanTypeError(f"{self} ({call_site()}): max_iter must be a whole number, got {max_iter!r}")
        if max_iter is not None and max_iter < 0:
            raise PlanError(f"{self} ({call_site()}): max_iter must be >= 0, got {max_iter}")
        return None if max_iter is None else operator.index(max_iter)

    def _take_start(self) -> State:
        """Return where the next iteration begins; the one after it will be another epoch."""
        state, self._resume, self._last = self._resume, None, None
        if state is None:
            state = self._start(self._epoch)
        self._epoch = state["epoch"] + 1
        return state

    def _start(self, epoch: int) -> State:
        return start_of(epoch, fresh_entropy() if self._entropy is None else self._entropy)

    def starting(
        self, max_iter: int | None = None, cycle: bool = False, *, follows: str | None = None
    ) -> Callable[[], Iteration[T]]:
        """Return what makes the next iteration; unlike an iteration it can be sent to another process.

        Called again it makes one that is another round of it. ``follows``: without a seed of its own, and a state that
        was loaded, it is always the first epoch, drawn by this text.
        """
        most = self._most(max_iter)
        is_free = self._entropy is None and self._resume is None
        state = self._take_start()
        if is_free and follows is not None:
            state = start_of(0, entropy_behind(follows))
        return Start(self, state, most, cycle)

    def with_seed(self, random_state: Any) -> Self:
        """Return a copy whose iterations all follow from a seed.

        ``random_state``: None, a whole number >= 0, or a ``RandomState``, ``Generator``, ``BitGenerator`` or
        ``SeedSequence`` of numpy.

        Examples
        --------
        >>> from olympipe_like.sampling import Streamer
        >>> def throws(rng):
        ...     while True:
        ...         yield int(rng.integers(1, 7))
        >>> dice = Streamer(throws)
        >>> list(dice.with_seed(3).iterate(9)) == list(dice.with_seed(3).iterate(9))
        True
        """
        made = self._fresh_copy()
        made._entropy = entropy_of(type(self).__name__, random_state)
        return made

    def _fresh_copy(self) -> Self:
        made = copy.copy(self)
        made._epoch, made._resume, made._last = 0, None, None
        return made

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Return where the iteration begun last is, behind the last item it gave; JSON can hold it.

        Once that iteration has ended, or before the first: at the next epoch's beginning.
        """
        if self._resume is not None:
            return dict(self._resume)
        if self._last is not None:
            return self._last.state_dict()
        return self._start(self._epoch)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration begin where `state_dict` was asked, and the one after it with the epoch after that.

        The streamer must be made as the one that was asked. Its sources are made again, and what they gave before is
        pulled again and dropped; sources with ``state_dict`` and ``load_state_dict`` of their own are told where to go
        on.

        Raises
        ------
        PlanError
            If the state is of another kind of streamer. If a stream within it is of another kind, or a source gives
            less than it gave before, the iteration raises it.
        """
        found = checked(state, self)
        self._last = None
        self._epoch = found["epoch"]
        self._resume = found if "pass" in found else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # an iteration has generators open, which stay where they are

    # -- one pass -----------------------------------------------------------------------------------------------------

    def _kind(self) -> str | None:
        """Return what `fits` calls this kind of stream; None if that is known only once the function was called."""
        if isinstance(self._source, Streamer):
            return self._source._kind()
        return None if self._calls else SOURCE

    def _open(self, seed: Seed, given: int, state: State | None) -> Pass[T]:
        """Return a pass over the items, behind the ``given`` first; ``state`` is what such a pass said of itself."""
        made: Any = self._source
        seed = seed.of(self._entropy)
        if self._calls:
            kwargs = {key: self._argument(value, seed, key) for key, value in self._kwargs.items()}
            if "rng" not in kwargs and wants_rng(self._source, len(self._args)):
                kwargs["rng"] = seed.generator(0)
            made = self._source(*(self._argument(value, seed, n) for n, value in enumerate(self._args)), **kwargs)
        if isinstance(made, Streamer):
            return made._open(seed.child(0), given, state)
        return open_source(made, fresh=self._calls, given=given, state=state, what=self)

    def _argument(self, value: Any, seed: Seed, place: int | str) -> Any:
        return _placed(value, seed, place) if place in self._followed else value

    def __repr__(self) -> str:
        arguments = [self._source, *self._args, *self._kwargs.values()]
        return f"{type(self).__name__}({', '.join(map(_short, arguments))})"


class Start(Generic[T]):
    """Makes an iteration wherever it was sent, and with each call after the first a further round of it."""

    def __init__(self, streamer: Streamer[T], state: State, max_iter: int | None, cycle: bool) -> None:
        self._streamer = streamer
        self._state = state
        self._most = max_iter
        self._cycle = cycle
        self._made: Iteration[T] | None = None

    @property
    def state(self) -> State:
        """Where the iteration begins."""
        return self._state

    @property
    def next_state(self) -> State:
        """Where the iteration after it begins."""
        return next_epoch(self._state["epoch"])

    def __call__(self) -> Iteration[T]:
        """Return an iteration."""
        if self._made is not None:
            self._state = {**self._state, "round": self._made.round + 1, "given": 0, "pass": {"given": 0}}
        self._made = Iteration(self._streamer, self._state, self._most, cycle=self._cycle)
        return self._made


def _is_called(source: object, has_arguments: bool) -> bool:
    """Whether a source is a function that makes the items; refuse what is no source."""
    iterable = hasattr(type(source), "__iter__") or hasattr(type(source), "__getitem__")
    if isinstance(source, type) or (callable(source) and (has_arguments or not iterable)):
        return True
    if hasattr(type(source), "__next__"):
        raise PlanTypeError(
            f"Streamer ({call_site()}): {_short(source)} is an iterator and gives its items once; "
            "give the function that makes it, and its arguments"
        )
    if not iterable:
        raise PlanTypeError(f"Streamer ({call_site()}): neither a function nor an iterable: {_short(source)}")
    if has_arguments:
        raise PlanTypeError(f"Streamer ({call_site()}): arguments are for a function, got {_short(source)} and some")
    return False


def _holds_a_streamer(value: object) -> bool:
    """Whether an argument is a streamer, or a list, tuple or dict with one in it."""
    waiting: list[Any] = [value]
    seen: set[int] = set()  # as some contain themselves
    while waiting:
        part = waiting.pop()
        if isinstance(part, Streamer):
            return True
        if type(part) in _NESTED and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part.values() if isinstance(part, dict) else part)
    return False


_NESTED = (list, tuple, dict)


def _placed(value: Any, seed: Seed, place: int | str) -> Any:
    """Return an argument; a streamer as a copy that follows the seed of the iteration it is an argument of."""
    number = place if isinstance(place, int) else int.from_bytes(str(place).encode(), "little")
    if isinstance(value, Streamer):
        follower = value._fresh_copy()
        # Its iterations begin at epoch 0, and are told apart from those in other places by their entropy.
        follower._entropy = seed.child(number).of(value._entropy).entropy_here()
        return follower
    here = seed.child(number)
    if type(value) is dict:
        return {key: _placed(each, here, n) for n, (key, each) in enumerate(value.items())}
    if type(value) in _NESTED:
        return type(value)(_placed(each, here, n) for n, each in enumerate(value))
    return value


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 40


def _short(value: object) -> str:
    """Return a short name for an argument; arrays by their shape."""
    name = getattr(value, "__name__", None)
    if isinstance(name, str):
        return name
    shape = getattr(value, "shape", None)
    return _repr.repr(value) if shape is None else f"{type(value).__name__} of shape {shape}"


class _Undecorated(Generic[T]):
    """The generator function behind a `streamable` one, which took its name: found by that name where it is sent."""

    def __init__(self, decorated: Any) -> None:
        self._decorated = decorated
        functools.update_wrapper(self, decorated.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Iterable[T]:
        made: Iterable[T] = self._decorated.__wrapped__(*args, **kwargs)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _Undecorated, (self._decorated,)


def streamable(function: Callable[P, Iterable[T]]) -> Callable[P, Streamer[T]]:
    """Make a generator function return a `Streamer` of what it would give.

    Examples
    --------
    >>> from olympipe_like.sampling import streamable
    >>> @streamable
    ... def count(n):
    ...     yield from range(n)
    >>> numbers = count(2)
    >>> list(numbers), list(numbers)
    ([0, 1], [0, 1])
    """

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Streamer[T]:
        return Streamer(_Undecorated[T](make), *args, **kwargs)

    return make


def as_streamer(what: str, stream: Any, number: int | None = None) -> Streamer[Any]:
    """Return a stream given to a mux or map as a streamer."""
    if isinstance(stream, Streamer):
        return stream
    if not hasattr(type(stream), "__iter__") or hasattr(type(stream), "__next__"):
        advice = "is an iterator and gives its items once" if hasattr(type(stream), "__next__") else "is no stream"
        where = f"{what} ({call_site()})" + (f": stream {number}" if number is not None else "")
        raise PlanTypeError(f"{where}: {_short(stream)} {advice}; give a Streamer, a list or the like")
    return Streamer(stream)
