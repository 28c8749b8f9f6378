"""Muxes that draw: of a bounded set of open streams each item comes from one by chance."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Generic, Literal, Protocol, TypeVar

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError
from olympipe_like.sampling.arguments import one_of, rate_of, streamers_of, weights_of
from olympipe_like.sampling.passes import Opening, State, close_all, fits, kind_of, note
from olympipe_like.sampling.pools import Exhaustive, SingleActive, WithReplacement
from olympipe_like.sampling.quotas import DISTS, Dist, Quotas
from olympipe_like.sampling.seeds import Seed, Uniforms, entropy_of
from olympipe_like.sampling.streamer import Streamer

T = TypeVar("T")
Mode = Literal["with_replacement", "single_active", "exhaustive"]
MODES = ("with_replacement", "single_active", "exhaustive")
_DRAWS = 0  # what a place uses for draws


class Pool(Protocol):
    """What says which stream is opened next."""

    def first(self, most: int) -> list[int]:
        """Return what to open at the beginning."""

    def after(self, left: int, *, gave: bool) -> int | None:
        """Return what to open in place of a stream that has left, if anything is there; ``gave``: an item at least."""

    def state(self) -> dict[str, Any]:
        """Return what the streams that are open do not say."""

    def restore(self, state: dict[str, Any], opened: list[int]) -> None:
        """Go to where `state` was asked, with these streams open."""


class Active(Opening[T]):
    """A stream that is open: which it is, the how manieth that was opened, and how many items it may give."""

    def __init__(self, mux: StochasticMux[T], seed: Seed, record: State) -> None:
        self.stream: int = record["stream"]
        self.number: int = record["number"]
        self.quota: int = record["quota"]
        super().__init__(mux.streamers[self.stream], seed.child(self.number), record)

    def record(self) -> State:
        """Return what it takes to open it again where it stands."""
        return {"stream": self.stream, "number": self.number, "quota": self.quota, **super().record()}


class StochasticMux(Streamer[T]):
    """Draws each item from one of ``n_active`` open streams by chance, and replaces streams as they are used up.

    Parameters
    ----------
    streams : iterable of streams
        Streamers, muxes, or whatever `Streamer` takes as an iterable. One at least.
    n_active : int
        How many streams are open at once, >= 1. More than there are count as all, except "with_replacement".
    rate : float or None
        How many items a stream gives before it is closed and another opened, on average; >= 1. None: until it is over.
    weights : sequence of float, optional
        How often each stream is opened, and drawn from while it is open, compared with the others: >= 0 and not all 0.
        By default all are alike. Where streams give as many items each (``rate``), their shares of the items are the
        shares of the weights.
    mode : {"with_replacement", "single_active", "exhaustive"}
        Which stream is opened in place of one that was closed: any; any that is not open; any that has not been open
        before, so that the items end.
    prune_empty_streams : bool
        Whether a stream that gave nothing is never opened again in this iteration. If not, it is as soon as another
        stream has given something and left.
    dist : {"binomial", "poisson", "constant"}
        How numbers of items vary around ``rate``. "constant" takes a whole number.
    random_state : None, int, RandomState or Generator
        What all chance follows from; see `Streamer.with_seed`. The same gives the same items, in another order in each
        iteration. None: within another mux its seed is followed, else each iteration is unlike any other.

    Examples
    --------
    >>> from olympipe_like.sampling import StochasticMux, Streamer
    >>> files = [Streamer(range, start, start + 3) for start in (0, 10, 20)]
    >>> epochs = StochasticMux(files, n_active=2, rate=None, mode="exhaustive", random_state=7)
    >>> sorted(epochs), list(epochs) == list(epochs)
    ([0, 1, 2, 10, 11, 12, 20, 21, 22], False)
    """

    def __init__(
        self,
        streams: Iterable[Any],
        n_active: int,
        rate: float | None,
        weights: Iterable[float] | None = None,
        mode: Mode = "with_replacement",
        prune_empty_streams: bool = True,
        dist: Dist = "binomial",
        random_state: Any = None,
    ) -> None:
        what = type(self).__name__
        where = f"{what} ({call_site()})"
        self.streamers: list[Streamer[T]] = streamers_of(what, streams)
        self.n_active = checks.whole_number(where, "n_active", n_active, 1)
        self.dist: Dist = one_of(what, "dist", dist, DISTS)
        self.rate = rate_of(what, rate, dist)
        self.mode: Mode = one_of(what, "mode", mode, MODES)
        self.prune_empty_streams = checks.flag(where, "prune_empty_streams", prune_empty_streams)
        self.weights = weights_of(what, weights, len(self.streamers))
        self._entropy = entropy_of(what, random_state)

    def _kind(self) -> str:
        return kind_of(type(self).__name__, len(self.streamers))

    def _open(self, seed: Seed, given: int, state: State | None) -> StochasticPass[T]:
        fits(self._kind(), given, state)
        return StochasticPass(self, seed.of(self._entropy), state)

    def pool(self, seed: Seed, uniforms: Uniforms) -> Pool:
        """Return what chooses the streams of one pass."""
        count, weights = len(self.streamers), self.weights
        if self.mode == "exhaustive":
            return Exhaustive(count, weights, seed)
        kind = SingleActive if self.mode == "single_active" else WithReplacement
        return kind(count, weights, seed, uniforms, prune=self.prune_empty_streams)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.streamers)} streams)"


class StochasticPass(Generic[T]):
    """One pass of a `StochasticMux`."""

    def __init__(self, mux: StochasticMux[T], seed: Seed, state: State | None) -> None:
        count = len(mux.streamers)
        if state is not None:
            seed = Seed.from_state(state["seed"])
        self._mux = mux
        self._seed = seed
        self._uniforms = Uniforms(seed, _DRAWS, used=0 if state is None else state["drawn"])
        self._pool = mux.pool(seed, self._uniforms)
        self._quotas = Quotas(mux.rate, mux.dist, seed, None if state is None else state["quotas"])
        self._weights = mux.weights
        self._edges: list[float] | None = None  # running sums of the open streams' weights; None: all are alike
        self._spent: Active[T] | None = None  # has given its last item, and is closed before the next is drawn
        self._active: list[Active[T]] = []
        self._opened = 0
        if state is None:
            self._begin(mux.n_active if mux.mode == "with_replacement" else min(mux.n_active, count))
        else:
            self._restore(state)

    def _begin(self, most: int) -> None:
        chosen = self._pool.first(most)
        weights = self._weights
        total = len(chosen) if weights is None else sum(weights[stream] for stream in chosen)
        self._active = [
            self._activate(stream, (1 if weights is None else weights[stream]) / total) for stream in chosen
        ]
        self._weigh()

    def _activate(self, stream: int, share: float) -> Active[T]:
        record = {"stream": stream, "number": self._opened, "quota": self._quotas.draw(share), "given": 0}
        self._opened += 1
        return Active(self._mux, self._seed, record)

    def _weigh(self) -> None:
        weights = self._weights
        self._edges = None if weights is None else list(accumulate(weights[each.stream] for each in self._active))

    def pull(self) -> T:
        """Return the next item."""
        if self._spent is not None:
            self._replace(self._spent)
        active = self._active
        while active:
            number = next(self._uniforms.block, None)
            if number is None:
                number = self._uniforms.more()
            edges = self._edges
            chosen = active[int(number * len(active)) if edges is None else bisect(edges, number * edges[-1])]
            try:
                item = chosen.pull()
            except StopIteration:
                self._replace(chosen)
                continue
            except BaseException as error:
                note(error, f"in stream {chosen.stream} of {self._mux}: {self._mux.streamers[chosen.stream]}")
                raise
            given = chosen.given + 1
            chosen.given = given
            if given == chosen.quota:
                self._spent = chosen
            return item
        raise StopIteration

    def _replace(self, left: Active[T]) -> None:
        """Close a stream and open another in its place, if there is one."""
        self._spent = None
        place = self._active.index(left)
        weights = self._weights
        try:
            left.close()
        finally:
            stream = self._pool.after(left.stream, gave=left.given > 0)
            if stream is None:
                del self._active[place]
            else:
                share = 1 / len(self._active)
                if weights is not None and self._edges is not None:
                    share = weights[stream] / (self._edges[-1] - weights[left.stream] + weights[stream])
                self._active[place] = self._activate(stream, share)
            if weights is not None and (stream is None or weights[stream] != weights[left.stream]):
                self._weigh()

    def state(self) -> State:
        """Return where the pass is."""
        return {
            "of": type(self._mux).__name__,
            "streams": len(self._mux.streamers),
            "seed": self._seed.state(),
            "drawn": self._uniforms.used,
            "opened": self._opened,
            "quotas": self._quotas.state(),
            "pool": self._pool.state(),
            "active": [each.record() for each in self._active],
        }

    def _restore(self, state: State) -> None:
        ends, mode = "next" in state["pool"], self._mux.mode
        if ends != (mode == "exhaustive"):
            theirs = 'mode="exhaustive"' if ends else "another mode"
            raise PlanError(f'this state is of a mux with {theirs}, not with mode="{mode}"; load it into what wrote it')
        self._opened = state["opened"]
        self._active = [Active(self._mux, self._seed, record) for record in state["active"]]
        self._spent = next((each for each in self._active if each.given == each.quota), None)
        self._pool.restore(state["pool"], [each.stream for each in self._active])
        self._weigh()

    def close(self) -> None:
        """Close all that is open."""
        close_all(self._active)
        self._active.clear()


class ShuffledMux(StochasticMux[T]):
    """Draws each item from any of the streams; all are open, and one that is over is begun again.

    It ends when all streams turn out to be empty.

    Parameters
    ----------
    streams : iterable of streams
        As of `StochasticMux`.
    weights : sequence of float, optional
        How often each stream is drawn from, compared with the others; by default all are alike.
    random_state : None, int, RandomState or Generator
        As of `StochasticMux`.

    Examples
    --------
    >>> from olympipe_like.sampling import ShuffledMux
    >>> "".join(ShuffledMux(["a", "b"], weights=[3, 1], random_state=1).iterate(12))
    'aaabaaabaaaa'
    """

    def __init__(
        self, streams: Iterable[Any], weights: Iterable[float] | None = None, random_state: Any = None
    ) -> None:
        found = streamers_of("ShuffledMux", streams)
        super().__init__(found, len(found), None, weights, "single_active", random_state=random_state)
