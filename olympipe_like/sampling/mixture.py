"""A mix whose weights the consumer changes while it runs: by hand, or by telling it how each stream is doing."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError
from olympipe_like.sampling.arguments import one_of, streamers_of, weights_of
from olympipe_like.sampling.iteration import checked
from olympipe_like.sampling.maps import Mapped
from olympipe_like.sampling.passes import State, close_all, fits
from olympipe_like.sampling.seeds import Seed, Uniforms
from olympipe_like.sampling.stochastic import Active, Pool, StochasticMux, StochasticPass
from olympipe_like.sampling.streamer import as_streamer

T = TypeVar("T")
Stop = Literal["first", "all", "all_restart", "never"]
STOPS = ("first", "all", "all_restart", "never")

SMOOTHING = 0.9
"""How much of what was told before stays when more is told: about the last ten values count."""
FLOOR = 0.1
"""What feedback leaves of a weight at least: a stream nobody draws from could never show that it is worth it again."""


class Control:
    """The weights in effect. Any thread may change them; a pass sees whole lists only."""

    def __init__(self, names: Sequence[Hashable], base: list[float]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._base = base
        self._told: list[float | None] = [None] * len(base)
        self._lock = threading.Lock()
        self.weights = base

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def set_base(self, base: list[float]) -> None:
        """Take other weights; what was told keeps its effect."""
        with self._lock:
            self._base = base
            self._combine()

    def tell(self, place: int, value: float) -> None:
        """Take what a stream is worth."""
        with self._lock:
            before = self._told[place]
            self._told[place] = value if before is None else SMOOTHING * before + (1 - SMOOTHING) * value
            self._combine()

    def _combine(self) -> None:
        known = [value for value in self._told if value is not None]
        mean = math.fsum(value / len(known) for value in known)
        self.weights = [
            weight if value is None or not mean else weight * max(value / mean, FLOOR)
            for weight, value in zip(self._base, self._told, strict=True)
        ]

    def place_of(self, name: Hashable) -> int | None:
        """Return a stream's number by its name, or by the number itself."""
        place = self._places.get(name)
        if place is None and isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(self._base):
            return name
        return place

    def state(self) -> State:
        """Return what has been set and told."""
        with self._lock:
            return {"base": self._base, "told": list(self._told)}

    def restore(self, state: State) -> None:
        """Go to where `state` was asked."""
        with self._lock:
            self._base, self._told = list(state["base"]), list(state["told"])
            self._combine()


