"""Muxes that take their streams in order: one item of each in turn, or one stream after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Literal, TypeVar

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError
from olympipe_like.sampling.arguments import in_order, one_of, streamers_of
from olympipe_like.sampling.passes import Opening, State, close_all, fits, kind_of, note
from olympipe_like.sampling.seeds import Seed, entropy_of
from olympipe_like.sampling.streamer import Streamer, as_streamer

T = TypeVar("T")
Rotation = Literal["exhaustive", "cycle", "permuted_cycle"]
ROTATIONS = ("exhaustive", "cycle", "permuted_cycle")
ChainMode = Literal["exhaustive", "cycle"]
CHAIN_MODES = ("exhaustive", "cycle")
_ORDER = 2  # what a place uses for its order


class RoundRobinMux(Streamer[T]):
    """Gives an item of each stream in turn, and passes over those that are over.

    Parameters
    ----------
    streams : iterable of streams
        As of `StochasticMux`. All are open at once.
    mode : {"exhaustive", "cycle", "permuted_cycle"}
        What is done once all streams are over: the end; begin all anew; begin all anew in another order. A round in
        which no stream gave anything is the last.
    random_state : None, int, RandomState or Generator
        What the orders of "permuted_cycle" follow from; as of `StochasticMux`.

    Examples
    --------
    >>> from olympipe_like.sampling import RoundRobinMux
    >>> "".join(RoundRobinMux(["abc", "d", "ef"]))
    'adebfc'
    """

    def __init__(self, streams: Iterable[Any], mode: Rotation = "exhaustive", random_state: Any = None) -> None:
        what = type(self).__name__
        self.streamers: list[Streamer[T]] = streamers_of(what, streams)
        self.mode: Rotation = one_of(what, "mode", mode, ROTATIONS)
        self._entropy = entropy_of(what, random_state)

    def _kind(self) -> str:
        return kind_of(type(self).__name__, len(self.streamers))

    def _open(self, seed: Seed, given: int, state: State | None) -> RoundRobinPass[T]:
        fits(self._kind(), given, state)
        return RoundRobinPass(self, seed.of(self._entropy), state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.streamers)} streams)"


class InTurn(Opening[T]):
    """A stream of a rotation, and which it is."""

    def __init__(self, mux: RoundRobinMux[T], seed: Seed, record: State) -> None:
        self.stream: int = record["stream"]
        super().__init__(mux.streamers[self.stream], seed, record)

    def record(self) -> State:
        """Return what it takes to open it again where it stands."""
        return {"stream": self.stream, **super().record()}


class RoundRobinPass(Generic[T]):
    """One pass of a `RoundRobinMux`."""

    def __init__(self, mux: RoundRobinMux[T], seed: Seed, state: State | None) -> None:
        self._mux = mux
        self._seed = seed
        self._round = self._turn = 0
        self._gave = False  # an item, in this round
        if state is None:
            self._begin_round()
            return
        self._seed = Seed.from_state(state["seed"])
        self._round, self._turn, self._gave = state["round"], state["turn"], state["gave"]
        self._open = [self._opening(record) for record in state["open"]]

    def _opening(self, record: State) -> InTurn[T]:
        number = self._round * len(self._mux.streamers) + record["stream"]
        return InTurn(self._mux, self._seed.child(number), record)

    def _begin_round(self) -> None:
        order = range(len(self._mux.streamers))
        if self._mux.mode == "permuted_cycle" and self._round:
            order = self._seed.generator(_ORDER, self._round).permutation(len(order)).tolist()
        self._open = [self._opening({"stream": stream, "given": 0}) for stream in order]

    def pull(self) -> T:
        """Return the next item."""
        while True:
            opened = self._open
            if not opened:
                if self._mux.mode == "exhaustive" or not self._gave:
                    raise StopIteration
                self._round, self._turn, self._gave = self._round + 1, 0, False
                self._begin_round()
                continue
            turn = self._turn
            one = opened[turn]
            try:
                item = one.pull()
            except StopIteration:
                del opened[turn]
                self._turn = turn if turn < len(opened) else 0
                one.close()
                continue
            except BaseException as error:
                note(error, f"in stream {one.stream} of {self._mux}: {self._mux.streamers[one.stream]}")
                raise
            one.given += 1
            self._gave = True
            turn += 1
            self._turn = turn if turn < len(opened) else 0
            return item

    def state(self) -> State:
        """Return where the pass is."""
        return {
            "of": type(self._mux).__name__,
            "streams": len(self._mux.streamers),
            "seed": self._seed.state(),
            "round": self._round,
            "turn": self._turn,
            "gave": self._gave,
            "open": [each.record() for each in self._open],
        }

    def close(self) -> None:
        """Close all that is open."""
        close_all(self._open)
        self._open, self._gave = [], False


class ChainMux(Streamer[T]):
    """Gives all of the first stream, then all of the second, and so on; one is open at a time.

    Parameters
    ----------
    streams : iterable, iterator, function or Streamer of streams
        Taken one by one, each when its turn has come. Those of an iterator are remembered for the next iteration;
        a function is called anew for each.
    mode : {"exhaustive", "cycle"}
        What is done behind the last stream: the end; begin with the first again. A round that gave nothing is the last.
    random_state : None, int, RandomState or Generator
        What the streams that draw random numbers follow; as of `StochasticMux`.

    Examples
    --------
    >>> from olympipe_like.sampling import ChainMux
    >>> "".join(ChainMux(["abc", "d"], mode="cycle").iterate(7))
    'abcdabc'
    """

    def __init__(
        self,
        streams: Iterable[Any] | Callable[[], Iterable[Any]],
        mode: ChainMode = "exhaustive",
        random_state: Any = None,
    ) -> None:
        what = type(self).__name__
        if not callable(streams):
            in_order("a list, a generator or the like", f"{what} ({call_site()})", streams)
        self._streams: Streamer[Any] = (
            Streamer(_Remembered(streams)) if isinstance(streams, Iterator) else Streamer(streams)
        )
        self.mode: ChainMode = one_of(what, "mode", mode, CHAIN_MODES)
        self._entropy = entropy_of(what, random_state)

    def _kind(self) -> str:
        return type(self).__name__

    def _open(self, seed: Seed, given: int, state: State | None) -> ChainPass[T]:
        fits(self._kind(), given, state)
        return ChainPass(self, self._streams, seed.of(self._entropy), state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._streams!r})"


class _Remembered(Generic[T]):
    """An iterator's items, taken as they are asked for and kept for whoever asks again."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator: Iterator[T] | None = iterator
        self._taken: list[T] = []

    def __iter__(self) -> Iterator[T]:
        place = 0
        while place < len(self._taken) or self._take():
            yield self._taken[place]
            place += 1

    def _take(self) -> bool:
        if self._iterator is None:
            return False
        for item in self._iterator:
            self._taken.append(item)
            return True
        self._iterator = None
        return False

    def __repr__(self) -> str:
        return "an iterator of streams"


