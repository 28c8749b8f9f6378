"""`cache`: items given again instead of being made anew."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError
from olympipe_like.sampling.maps import source_of
from olympipe_like.sampling.passes import Opening, State, fits
from olympipe_like.sampling.seeds import Seed, Uniforms, entropy_of
from olympipe_like.sampling.streamer import Streamer

T = TypeVar("T")
_DRAWS = 0  # what a place uses for draws


def cache(stream: Iterable[T], n_cache: int, prob: float = 0.5, random_state: Any = None) -> Streamer[T]:
    """Give each item several times on average: most often one that was given before is given again.

    The first ``n_cache`` items are given in order and kept. Then, with probability ``prob``, a new item is given and
    kept in the place of any other; else one of those kept is given again. The items end when a new one is wanted and
    there is none. Of an item given twice the object is the same: what changes it in place changes the next.

    Parameters
    ----------
    stream : iterable
        A stream of any kind. What is made of an iterator can be iterated once.
    n_cache : int
        How many items are kept, >= 1.
    prob : float
        How often a new item is taken, above 0 and at most 1. On average each item is given 1 / prob times.
    random_state : None, int, RandomState or Generator
        As of `StochasticMux`.

    Notes
    -----
    Its state names the items kept, and does not hold them: to go on from it the stream is read again from its
    beginning.

    Examples
    --------
    >>> from olympipe_like.sampling import cache
    >>> "".join(cache("abcdefgh", n_cache=3, prob=0.5, random_state=2))
    'abcdaaefgfhehghge'
    """
    where = f"cache ({call_site()})"
    size = checks.whole_number(where, "n_cache", n_cache, 1)
    chance = checks.number(where, "prob", prob)
    if not 0 < chance <= 1:
        raise PlanError(f"{where}: prob must be above 0 and at most 1, got {prob!r}")
    return Reusing(source_of("cache", stream), size, chance, entropy_of("cache", random_state))


class Reusing(Streamer[T]):
    """A stream whose items are given several times."""

    def __init__(self, stream: Streamer[T], size: int, prob: float, entropy: int | None) -> None:
        self.stream = stream
        self.size = size
        self.prob = prob
        self._entropy = entropy

    def _kind(self) -> str:
        return "cache"

    def _open(self, seed: Seed, given: int, state: State | None) -> ReusingPass[T]:
        fits(self._kind(), given, state)
        return ReusingPass(self, seed.of(self._entropy), state)

    def __repr__(self) -> str:
        return f"cache({self.stream!r}, {self.size})"


class ReusingPass(Generic[T]):
    """One pass of a `Reusing`."""

    def __init__(self, plan: Reusing[T], seed: Seed, state: State | None) -> None:
        if state is not None:
            seed = Seed.from_state(state["seed"])
        self._plan = plan
        self._seed = seed
        self._below = Opening(plan.stream, seed.child(0))
        self._uniforms = Uniforms(seed, _DRAWS, used=0 if state is None else state["drawn"])
        self._kept: list[T] = []
        self._numbers: list[int] = []  # of the items kept, in the stream
        if state is not None:
            self._read_again(state)

    def _read_again(self, state: State) -> None:
        self._numbers = list(state["kept"])
        wanted = set(self._numbers)
        found: dict[int, T] = {}
        below = self._below
        while below.given < state["taken"]:
            try:
                item = below.pull()
            except StopIteration:
                raise PlanError(
                    f"{self._plan} ended before the {state['taken']} items it read before: it cannot go on where it was"
                ) from None
            if below.given in wanted:
                found[below.given] = item
            below.given += 1
        self._kept = [found[number] for number in self._numbers]

    def pull(self) -> T:
        """Return the next item."""
        plan, kept = self._plan, self._kept
        if len(kept) < plan.size:
            item = self._below.pull()
            kept.append(item)
            self._numbers.append(self._below.given)
        elif self._uniforms.one() >= plan.prob:
            return kept[math.floor(self._uniforms.one() * plan.size)]
        else:
            item = self._below.pull()
            place = math.floor(self._uniforms.one() * plan.size)
            kept[place], self._numbers[place] = item, self._below.given
        self._below.given += 1
        return item

    def state(self) -> State:
        """Return where the pass is, and which items it keeps."""
        return {
            "of": self._plan._kind(),
            "seed": self._seed.state(),
            "drawn": self._uniforms.used,
            "taken": self._below.given,
            "kept": self._numbers[:],
        }

    def close(self) -> None:
        """Close the stream and let go of the items."""
        self._below.close()
        self._kept.clear()
