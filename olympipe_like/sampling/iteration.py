"""What a streamer is iterated with: an iterator that says at any time where it is, and can be put there again."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.sampling.passes import Opening, State, Stream, fits
from olympipe_like.sampling.seeds import Seed

T = TypeVar("T")
VERSION = 1  # of the states written here


def start_of(epoch: int, entropy: int) -> State:
    """Return the state before the first item of an epoch (>= 0)."""
    return {"version": VERSION, "epoch": epoch, "round": 0, "given": 0, "entropy": hex(entropy), "pass": {"given": 0}}


def next_epoch(epoch: int) -> State:
    """Return the state behind the last item of an epoch (>= 0)."""
    return {"version": VERSION, "epoch": epoch + 1}


def checked(state: Any, streamer: Stream[Any], what: str = "load_state_dict") -> State:
    """Return a copy of a state that was written here; refuse one of another kind of stream, as far as that is known."""
    where = f"{what} ({call_site()}): "
    if not isinstance(state, Mapping) or not {"version", "epoch"} <= set(state):
        raise PlanTypeError(f"{where}this is not what state_dict() returned: {state!r:.60}")
    if state["version"] == VERSION and "plan" not in state and not _is_whole(state):
        raise PlanTypeError(f"{where}this is a part of what state_dict() returned, or was changed: {state!r:.60}")
    if "plan" in state:
        raise PlanError(f"{where}this state is of a run of a pipeline; give it to load_state_dict of such a run")
    if state["version"] != VERSION:
        raise PlanError(f"{where}the state is of version {state['version']}, and this release reads {VERSION}")
    if "pass" in state:
        fits(streamer._kind(), state["pass"]["given"], state["pass"].get("state"), where)
    return dict(state)


def _is_whole(state: Mapping[str, Any]) -> bool:
    """Whether a state has all that every state has."""
    counts = [state["epoch"]]
    if "pass" in state:
        record = state["pass"]
        if not isinstance(record, Mapping) or not isinstance(state.get("entropy"), str):
            return False
        counts += [state.get("round"), state.get("given"), record.get("given")]
    return all(isinstance(count, int) and count >= 0 for count in counts)


class LastState:
    """Where an iteration is, or was when it was closed or dropped; does not keep it alive."""

    def __init__(self) -> None:
        self.iteration: weakref.ref[Iteration[Any]] | None = None
        self.final: State = {}

    def state_dict(self) -> State:
        """Return it."""
        iteration = None if self.iteration is None else self.iteration()
        return dict(self.final) if iteration is None else iteration.state_dict()


class Iteration(Iterator[T]):
    """One iteration of a streamer. It pulls no more than it gives, and can be taken up again elsewhere.

    Made by `Streamer.iterate` and `Streamer.cycle`.

    Examples
    --------
    >>> from olympipe_like.sampling import Streamer
    >>> items = Streamer("abc").cycle()
    >>> [next(items) for _ in range(4)]
    ['a', 'b', 'c', 'a']
    >>> state = items.state_dict()
    >>> again = Streamer("abc").cycle()
    >>> again.load_state_dict(state)
    >>> next(again)
    'b'
    """

    def __init__(
        self, streamer: Stream[T], state: State, max_iter: int | None, *, cycle: bool, last: LastState | None = None
    ) -> None:
        self._streamer = streamer
        self._most = max_iter
        self._cycle = cycle
        self._told = last
        if last is not None:
            last.iteration = weakref.ref(self)
        self._take_up(state)

    def _take_up(self, state: State) -> None:
        self._epoch: int = state["epoch"]
        self.round: int = state["round"]
        self._given: int = state["given"]
        self._entropy = int(state["entropy"], 16)
        self._final: State | None = None  # the state once it is over or closed
        self._begin_round(state["pass"])

    def _begin_round(self, record: State) -> None:
        self._opening = Opening(self._streamer, Seed(self._entropy, (self._epoch, self.round)), record)
        self._before = self._given - self._opening.given  # items of earlier rounds

    def __next__(self) -> T:
        if self._given == self._most:
            self._end()
        while True:
            try:
                item = self._opening.pull()
            except StopIteration:
                if not self._goes_round():
                    raise
            else:
                self._given += 1
                return item

    def _goes_round(self) -> bool:
        """Begin another round, unless this one gave nothing: then the next would not either."""
        if self._final is not None:
            return False
        if not self._cycle or self._given == self._before:
            self._end()
            return False
        self._opening.close()
        self.round += 1
        self._begin_round({"given": 0})
        return True

    def _end(self) -> None:
        if self._final is None:
            self._stop_at(next_epoch(self._epoch))

    def close(self) -> None:
        """Give no more; generators and files that are open are closed. Its state stays as it is."""
        if self._final is None:
            self._stop_at(self.state_dict())

    def _stop_at(self, state: State) -> None:
        self._final = state
        if self._told is not None:
            self._told.final = state
        self._opening.close()

    def __del__(self) -> None:
        if self.__dict__.get("_final", self) is not None:  # it never came to be, or is closed
            return
        if self._told is not None:
            self.close()
        else:  # nobody can ask where it was
            self._opening.close()

    def state_dict(self) -> State:
        """Return where the iteration is: behind the item given last, or at the next epoch once it has ended.

        JSON can hold it. It is a few hundred bytes, and about fifty for each stream that is open.
        """
        if self._final is not None:
            return dict(self._final)
        self._opening.given = self._given - self._before
        return {
            "version": VERSION,
            "epoch": self._epoch,
            "round": self.round,
            "given": self._given,
            "entropy": hex(self._entropy),
            "pass": self._opening.record(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was asked; ``max_iter`` counts the items given before it, too."""
        found = checked(state, self._streamer)
        self._opening.close()
        self._take_up(found if "pass" in found else self._streamer._start(found["epoch"]))