class Mix(StochasticMux[T]):
    """Draws each item from one of several streams by weights that may be changed while it runs. Made by `mix`.

    As the source of a pipeline it is iterated in the caller's process, where changes reach it at once; they hold for
    all items not yet pulled. Its streams may be pipelines, with processes of their own.
    """

    own_process: ClassVar[bool] = False

    def __init__(
        self,
        streams: Mapping[Any, Any] | Iterable[Any],
        weights: Mapping[Any, float] | Iterable[float] | None = None,
        stop: Stop = "all",
        random_state: Any = None,
    ) -> None:
        self.names: list[Any] = []
        if isinstance(streams, Mapping):
            self.names, streams = list(streams), list(streams.values())
        found = streamers_of("mix", streams)
        self.names = self.names or list(range(len(found)))
        super().__init__(found, len(found), None, None, "single_active", random_state=random_state)
        self.stop: Stop = one_of("mix", "stop", stop, STOPS)
        self._control = Control(self.names, self._base_of(weights))

    def _base_of(self, weights: Mapping[Any, float] | Iterable[float] | None) -> list[float]:
        if isinstance(weights, Mapping):
            if set(weights) != set(self.names):
                raise PlanError(
                    f"mix ({call_site()}): the streams are {self.names}, and weights are of {list(weights)}"
                )
            weights = [weights[name] for name in self.names]
        count = len(self.streamers)
        return weights_of("mix", weights, count) or [1 / count] * count

    @property
    def current_weights(self) -> dict[Any, float]:
        """What each stream is drawn with now, with a sum of 1."""
        weights = self._control.weights
        return {name: weight / math.fsum(weights) for name, weight in zip(self.names, weights, strict=True)}

    def set_weights(self, weights: Mapping[Any, float] | Iterable[float]) -> None:
        """Draw by these weights from now on, in every iteration.

        ``weights`` is a mapping by the streams' names, or a sequence in their order; >= 0 and not all 0. What
        `feedback` has told keeps its effect.
        """
        self._control.set_base(self._base_of(weights))

    def feedback(self, name_or_index: Any, value: float) -> None:
        """Tell how much a stream is needed, for example the model's mean loss on its items: more is drawn of it.

        Each weight is multiplied by the stream's value relative to the mean value of all streams told of, and at least
        by 0.1. Values of one stream are smoothed: each new one counts a tenth.

        Parameters
        ----------
        name_or_index : hashable
            The stream's name, if the streams came with names, or its number from 0.
        value : float
            >= 0 and finite.
        """
        place = self._control.place_of(name_or_index)
        if place is None:
            raise PlanError(f"feedback ({call_site()}): no stream {name_or_index!r}; there are {self.names}")
        number = checks.number(f"feedback ({call_site()})", "value", value)
        if not 0 <= number < math.inf:
            raise PlanError(f"feedback ({call_site()}): value must be >= 0 and finite, got {number}")
        self._control.tell(place, number)

    def replay(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration give again all that the iteration of this state had given, and then go on.

        Until there the weights are those of its history, whatever is set or told meanwhile. A `cycle` begins with the
        round that the state is in.

        Raises
        ------
        PlanError
            If the state is of an iteration that had given nothing yet, or had ended, as that is the next epoch's.
        """
        found = checked(state, self, "replay")
        record = found.get("pass", {}).get("state")
        if record is None:
            raise PlanError(f"replay ({call_site()}): the state's iteration had given nothing, or had ended")
        until = found["pass"]["given"]
        written_by = {"of": record["of"], "streams": record["streams"]}
        played = {**written_by, "history": [], "script": [*record["history"], *record["script"]], "until": until}
        self.load_state_dict({**found, "given": found["given"] - until, "pass": {"given": 0, "state": played}})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As of `Streamer`; the weights are those of the state at once."""
        super().load_state_dict(state)
        record = None if self._resume is None else self._resume["pass"].get("state")
        if self._resume is not None and record is not None and record.get("control") is not None:
            self._control.restore(record["control"])
            self._resume = {**self._resume, "pass": {**self._resume["pass"], "state": {**record, "control": None}}}

    def _open(self, seed: Seed, given: int, state: State | None) -> MixPass[T]:
        fits(self._kind(), given, state)
        return MixPass(self, self._control, seed.of(self._entropy), given, state)

    def pool(self, seed: Seed, uniforms: Uniforms) -> Pool:
        """Return what chooses the streams of one pass."""
        del seed, uniforms
        return Stopping(len(self.streamers), self.stop)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.names[:8]))}{', …' * (len(self.names) > 8)})"


class Stopping:
    """All streams at first; what becomes of one that is over says ``stop``."""

    def __init__(self, count: int, stop: Stop) -> None:
        self._count = count
        self._stop = stop
        self._over: set[int] = set()

    def first(self, most: int) -> list[int]:
        """Return all."""
        return list(range(most))

    def after(self, left: int, *, gave: bool) -> int | None:
        """Return the stream itself if it is to begin again."""
        self._over.add(left)
        return left if gave and self._stop in {"never", "all_restart"} and not self.done else None

    @property
    def done(self) -> bool:
        """Whether there shall be no more items, whatever is open."""
        if self._stop == "first":
            return bool(self._over)
        return self._stop == "all_restart" and len(self._over) == self._count

    def state(self) -> State:
        """Return which streams have been over."""
        return {"over": sorted(self._over)}

    def restore(self, state: State, opened: list[int]) -> None:
        """Go to where `state` was asked."""
        del opened
        self._over = set(state["over"])


