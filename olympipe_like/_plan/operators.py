"""The operators as frozen data: what each means is said here, what it does to items is in `_worker.program`.

Paths. A source item i has the path (i,). What comes out of an operator has:

- task, filter, tap, debug, split legs, limit, skip: the path of what went in;
- explode: that path and one more number, counted from 0;
- sample, unique, scan, shard: the path of what went in;
- batch, window: the path of its last member; what is incomplete at the end: the end, with that path behind it;
- bucket: the path of the item that completed it; what is incomplete at the end: as of a batch;
- reduce: the end, with the path of its last item behind it;
- shuffle: a running number from 0 in front of the path;
- repeat: the epoch's number, from 0, in front of the path;
- zip: the path of the first leg's item;
- align: the path that its items have in common;
- concat: the leg's number in front of the path;
- gather: what it was.

The end sorts after every item. A merge by source position compares paths number by number, without what is behind an
end; ties go by leg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from olympipe_like._model.options import SKIP, Placement
from olympipe_like._model.start import SourceStart, Start

Function = Callable[..., Any]

if TYPE_CHECKING:
    from typing import TypeVar

    from typing_extensions import dataclass_transform

    _Class = TypeVar("_Class", bound=type)

    @dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False, field_specifiers=(field,))
    def operator(made: _Class) -> _Class:
        """Make an operator of a class."""

else:
    # Frozen for the type checker only: what would hold it at run time takes half of the 13 ms that defining all of them
    # took, in every program and in every hub.
    operator = partial(dataclass, kw_only=True, eq=False, repr=False)


@operator
class Operator:
    """One step of a plan."""

    name: str
    placement: Placement = field(default_factory=Placement)
    kind: ClassVar[str] = "operator"
    runs_user_code: ClassVar[bool] = False  # wants workers of its own
    remembers: ClassVar[bool] = False  # takes frames in order through one worker
    multiplies: ClassVar[bool] = False  # one item may become many
    conserves: ClassVar[bool] = True  # an item in is an item out, filtered, failed, or merged into one
    counts_down: ClassVar[bool] = True  # one item in is at most one item out, and dropped only by the user's SKIP
    epochs: tuple[int | None, ...] = ()  # how often the repeats behind it repeat it, the last one first; None: for ever
    start: Start | None = None  # in a resumed run: where it begins, if it remembers

    @property
    def calls_user(self) -> bool:
        """Whether it calls a function of the user's, with workers of its own or not."""
        return self.runs_user_code

    @property
    def shows_items(self) -> bool:
        """Whether the user's code sees its items, and might write to them."""
        return self.calls_user

    @property
    def tracks_progress(self) -> bool:
        """Whether it must hear how far its input has come even if no item comes with it."""
        return bool(self.epochs) and self.remembers

    def needs(self, wanted: int) -> int | None:
        """Return how many items must come in so that so many can come out; None: cannot be known."""
        return wanted if self.counts_down else None

    def gives(self, known: int) -> int | None:
        """Return how many items come out if so many come in and none fails; None: cannot be known."""
        del known
        return None


@runtime_checkable
class Restartable(Protocol):
    """A source that counts its iterations, because each of them is another: a streamer."""

    own_process: bool  # whether it is iterated in a process of its own, else in the caller's

    def starting(
        self, max_iter: int | None = None, cycle: bool = False, *, follows: str | None = None
    ) -> Callable[[], Iterable[object]]:
        """Return what makes the items of the next iteration, wherever it is called.

        ``follows``: a text that all that is random follows from, if the source has no seed of its own.
        """

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Let the next iteration begin where the iteration was that gave this state."""


@runtime_checkable
class Beginning(Protocol):
    """What a `Restartable` source gives a run."""

    @property
    def state(self) -> Mapping[str, object]:
        """Where its iteration begins."""

    @property
    def next_state(self) -> Mapping[str, object]:
        """Where the one after it begins."""


@operator
class Source(Operator):
    """Where items come from.

    ``factory`` is a callable that makes the items afresh for each run, in a process of its own; otherwise ``datas``
    is iterated in the caller's process.
    """

    kind: ClassVar[str] = "source"
    datas: Any = None
    factory: bool = False
    can_repeat: bool = True  # it is no iterator
    limits: tuple[tuple[int, int], ...] = ()  # each: how many of its repeats stand in front, and how many items pass
    begin: SourceStart | None = None  # in a resumed run
    follows: str | None = None  # in a run with a seed: what its random numbers do, if it has no seed of its own
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@operator
class Fuse(Operator):
    """Does nothing to items: the stages before it, back to a branch, merge or other mark, shall share their workers."""

    kind: ClassVar[str] = "fuse"


@operator
class Task(Operator):
    """Each item becomes what the function makes of it; SKIP drops it."""

    kind: ClassVar[str] = "task"
    runs_user_code: ClassVar[bool] = True
    function: Function

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class ClassTask(Operator):
    """As `Task`, with an instance of the user's class built in each worker and closed at its end."""

    kind: ClassVar[str] = "class_task"
    runs_user_code: ClassVar[bool] = True
    constructor: Function
    method: Function | str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    close: Function | str | None = None
    worker_args: tuple[Mapping[str, Any], ...] = ()

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class Filter(Operator):
    """Keeps items for which the function is true; without a function those that are not None."""

    kind: ClassVar[str] = "filter"
    runs_user_code: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    function: Function