class ChainPass(Generic[T]):
    """One pass of a `ChainMux`."""

    def __init__(self, mux: ChainMux[T], streams: Streamer[Any], seed: Seed, state: State | None) -> None:
        self._mux = mux
        self._streams = streams
        self._seed = seed
        self._round = 0
        self._number = 0  # streams opened so far, in all rounds
        self._gave = False  # an item, in this round
        self._current: Opening[T] | None = None
        record: State = {"given": 0}
        if state is not None:
            self._seed = Seed.from_state(state["seed"])
            self._round, self._number, self._gave = state["round"], state["number"], state["gave"]
            record = state["list"]
        self._list = self._opened_list(record)
        self._here = record  # where the list was before it gave the current stream
        if state is not None and state["current"] is not None:
            try:
                self._next_stream(state["current"])
            except StopIteration:
                count = self._list.given
                raise PlanError(
                    f"{mux} ended before stream {count}, which this state is within: it cannot go on where it was"
                ) from None

    def _opened_list(self, record: State) -> Opening[Any]:
        return Opening(self._streams, self._seed.child(2 * self._round), record)

    def _next_stream(self, record: State) -> None:
        """Open the next stream of the list; raises StopIteration behind the last."""
        self._here = self._list.record()
        found = self._list.pull()
        self._list.given += 1
        streamer: Streamer[T] = as_streamer(repr(self._mux), found, self._list.given - 1)
        self._current = Opening(streamer, self._seed.child(2 * self._number + 1), record)
        self._label = f"in stream {self._list.given - 1} of {type(self._mux).__name__}: {streamer}"

    def pull(self) -> T:
        """Return the next item."""
        while True:
            current = self._current
            if current is None:
                try:
                    self._next_stream({"given": 0})
                except StopIteration:
                    self._begin_round()
                continue
            try:
                item = current.pull()
            except StopIteration:
                self._current = None
                self._number += 1
                current.close()
                continue
            except BaseException as error:
                note(error, self._label)
                raise
            current.given += 1
            self._gave = True
            return item

    def _begin_round(self) -> None:
        if self._mux.mode == "exhaustive" or not self._gave:
            raise StopIteration
        self._gave = False
        self._list.close()
        self._round += 1
        self._list = self._opened_list({"given": 0})

    def state(self) -> State:
        """Return where the pass is."""
        current = self._current
        return {
            "of": type(self._mux).__name__,
            "seed": self._seed.state(),
            "round": self._round,
            "number": self._number,
            "gave": self._gave,
            "list": self._list.record() if current is None else self._here,
            "current": None if current is None else current.record(),
        }

    def close(self) -> None:
        """Close all that is open."""
        close_all([self._list] if self._current is None else [self._current, self._list])
        self._gave = False
