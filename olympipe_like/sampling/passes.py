"""One pass over a stream: what it must offer, and how it is opened, counted and closed.

Whoever gives items on counts them, once: the pass below it is told how many those were when it is opened again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from olympipe_like._plan.checks import show
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.sampling.seeds import Seed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
State = dict[str, Any]
"""What JSON can hold."""

SOURCE = "Streamer"
"""What `fits` calls a stream of the user's own items; their states do not say it."""

_MISSING = object()


class Pass(Protocol[T_co]):
    """One pass over a streamer's items."""

    @property
    def pull(self) -> Callable[[], T_co]:
        """What gives the next item, or raises StopIteration."""

    def state(self) -> State | None:
        """Return where it stands; None if the number of items given says it all."""

    def close(self) -> None:
        """Close what it has open."""


class Stream(Protocol[T_co]):
    """What a pass is opened on: a streamer."""

    def _kind(self) -> str | None: ...
    def _open(self, seed: Seed, given: int, state: State | None) -> Pass[T_co]: ...
    def _start(self, epoch: int) -> State: ...


class SourcePass(Generic[T]):
    """A pass over the user's own iterator."""

    def __init__(self, iterator: Iterator[T], owner: Any) -> None:
        self.pull: Callable[[], T] = iterator.__next__
        self._iterator = iterator
        self._owner = owner  # what has a state of its own: the iterator, or what it was made of

    def state(self) -> State | None:
        """Return the source's own state, if it has one."""
        return None if self._owner is None else {"own": self._owner.state_dict()}

    def close(self) -> None:
        """Close a generator, a file, or whatever else the source opened for this pass."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


def open_source(made: Any, *, fresh: bool, given: int, state: State | None, what: object) -> SourcePass[Any]:
    """Return a pass over the items of an iterable, behind the ``given`` first.

    A source with ``state_dict`` and ``load_state_dict`` is asked for its state and told it; of others the items that
    were given are pulled again and dropped. ``fresh``: it was made for this pass, and nobody else reads it.
    """
    fits(SOURCE, given, state)
    owner = made if fresh and _remembers(made) else None
    own_state = None if state is None else state["own"]
    if owner is not None and own_state is not None:
        owner.load_state_dict(own_state)
    iterator = _iterator_of(made, what)
    if owner is None and _remembers(iterator):
        owner = iterator
        if own_state is not None:
            owner.load_state_dict(own_state)
    if own_state is not None and owner is None:
        raise PlanError(f"{what} had a state of its own when this state was written, and has none now")
    if given and own_state is None and next(islice(iterator, given - 1, given), _MISSING) is _MISSING:
        raise PlanError(f"{what} ended before the {given} items it gave before: it cannot go on where it was")
    return SourcePass(iterator, owner)


def _iterator_of(made: Any, what: object) -> Any:
    try:
        return iter(made)
    except TypeError:
        if hasattr(type(made), "__iter__"):
            raise
        asynchronous = hasattr(type(made), "__aiter__") or hasattr(type(made), "__await__")
        advice = "; a stream is not asynchronous, but a Pipeline over such a function is" if asynchronous else ""
    raise PlanTypeError(f"{what}: the function must return an iterable, or yield; it returned {show(made)}{advice}")


def _remembers(source: object) -> bool:
    return callable(getattr(source, "state_dict", None)) and callable(getattr(source, "load_state_dict", None))


class Opening(Generic[T]):
    """A streamer about to be passed over: opened by the first pull, and counted by its owner in ``given``."""

    def __init__(self, streamer: Stream[T], seed: Seed, record: State | None = None) -> None:
        self._streamer = streamer
        self._seed = seed
        self._pass: Pass[T] | None = None
        self._resume: State | None = None if record is None else record.get("state")
        self.given: int = 0 if record is None else record["given"]

    # The first pull replaces this method, in this instance, by the pull of the pass that it opened.
    def pull(self) -> T:
        """Return the next item."""
        self._pass = self._streamer._open(self._seed, self.given, self._resume)
        self._resume = None
        self.pull = self._pass.pull  # type: ignore[method-assign]
        return self.pull()

    def record(self) -> State:
        """Return what it takes to open it again where it stands."""
        state = self._resume if self._pass is None else self._pass.state()
        return {"given": self.given} if state is None else {"given": self.given, "state": state}

    def close(self) -> None:
        """Close what is open; nothing can be pulled any more."""
        self.pull = _over  # type: ignore[method-assign]
        opened, self._pass = self._pass, None
        if opened is not None:
            opened.close()


def _over() -> NoReturn:
    raise StopIteration


def close_all(openings: Iterable[Opening[Any]]) -> None:
    """Close each of them, also if another cannot be closed."""
    with ExitStack() as stack:
        for opening in openings:
            stack.callback(opening.close)


def note(error: BaseException, text: str) -> None:
    """Add a line to what an exception says about itself."""
    if sys.version_info >= (3, 11):
        error.add_note(text)
    else:
        error.__dict__.setdefault("__notes__", []).append(text)


def kind_of(what: str, streams: int) -> str:
    """Return what to call a mux of so many streams in `fits`."""
    return f"{what} of {streams} stream{'s' * (streams != 1)}"


def fits(kind: str | None, given: int, state: State | None, where: str = "") -> None:
    """Refuse the state of a pass over another kind of stream; kind None: nobody knows yet what will be opened."""
    if state is None and not given:
        return  # before its first item every kind of stream says the same
    wrote = SOURCE if state is None or "of" not in state else state["of"]
    if state is not None and "streams" in state:
        wrote = kind_of(wrote, state["streams"])
    if kind not in {None, wrote}:
        raise PlanError(f"{where}this state is of a {wrote}, not of a {kind}; load it into what wrote it")