@operator
class NotNone(Operator):
    """`Filter` without a function."""

    kind: ClassVar[str] = "filter"
    counts_down: ClassVar[bool] = False


@operator
class Explode(Operator):
    """Each item becomes the items of the iterable that the function makes of it, streamed."""

    kind: ClassVar[str] = "explode"
    conserves: ClassVar[bool] = False
    runs_user_code: ClassVar[bool] = True
    multiplies: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    function: Function


@operator
class Unbatch(Operator):
    """`Explode` of items that are iterables themselves."""

    kind: ClassVar[str] = "unbatch"
    conserves: ClassVar[bool] = False
    multiplies: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False


@operator
class Tap(Operator):
    """Calls the function for its effect and passes the item on."""

    kind: ClassVar[str] = "tap"
    runs_user_code: ClassVar[bool] = True
    function: Function

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class Debug(Operator):
    """Prints every n-th item and passes all on."""

    kind: ClassVar[str] = "debug"
    label: str = ""
    every: int = 1

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class Batch(Operator):
    """Groups items into lists of ``size`` (or what ``collate`` makes of them).

    Its placement says only what happens to a batch that fails: it runs where its neighbours do.
    """

    kind: ClassVar[str] = "batch"
    remembers: ClassVar[bool] = True
    size: int
    last: Literal["keep", "drop", "pad"] = "keep"
    pad: Any = None
    collate: Literal["list", "stack"] | Function = "list"

    @property
    def calls_user(self) -> bool:
        """Whether code that is not ours makes the batches."""
        return self.collate != "list" or callable(self.pad)

    @property
    def shows_items(self) -> bool:
        """Whether a function of the user's makes the batches, or is asked about those that fail."""
        return callable(self.collate) or callable(self.placement.policy.on_error)

    def needs(self, wanted: int) -> int:
        """All members of each."""
        return wanted * self.size

    def gives(self, known: int) -> int:
        """Full ones, and what is left."""
        return known // self.size + (self.last != "drop" and known % self.size > 0)


@operator
class Reduce(Operator):
    """Folds all items into one, ``reducer(item, accumulator)``; an empty input gives the initial value."""

    kind: ClassVar[str] = "reduce"
    conserves: ClassVar[bool] = False
    runs_user_code: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    initial: Any
    reducer: Function
    worker_retries: int = 2


@operator
class Split(Operator):
    """The function says for each item what every leg gets; `Leg` picks. None or SKIP: nothing for that leg."""

    kind: ClassVar[str] = "split"
    runs_user_code: ClassVar[bool] = True
    function: Function
    legs: int


@operator
class Partition(Operator):
    """As `Split`, into those for which the function is true and the others."""

    kind: ClassVar[str] = "partition"
    runs_user_code: ClassVar[bool] = True
    function: Function
    legs: int = 2


@operator
class Leg(Operator):
    """One leg of a `Split` or `Partition`."""

    kind: ClassVar[str] = "leg"
    counts_down: ClassVar[bool] = False
    leg: int
    drops_none: bool


@operator
class Limit(Operator):
    """The first n items; the source is asked for no more than they need."""

    kind: ClassVar[str] = "limit"
    amount: int

    def gives(self, known: int) -> int:
        """No more than its amount."""
        return min(known, self.amount)


@operator
class SkipFirst(Operator):
    """All but the first n items."""

    kind: ClassVar[str] = "skip"
    amount: int

    def needs(self, wanted: int) -> int:
        """Those it drops, too."""
        return wanted + self.amount

    def gives(self, known: int) -> int:
        """All but its amount."""
        return max(known - self.amount, 0)


@operator
class Gather(Operator):
    """Merges legs by source position, ties by leg."""

    kind: ClassVar[str] = "gather"
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False


@operator
class Align(Operator):
    """Joins items of one source position; one that not every leg has is dropped, or filled up with ``missing``."""

    kind: ClassVar[str] = "align"
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    missing: object = SKIP


@operator
class Zip(Operator):
    """Pairs the n-th items of its legs; ``strict``: legs of different length are an error."""

    kind: ClassVar[str] = "zip"
    conserves: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    strict: bool = True


@operator
class GatherArrival(Operator):
    """Merges legs as their items come."""

    kind: ClassVar[str] = "gather"
    counts_down: ClassVar[bool] = False


@operator
class Concat(Operator):
    """One leg after the other; a source that only a later leg uses is not touched before its turn."""

    kind: ClassVar[str] = "concat"


ROUTED = (Limit, SkipFirst, GatherArrival, Concat)
"""Operators that pass frames on unopened; they need no worker."""
