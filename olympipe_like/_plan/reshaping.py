"""Operators with one input that change which items there are, how many, and in which order; see `operators`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from olympipe_like._model.identity import Path
from olympipe_like._plan.operators import Function, Operator, operator


def seed_text(seed: int, own: int | None, key: str, epoch: Path) -> str:
    """Return what a step that draws begins with.

    Its own seed, or the run's and what tells the step from others; behind it the epoch, a number for each repeat.
    """
    return "/".join([f"{seed}/{key}" if own is None else str(own), *map(str, epoch)])


@operator
class Scan(Operator):
    """A fold that gives something for each item: ``fn(item, state)`` returns the next state and the result."""

    kind: ClassVar[str] = "scan"
    runs_user_code: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    initial: Any
    function: Function
    worker_retries: int = 2

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class Window(Operator):
    """Lists of ``size`` consecutive items, each list ``step`` items after the one before."""

    kind: ClassVar[str] = "window"
    conserves: ClassVar[bool] = False
    remembers: ClassVar[bool] = True
    size: int
    step: int = 1
    partial: bool = False  # what is left at the end makes lists, too, shorter ones

    def needs(self, wanted: int) -> int:
        """The last one, and a step for each before it."""
        return (wanted - 1) * self.step + self.size if wanted else 0

    def gives(self, known: int) -> int:
        """One for each place where one begins."""
        room = known if self.partial else known - self.size + 1
        return -(-max(room, 0) // self.step)


@operator
class Bucket(Operator):
    """Lists of items whose keys lie between the same boundaries, closed by their number or the sum of their keys."""

    kind: ClassVar[str] = "bucket"
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    key: Function
    boundaries: tuple[float, ...] = ()
    size: int | None = None
    max_cost: float | None = None
    drop_last: bool = False

    @property
    def calls_user(self) -> bool:
        """The key is the user's."""
        return True


@operator
class Shuffle(Operator):
    """Items in random order: each takes the place of a random one of those held, which goes out."""

    kind: ClassVar[str] = "shuffle"
    remembers: ClassVar[bool] = True
    buffer: int | None  # items held; None: all
    seed: int | None = None  # None: another for each run

    @property
    def tracks_progress(self) -> bool:
        """Its input's progress is not its own: it numbers items anew."""
        return True

    def needs(self, wanted: int) -> int | None:
        """Those it holds, too."""
        return None if self.buffer is None else wanted + self.buffer

    def gives(self, known: int) -> int:
        """As many."""
        return known


@operator
class Sample(Operator):
    """A random share of the items. What becomes of one follows from the seed and its path alone."""

    kind: ClassVar[str] = "sample"
    counts_down: ClassVar[bool] = False
    share: float
    seed: int | None = None


@operator
class Unique(Operator):
    """The first item of each key."""

    kind: ClassVar[str] = "unique"
    remembers: ClassVar[bool] = True
    counts_down: ClassVar[bool] = False
    key: Function | None = None

    @property
    def calls_user(self) -> bool:
        """Whether there is a key of the user's."""
        return self.key is not None


@operator
class Shard(Operator):
    """Every ``world``-th item, from item ``rank`` on."""

    kind: ClassVar[str] = "shard"
    conserves: ClassVar[bool] = False  # a padded one gives one item more
    remembers: ClassVar[bool] = True
    rank: int
    world: int
    even: Literal["uneven", "drop", "pad"] = "uneven"

    @property
    def tracks_progress(self) -> bool:
        """Whether an item may wait while others pass."""
        return self.even == "drop" or super().tracks_progress

    def needs(self, wanted: int) -> int:
        """All rounds that make so many."""
        return wanted * self.world

    def gives(self, known: int) -> int:
        """One for each round; for the last, incomplete one as ``even`` says."""
        whole, rest = divmod(known, self.world)
        return whole + (rest > {"uneven": self.rank, "drop": self.world, "pad": 0}[self.even])