class MixPass(StochasticPass[T]):
    """One pass of a `Mix`.

    ``history`` says by which weights it drew from which item on; ``script``, what is left to replay of the history of
    another pass, item by item up to ``until``.
    """

    def __init__(self, mux: Mix[T], control: Control, seed: Seed, given: int, state: State | None) -> None:
        self._control = control
        self._given = given
        self._seen: list[float] | None = None
        found: State = state or {"history": [], "script": [], "until": 0}
        self._history: list[list[Any]] = [*found["history"]]
        self._script: list[list[Any]] = [*found["script"]]
        self._until: int = found["until"]
        super().__init__(mux, seed, state if "active" in found else None)
        if found.get("control") is not None:
            control.restore(found["control"])
        if self._history:
            self._weights = self._history[-1][1]
            self._weigh()
            self._seen = control.weights if control.weights == self._weights else None

    def pull(self) -> T:
        """Return the next item."""
        if self._given < self._until:
            while self._script and self._script[0][0] <= self._given:
                self._draw_by(self._script.pop(0)[1])
        elif self._seen is not self._control.weights:
            self._seen = self._control.weights
            if self._seen != self._weights:
                self._draw_by(self._seen)
        item = super().pull()
        self._given += 1
        return item

    def _draw_by(self, weights: list[float]) -> None:
        self._history.append([self._given, weights])
        self._weights = weights
        self._weigh()

    def _weigh(self) -> None:
        super()._weigh()
        if self._edges and not self._edges[-1]:
            self._finish()  # nothing is left that may be drawn

    def _replace(self, left: Active[T]) -> None:
        super()._replace(left)
        assert isinstance(self._pool, Stopping)
        if self._pool.done:
            self._finish()

    def _finish(self) -> None:
        ended = self._active[:]
        self._active.clear()
        close_all(ended)

    def state(self) -> State:
        """Return where the pass is, the history of its weights, and what it was told."""
        told = {"history": self._history[:], "script": self._script[:], "until": self._until}
        return {**super().state(), **told, "control": self._control.state()}


def mix(
    streams: Mapping[Any, Any] | Iterable[Any],
    weights: Mapping[Any, float] | Iterable[float] | None = None,
    *,
    stop: Stop = "all",
    with_names: bool = False,
    random_state: Any = None,
) -> Mix[Any]:
    """Return a `Mix`: each item is drawn from one of the streams by weights that may be changed while it runs.

    Parameters
    ----------
    streams : mapping or iterable of streams
        The streams by their names, or in order; all are open at once.
    weights : mapping or sequence of float, optional
        How often each is drawn from, compared with the others; by default all are alike. A stream of weight 0 is not
        drawn from until the weights are changed; the items end when no other is left.
    stop : {"all", "first", "all_restart", "never"}
        When the items end: once all streams are over; once one is; once each has been over, where those that are over
        before begin again; never, all begin again. Streams that gave nothing are left out.
    with_names : bool
        Whether items are pairs of the stream's name (or number) and its item, so that the consumer can tell whose they
        are.
    random_state : None, int, RandomState or Generator
        As of `StochasticMux`.

    Notes
    -----
    The state of a mix holds the history of its weights, an entry for each change that items were drawn by, and
    `Mix.replay` gives the same items by it again, without the model that changed them.

    Examples
    --------
    >>> from olympipe_like.sampling import mix
    >>> drawn = mix({"easy": "eeeeee", "hard": "hhhhhh"}, {"easy": 1, "hard": 0}, random_state=1)
    >>> letters = iter(drawn)
    >>> next(letters), next(letters)
    ('e', 'e')
    >>> drawn.set_weights({"easy": 0, "hard": 1})
    >>> "".join(letters)
    'hhhhhh'
    """
    if checks.flag(f"mix ({call_site()})", "with_names", with_names):
        pairs = streams.items() if isinstance(streams, Mapping) else enumerate(streams)
        streams = {
            name: Mapped(as_streamer("mix", stream), partial(_named, name=name), str(name)) for name, stream in pairs
        }
    return Mix(streams, weights, stop, random_state)


def _named(item: Any, name: Any) -> tuple[Any, Any]:
    return name, item
